"""How thin the middle is: one client through the gateway, and the same client straight to the same storage."""

from __future__ import annotations

import http.client
import secrets
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import transfers
from benchmarks.presign import BUCKET, Signer
from benchmarks.processes import memory
from benchmarks.servers import Server, gateway
from tests.servers.azurite import Azurite
from tests.servers.moto import ACCESS_KEY, SECRET_KEY, Moto
from tests.servers.swift import KEY as SWIFT_KEY
from tests.servers.swift import USER, Swift

LARGE = 64 * transfers.MIB
SMALL = 4096
MANY = 200


@dataclass(frozen=True, slots=True)
class Storage:
    """A storage without us: how to address an object in it, and the settings of a gateway before it.

    ``target``: path and query of an object ("get_object" or "put_object", key). ``headers`` go with both methods,
    ``put_headers`` with PUT. ``most``: how many objects of 64 MiB it holds at once beside each other.
    """

    name: str
    endpoint: str
    target: Callable[[str, str], str]
    backend: str
    settings: Mapping[str, str]
    secrets: Mapping[str, str]
    headers: tuple[tuple[str, str], ...] = ()
    put_headers: tuple[tuple[str, str], ...] = ()
    most: int = MANY


@contextmanager
def moto() -> Iterator[Storage]:
    with Moto() as running:
        yield _s3("cloud.s3 on moto", Server("moto", running.url, ACCESS_KEY, SECRET_KEY, running.pid))


@contextmanager
def swift_s3() -> Iterator[Storage]:
    with Swift() as running:
        yield _s3("cloud.s3 on Swift", Server("swift", running.url, USER, SWIFT_KEY, running.pid))


def _s3(name: str, server: Server) -> Storage:
    signer, bucket = Signer(server), f"store-{secrets.token_hex(6)}"
    signer.client.create_bucket(Bucket=BUCKET)
    signer.client.create_bucket(Bucket=bucket)
    settings = {"s3.url": server.endpoint, "s3.bucket": bucket, "s3.access_key_id": server.access_key}

    def target(method: str, key: str) -> str:
        return signer.target(method, key)

    most = 50 if server.name == "moto" else MANY  # moto keeps every byte in its memory
    return Storage(name, server.endpoint, target, "cloud.s3", settings, {"s3secret": server.secret_key}, most=most)


@contextmanager
def swift() -> Iterator[Storage]:
    """Swift's own API; its token goes with every request."""
    with Swift() as running:
        token, account = running.token()
        place, headers = urlsplit(account), (("X-Auth-Token", token),)
        line = http.client.HTTPConnection(str(place.hostname), place.port, timeout=60)
        for name in (BUCKET, "store"):
            line.request("PUT", f"{place.path}/{name}", headers={**dict(headers), "Content-Length": "0"})
            line.getresponse().read()
        line.close()
        settings = {"username": USER, "container": "store", "url": running.auth_url, "auth": "v1"}
        yield Storage(
            "cloud.openstack on Swift",
            f"http://{place.netloc}",
            lambda method, key: f"{place.path}/{BUCKET}/{key}",
            "cloud.openstack",
            {f"openstack.{key}": value for key, value in settings.items()},
            {"openstack_api_key": SWIFT_KEY},
            headers,
        )


@contextmanager
def azurite() -> Iterator[Storage]:
    with Azurite() as running:
        for name in (BUCKET, "store"):
            running.make_container(name)
        place, token = urlsplit(running.url), running.sas(BUCKET)
        settings = {"account": running.account, "container": "store", "url": running.url}
        yield Storage(
            "cloud.azure on Azurite",
            f"http://{place.netloc}",
            lambda method, key: f"{place.path}/{BUCKET}/{key}?{token}",
            "cloud.azure",
            {f"azure.{key}": value for key, value in settings.items()},
            {"azure_account_key": running.key},
            put_headers=(("x-ms-blob-type", "BlockBlob"),),
            most=30,
        )


STORAGES: Mapping[str, Callable[[], AbstractContextManager[Storage]]] = {
    "moto": moto,
    "swift-s3": swift_s3,
    "swift": swift,
    "azurite": azurite,
}


@dataclass(frozen=True, slots=True)
class Thin:
    """Medians of one storage: MiB/s of 64 MiB both ways and ms of a small GET, ``direct`` and ``through`` us; MiB of
    the gateway's memory idle and at its peak under ``MANY`` uploads and downloads at once. ``busy``: how many of those
    the storage was too slow for, so that the gateway answered 503. ``uploads``: how many uploads there were."""

    storage: str
    put: tuple[float, float]
    get: tuple[float, float]
    small: tuple[float, float]
    idle: float
    uploading: float
    downloading: float
    busy: int
    uploads: int


def compare(storage: Storage, folder: Path, repeats: int, many: int = MANY) -> Thin:
    """One storage, direct and through, in turn."""
    secret_files, settings = storage.secrets, storage.settings
    with ExitStack() as stack:
        server = stack.enter_context(
            gateway(folder / "gateway", storage.backend, storage=settings, secrets=secret_files)
        )
        signer = Signer(server)
        signer.client.create_bucket(Bucket=BUCKET)
        through = _Way(server.endpoint, lambda method, key: signer.target(method, key), (), ())
        direct = _Way(storage.endpoint, storage.target, storage.headers, storage.put_headers)
        ways = (direct, through)
        large = transfers.random_file(folder, LARGE)
        for way in ways:
            way.put("small", transfers.random_file(folder, SMALL))
        puts = _in_turn(ways, lambda way: LARGE / transfers.MIB / way.put("large", large), repeats)
        gets = _in_turn(ways, lambda way: LARGE / transfers.MIB / way.get("large", LARGE), repeats)
        small = _in_turn(ways, lambda way: way.small_get("small"), repeats)
        idle = memory(server.pid) / transfers.MIB
        uploads = min(many, storage.most)
        uploading, late = _peak(server.pid, [lambda: through.put("large", large)] * uploads)
        downloading, later = _peak(server.pid, [lambda: through.get("large", LARGE)] * many)
    return Thin(storage.name, puts, gets, small, idle, uploading, downloading, late + later, uploads)


@dataclass(frozen=True, slots=True)
class _Way:
    endpoint: str
    target: Callable[[str, str], str]
    headers: tuple[tuple[str, str], ...]
    put_headers: tuple[tuple[str, str], ...]

    def put(self, key: str, file: Path) -> float:
        begun = time.monotonic()
        transfers.put(self.endpoint, self.target("put_object", key), file, (*self.headers, *self.put_headers))
        return time.monotonic() - begun

    def get(self, key: str, size: int) -> float:
        begun = time.monotonic()
        transfers.get(self.endpoint, self.target("get_object", key), size, self.headers)
        return time.monotonic() - begun

    def small_get(self, key: str, times: int = 100) -> float:
        """The median, in ms, over one connection that stays."""
        place, target = urlsplit(self.endpoint), self.target("get_object", key)
        line = http.client.HTTPConnection(str(place.hostname), place.port, timeout=60)
        took = []
        for _ in range(times):
            begun = time.monotonic()
            line.request("GET", target, headers=dict(self.headers))
            reply = line.getresponse()
            if reply.status != 200 or len(reply.read()) != SMALL:
                raise transfers.Refused(f"GET of {key}: {reply.status}")
            took.append(time.monotonic() - begun)
        line.close()
        return statistics.median(took) * 1000


def _in_turn(ways: tuple[_Way, _Way], measure: Callable[[_Way], float], repeats: int) -> tuple[float, float]:
    """The medians of both, measured one after the other, so that a busy machine is busy for both."""
    seen: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for way, figures in zip(ways, seen, strict=True):
            figures.append(measure(way))
    return statistics.median(seen[0]), statistics.median(seen[1])


def _peak(pid: int, jobs: list[Callable[[], object]]) -> tuple[float, int]:
    """The most that the gateway holds, in MiB, while all jobs run at once; and how many of them ended with a 503."""
    most, busy, done = 0, 0, threading.Event()

    def look() -> None:
        nonlocal most
        while not done.wait(0.02):
            most = max(most, memory(pid))

    def patient(job: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            nonlocal busy
            try:
                job()
            except transfers.Refused as fault:
                if fault.status != 503:
                    raise
                busy += 1

        return run

    looking = threading.Thread(target=look)
    looking.start()
    try:
        transfers.at_once([patient(job) for job in jobs])
    finally:
        done.set()
        looking.join()
    return most / transfers.MIB, busy
