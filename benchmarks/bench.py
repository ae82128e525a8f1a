"""One server with what the rows need of it: its bucket filled, its requests signed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import client, transfers
from benchmarks.presign import BUCKET, Signer
from benchmarks.processes import age
from benchmarks.servers import Server

SMALL = 4096
LARGE = 64 * transfers.MIB
KEYS = 1000
PAGED = "paged/"


@dataclass(frozen=True, slots=True)
class Sizes:
    """The knobs of a run. ``seconds``: of a stretch of small requests; ``listed``: keys of the prefix that is listed;
    ``deleted``: keys that are deleted; ``upload``: MiB of the object that clients send in parts; ``half_open``:
    connections whose headers never end."""

    seconds: float = 2
    listed: int = 100_000
    deleted: int = 10_000
    upload: int = 1024
    half_open: int = 10_000


class Bench:
    """``name``: the server's; ``server``, ``signer`` and ``small`` (targets of GETs) are new after each ``restart``."""

    server: Server
    signer: Signer
    small: list[str]

    def __init__(self, start: Callable[[Path], AbstractContextManager[Server]], folder: Path, sizes: Sizes) -> None:
        self._start = start
        self._running = ExitStack()
        self.folder = folder
        self.sizes = sizes
        self.scratch = folder.parent

    def open(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.server = self._running.enter_context(self._start(self.folder))
        self.signer = Signer(self.server)
        self.small = self.signer.targets("get_object", _small_keys())

    def close(self) -> None:
        self._running.close()

    def restart(self) -> float:
        """Seconds from the start of the new process until it served an object."""
        self.close()
        self.open()
        client.send_all(self.server.endpoint, [self.request("GET", self.small[0])], connections=1)
        return age(self.server.pid)

    def fill(self, *, listed: bool = True) -> None:
        """The bucket, 1,000 small objects to read, a large one, and the prefix that is listed."""
        self.signer.client.create_bucket(Bucket=BUCKET)
        self.put_all(_small_keys(), SMALL)
        if listed:
            self._put_listed([f"{PAGED}{number:08d}" for number in range(self.sizes.listed)])
        transfers.put(
            self.server.endpoint,
            self.signer.target("put_object", "large"),
            transfers.random_file(self.scratch, LARGE),
        )

    def _put_listed(self, keys: list[str]) -> None:
        """Empty objects. rclone's PUTs get slower with each file of a folder, so they are laid there."""
        if self.server.files is None:
            return self.put_all(keys, 0)
        (self.server.files / BUCKET / PAGED).mkdir()
        for key in keys:
            (self.server.files / BUCKET / key).touch()
        self.restart()  # it keeps what it knows of folders
        return None

    def put_all(self, keys: list[str], size: int) -> None:
        put_all(self.signer, keys, size)

    def request(self, method: str, target: str) -> bytes:
        return request(self.server.endpoint, method, target)


def put_all(signer: Signer, keys: list[str], size: int) -> None:
    """Every one of ``keys``, of one folder; the first alone, for rclone cannot make a folder twice at once."""
    body = b"x" * size
    requests = [request(signer.endpoint, "PUT", target, body) for target in signer.targets("put_object", keys)]
    client.send_all(signer.endpoint, requests[:1], connections=1)
    client.send_all(signer.endpoint, requests[1:], connections=32)


def request(endpoint: str, method: str, target: str, body: bytes = b"", headers: str = "") -> bytes:
    """A whole request as it goes over a connection. ``headers``: further lines, each with its end."""
    length = f"Content-Length: {len(body)}\r\n" if method in ("PUT", "POST") else ""
    return f"{method} {target} HTTP/1.1\r\nHost: {urlsplit(endpoint).netloc}\r\n{length}{headers}\r\n".encode() + body


def _small_keys() -> list[str]:
    return [f"small/{number:04d}" for number in range(KEYS)]
