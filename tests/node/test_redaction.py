"""Nothing secret is written anywhere: canaries in every secret, storages that answer with what they were sent, clients
that fail in every way, and a search through all that a running gateway writes, says and shows."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.node.read import read_node

TOKEN = "canary-keystone-" + secrets.token_hex(8)
SEAL = hashlib.sha256(b"canary seal").hexdigest()


def place(name: str, kind: str, url: str, *lines: str) -> str:
    short = kind.removeprefix("cloud.")
    times = [f"{short}.{what}_timeout = 2s" for what in ("connect", "reply", "idle")]
    given = [f"[location {name}]", f"backend = {kind}", f"{short}.url = {url}", *times, *lines]
    return "\n".join([*given, "", f"[endpoint {name}.example.com]", f"location = {name}", "", ""])


class Echo(BaseHTTPRequestHandler):
    """A storage that answers everything with what it was sent, secrets and all, in the ``mood`` of its server."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("latin-1")
        server: Any = self.server
        mood = server.mood
        if self.path.endswith("/auth/tokens") and mood not in ("expired", "denied"):
            self.keystone(server.server_address[1])
            return
        told = f"{self.requestline}\n{self.headers}\n{sent}"
        server.heard.append(told)
        code = {"denied": 403, "garbage": 200, "odd": 418, "expired": 401}.get(mood, 500)
        body = f"<Error><Code>SignatureDoesNotMatch</Code><Message>{told}</Message></Error>".encode()
        if mood == "garbage":
            body = b"\xff\x00 no XML " + body
        self.send_response(code, told.replace("\r\n", " ").replace("\n", " ")[:3000])
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Echo", self.headers.get("Authorization") or "none")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def keystone(self, port: int) -> None:
        endpoint = {"interface": "public", "region": "r", "url": f"http://127.0.0.1:{port}/v1/AUTH_x", "id": "e"}
        catalog = [{"type": "object-store", "name": "swift", "id": "s", "endpoints": [endpoint]}]
        token = {"catalog": catalog, "issued_at": "2026-01-01T00:00:00Z", "expires_at": "2099-01-01T00:00:00Z"}
        body = json.dumps({"token": token}).encode()
        self.send_response(201)
        self.send_header("X-Subject-Token", TOKEN)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815 - http.server's names

    def handle(self) -> None:
        with suppress(ConnectionError):  # who asked gave up
            super().handle()

    def log_message(self, *words: object) -> None:
        """Not into the tests' output."""


@pytest.fixture
def storage() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.mood, server.heard = "down", []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


class Canaries:
    """Everything that must not be seen, by what it is."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {"the seal": SEAL, "the keystone token": TOKEN}

    def add(self, what: str, word: str) -> str:
        self.words[f"{what} {len(self.words)}"] = word
        return word

    def seen(self, where: str, text: str) -> list[str]:
        return [f"{what} in {where}: ...{around(text, word)}..." for what, word in self.words.items() if word in text]


class Watch(threading.Thread):
    """What the kernel shows of a process and of all its children, however short they live."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.texts: dict[int, str] = {}
        self.ended = threading.Event()
        self._pid = pid
        self.start()

    def run(self) -> None:
        while not self.ended.wait(0.03):
            parents = dict(_parents())
            for pid in (self._pid, *parents):
                above = pid
                while above in parents and above != self._pid:
                    above = parents[above]
                if above == self._pid:
                    with suppress(OSError):  # it is gone
                        texts = [Path(f"/proc/{pid}/{name}").read_text("latin-1") for name in ("cmdline", "environ")]
                        self.texts[pid] = self.texts.get(pid, "") + "\n".join(texts)


def _parents() -> Iterator[tuple[int, int]]:
    """(process, its parent)"""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            yield int(stat.parent.name), int(stat.read_text("latin-1").rpartition(")")[2].split()[1])


def around(text: str, word: str) -> str:
    at = text.index(word)
    return text[max(0, at - 150) : at + 40]


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


@pytest.fixture
def porch(tmp_path: Path, storage: Any, canaries: Canaries) -> Path:
    """A gateway with a location of every kind of cloud, whose every secret is a canary."""
    folder = tmp_path / "porch"
    private = folder / "private"
    private.mkdir(mode=0o700, parents=True)
    url = f"http://127.0.0.1:{storage.server_address[1]}"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem = key.private_bytes(*form).decode()
    canaries.add("a line of the service account's key", pem.splitlines()[5])
    account = {
        "type": "service_account",
        "client_email": "robot@example.com",
        "token_uri": f"https://127.0.0.1:{storage.server_address[1]}/token",
        "private_key": pem,
        "private_key_id": canaries.add("the id of that key", secrets.token_hex(20)),
    }
    azure = base64.b64encode(f"canary-azure-{secrets.token_hex(8)}".encode()).decode()
    sas = canaries.add("the signature of the SAS", secrets.token_hex(16))
    files = {
        "seal": SEAL,
        "s3.s3secret": canaries.add("the S3 secret", f"canary-s3-{secrets.token_hex(8)}"),
        "s3.s3usertoken": canaries.add("DevPay's token", f"canary-user-{secrets.token_hex(8)}"),
        "s3.s3producttoken": canaries.add("DevPay's token", f"canary-product-{secrets.token_hex(8)}"),
        "azure.azure_account_key": canaries.add("the Azure key", azure),
        "sas.azure_sas": f"sv=2024-11-04&ss=b&srt=co&sp=rwdlac&se=2099-01-01T00:00:00Z&sig={sas}",
        "gcp.gcpsecret": canaries.add("the HMAC secret", f"canary-gcp-{secrets.token_hex(8)}"),
        "robot.gcp_service_account": json.dumps(account),
        "swift.openstack_api_key": canaries.add("the OpenStack key", f"canary-swift-{secrets.token_hex(8)}"),
    }
    for name, text in files.items():
        (private / name).touch(mode=0o600)
        (private / name).write_text(text)
    (folder / "tahoe.cfg").write_text(
        "[gateway]\nlisten = tcp:0:interface=127.0.0.1\nprobe_interval = 500ms\nreap_interval = 500ms\n"
        "domain = example.com\n[storage]\nbackend = local\n\n"
        + place("s3", "cloud.s3", url, "s3.access_key_id = AKIACANARY", "s3.bucket = bucket", "s3.region = r")
        + place("azure", "cloud.azure", url, "azure.account = accname", "azure.container = crate")
        + place("sas", "cloud.azure", url, "azure.account = accname", "azure.container = drawer")
        + place("gcp", "cloud.gcp", url, "gcp.bucket = bucket", "gcp.access_key_id = GOOG")
        + place("robot", "cloud.gcp", url, "gcp.bucket = basket")
        + place(
            "swift",
            "cloud.openstack",
            f"{url}/v3",
            "openstack.auth = v3",
            "openstack.username = u",
            "openstack.container = crate",
            "openstack.project = p",
        )
    )
    return folder


class Client:
    """Signs like boto3, and sends what nobody would send; each signature is a canary."""

    def __init__(self, address: tuple[str, int], access: str, secret: str, canaries: Canaries) -> None:
        self._address = address
        self._keys = Credentials(access, secret, canaries.add("a session token", f"canary-{secrets.token_hex(8)}"))
        self._plain = Credentials(access, secret)
        self._canaries = canaries
        self.replies: list[str] = []

    def send(self, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> int:
        connection = http.client.HTTPConnection(*self._address, timeout=60)
        connection.request(method, target, body, headers)
        reply = connection.getresponse()
        # what we sent in the request, SignatureDoesNotMatch gives back to us, as S3 does: that is ours to see
        if b"SignatureDoesNotMatch" not in (text := reply.read()):
            self.replies.append(f"{reply.status} {reply.reason}\n{reply.headers}\n{text.decode(errors='replace')}")
        connection.close()
        return reply.status

    def secret(self, what: str) -> str:
        """A word for a body, which no reply and no log may have."""
        return self._canaries.add(what, f"canary-{secrets.token_hex(8)}")

    def ask(
        self, method: str, host: str, target: str, *, spoil: bool = False, token: bool = False, body: bytes = b""
    ) -> int:
        if method == "PUT" and target.count("/") > 1:
            body = body or b"a body"
        request = AWSRequest(method, f"http://{host}{target}", headers={"Host": host}, data=body)
        S3SigV4Auth(self._keys if token else self._plain, "s3", "us-east-1").add_auth(request)
        headers = dict(request.headers.items())
        if spoil:
            flipped = "0" if headers["Authorization"][-1] != "0" else "1"
            headers["Authorization"] = headers["Authorization"][:-1] + flipped
        self._canaries.add(f"the signature of {method} {target}", headers["Authorization"].partition("Signature=")[2])
        return self.send(method, target, headers, body)

    def presigned(self, host: str, target: str, *, spoil: str = "", token: bool = False) -> int:
        request = AWSRequest("GET", f"http://{host}{target}", headers={})
        S3SigV4QueryAuth(self._keys if token else self._plain, "s3", "us-east-1", expires=600).add_auth(request)
        url = request.url.removeprefix(f"http://{host}") + spoil
        self._canaries.add("a presigned signature", url.partition("X-Amz-Signature=")[2])
        return self.send("GET", url, {"Host": host})


@pytest.mark.parametrize("way", ["run", "twistd"])
def test_nothing_shows_a_secret(
    way: str, porch: Path, storage: Any, canaries: Canaries, command: Any, tmp_path: Path
) -> None:
    """twistd's log is the wordy one: it has every event, of every level."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = command.environment(TMPDIR=str(temporary))
    config, here = porch / "tahoe.cfg", porch / "said"
    gateway = [sys.executable, "-m", "gateway"]
    made = {}
    for name in ("alice",):
        words = [[*gateway, "account", "add", name], [*gateway, "key", "add", "--account", name, "--json"]]
        for line in words:
            done = subprocess.run(
                [*line, "-c", str(config)], env=environment, capture_output=True, text=True, timeout=120
            )
            assert done.returncode == 0, done.stderr
        made[name] = json.loads(done.stdout)
        canaries.add(f"the secret of {name}", made[name]["secret_access_key"])
    twistd = [str(Path(sys.executable).with_name("twistd")), "--nodaemon", "--pidfile=", "gateway"]
    start = [*gateway, "run"] if way == "run" else twistd
    with here.open("w") as said:
        process = subprocess.Popen(
            [*start, "-c", str(config)], env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=porch
        )
    watch = Watch(process.pid)
    try:
        url = wait_for(
            lambda: re.search(r"(?:endpoint +|serving S3 at )http://(\S+):(\d+)", here.read_text()), process, here
        )
        client = Client(
            (url[1], int(url[2])), made["alice"]["access_key_id"], made["alice"]["secret_access_key"], canaries
        )
        shown = traffic(client, storage)
        pages = [client.send("GET", f"/_/{page}", {"Host": "h"}) for page in ("healthcheck", "metrics", "ready")]
        assert pages[1] == 200
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        assert re.search(r"Max core file size +0 ", limits), "a core file would hold every secret"
        check = [*gateway, "check", "-c", str(config)]
        checked = subprocess.run(check, env=environment, capture_output=True, text=True, timeout=300)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0, here.read_text()
        watch.ended.set()
        watch.join()
    assert len(watch.texts) > (way == "twistd"), "twistd has the configuration checked by a process of its own"
    assert set(shown) >= {200, 403, 500} or set(shown) >= {200, 403, 503}, shown
    own = porch / "log" / "gateway.log"
    log = here.read_text() + (own.read_text() if way == "run" else "")
    for name in ("s3", "azure", "sas", "gcp", "robot", "swift"):
        assert f"location {name}" in log, f"the storage of {name} was never a topic"
    heard = "\n".join(storage.heard)
    password = (porch / "private" / "swift.openstack_api_key").read_text()
    for mark in ("AWS4-HMAC-SHA256", "SharedKey accname:", "sig=", TOKEN, password):  # the echo had much
        assert mark in heard, mark
    for authorization in re.findall(r"(?:Signature=|SharedKey accname:)(\S+)", heard):
        canaries.add("a signature for a storage", authorization)
    written = [path for folder in (porch, temporary) for path in folder.rglob("*") if path.is_file()]
    texts = {str(path): path.read_bytes().decode("latin-1") for path in written if path.parent.name != "private"}
    texts |= {f"/proc/{pid}": text for pid, text in watch.texts.items()} | {"replies": "\n".join(client.replies)}
    texts |= {"check": checked.stdout + checked.stderr, "repr": repr(read_node(config))}
    assert len(texts) > 6 and any(path.endswith("access.log") for path in texts)
    found = [line for where, text in texts.items() for line in canaries.seen(where, text)]
    assert not found, "\n".join(found)


def traffic(client: Client, storage: Any) -> list[int]:
    """Requests that go well and badly, in every mood of the storages; their statuses."""
    shown = []
    home = "home.example.com"
    shown.append(client.ask("PUT", "127.0.0.1", "/attic"))
    shown.append(client.ask("PUT", "127.0.0.1", "/attic/key"))
    shown.append(client.presigned("127.0.0.1", "/attic/key"))
    for spoil in ("0", "&X-Amz-Signature=again", "%00"):
        shown.append(client.presigned("127.0.0.1", "/attic/key", spoil=spoil))
    shown.append(client.presigned("127.0.0.1", "/attic/key", token=True))
    shown.append(client.ask("GET", "127.0.0.1", "/attic/key", spoil=True))
    shown.append(client.ask("GET", "127.0.0.1", "/attic/key", token=True))
    shown.append(client.ask("GET", home, "/attic/none"))
    documents = "a document that is none", "the form of a browser"
    for kind, word in zip(("application/xml", "multipart/form-data; boundary=b"), documents, strict=True):
        secret = client.secret(word)
        body = f'--b\r\nContent-Disposition: form-data; name="x-amz-signature"\r\n\r\n{secret}\r\n--b--\r\n'.encode()
        shown += [client.send("POST", f"/attic{rest}", {"Content-Type": kind}, body) for rest in ("", "?delete")]
        shown.append(client.ask("POST", "127.0.0.1", "/attic?delete", body=f"<Delete><{secret}></Delete>".encode()))
        shown.append(client.ask("PUT", "127.0.0.1", "/attic/key?acl", body=f"<{secret}/>".encode()))
    for mood in ("down", "denied", "garbage", "odd", "expired"):
        storage.mood = mood
        for name in ("s3", "azure", "sas", "gcp", "robot", "swift"):
            host = f"{name}.example.com"
            if mood == "down":
                shown.append(client.ask("PUT", host, f"/for-{name}"))
            shown.append(client.ask("PUT", "127.0.0.1", f"/for-{name}/{mood}"))
            shown.append(client.ask("GET", "127.0.0.1", f"/for-{name}/{mood}"))
        time.sleep(0.6)  # and a round of healthchecks
    return shown


def wait_for(what: Callable[[], Any], process: subprocess.Popen[bytes], said: Path) -> Any:
    end = time.monotonic() + 120
    while not (found := what()):
        assert process.poll() is None, said.read_text()
        assert time.monotonic() < end, said.read_text()
        time.sleep(0.05)
    return found
