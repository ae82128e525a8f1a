"""T153: what is spoken over TLS, to whom, and that nothing else is spoken beside it."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.authority import Authority
from tests.campaign.subject import PATIENCE, Subject

ASK = b"GET /_/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
PLENTY = 24 * 1024 * 1024  # more than the kernel keeps for a client that does not read


class Secure(Subject):
    """A gateway whose every listener is to speak TLS; ``authority`` signed its certificate."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.authority = Authority(folder)
        self.authority.issue("server")
        config = folder / "tahoe.cfg"
        endpoint = "ssl:0:privateKey=server-key.pem:certKey=server.pem:interface=127.0.0.1"
        config.write_text(config.read_text().replace("tcp:0:interface=127.0.0.1", endpoint))

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority.file)

    def wire(self, port: int = 0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port or urlsplit(self.endpoint).port or 0), timeout=PATIENCE)

    def speaks(self, context: ssl.SSLContext, name: str | None = "localhost") -> str:
        """The cipher of a connection on which a request was answered; ssl.SSLError where none comes about."""
        with context.wrap_socket(self.wire(), server_hostname=name) as connection:
            connection.sendall(ASK)
            assert connection.recv(12) == b"HTTP/1.1 200"
            cipher = connection.cipher()
            assert cipher is not None
            return cipher[0]

    def ports(self) -> set[int]:
        """Every TCP port that its process listens on."""
        mine = {os.readlink(link) for link in Path(f"/proc/{self.pid}/fd").iterdir() if link.is_symlink()}
        rows = [line.split() for line in Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]]
        return {int(row[1].partition(":")[2], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in mine}


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Secure]:
    made = Secure(tmp_path / "gateway")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.authority.file))  # for who waits until it is ready
    made.start()
    assert made.endpoint.startswith("https:")
    yield made
    made.kill()


def test_t153_only_strong_ciphers_of_tls_1_2_and_1_3_are_spoken(secure: Secure) -> None:
    def offering(names: str, most: ssl.TLSVersion) -> ssl.SSLContext:
        context = secure.trusting()
        context.set_ciphers(f"{names}:@SECLEVEL=0")  # else this very client would not offer weak ones
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = most
        return context

    offered = {each["name"] for each in offering("ALL:COMPLEMENTOFALL", ssl.TLSVersion.TLSv1_2).get_ciphers()}
    assert {"ECDHE-ECDSA-AES128-SHA", "AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-NULL-SHA"} <= offered
    spoken = set()
    for name in sorted(name for name in offered if not name.startswith("TLS_")):
        try:
            assert secure.speaks(offering(name, ssl.TLSVersion.TLSv1_2)) == name
        except (ssl.SSLError, ConnectionError):
            continue
        spoken.add(name)
    assert spoken == {f"ECDHE-ECDSA-{end}" for end in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")}
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.warns(DeprecationWarning):
            context = offering("ALL:COMPLEMENTOFALL", version)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            secure.speaks(context)
    assert secure.speaks(secure.trusting()).startswith("TLS_")


def test_t153_a_client_meets_who_it_asked_for_or_nobody(secure: Secure) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        secure.speaks(secure.trusting(), "elsewhere.example")
    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed certificate"):
        secure.speaks(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    unnamed = secure.trusting()
    unnamed.check_hostname = False
    assert secure.speaks(unnamed, None)  # without SNI
    assert secure.speaks(secure.trusting(), "127.0.0.1")
    words = ["openssl", "s_client", "-showcerts", "-connect", urlsplit(secure.endpoint).netloc]
    shown = subprocess.run(words, input=b"", capture_output=True, timeout=PATIENCE, check=False).stdout
    file = (secure.folder / "server.pem").read_bytes()
    assert shown.count(b"BEGIN CERTIFICATE") == file.count(b"BEGIN CERTIFICATE") == 2, "and those who signed it"


def test_t153_no_listener_of_it_speaks_plain_http(secure: Secure) -> None:
    ports = secure.ports()
    assert urlsplit(secure.endpoint).port in ports
    for port in ports:
        with secure.wire(port) as wire:
            wire.sendall(ASK)
            answer = b"".join(iter(lambda wire=wire: wire.recv(4096), b""))  # type: ignore[misc]
        assert answer.startswith(b"HTTP/1.1 400 ") and b"Use an https:// URL" in answer
    assert secure.speaks(secure.trusting()), "and the next one is served"


def test_t153_a_certificate_changes_in_the_middle_of_a_reply(secure: Secure) -> None:
    account = secure._account
    host = urlsplit(secure.endpoint).netloc
    body = os.urandom(PLENTY)

    def request(method: str, path: str, body: bytes = b"") -> bytes:
        signed = account.signed(method, host, path, "", body, {})
        lines = [f"{name}: {value}" for name, value in signed.items() if name.lower() != "content-length"]
        length = [f"Content-Length: {len(body)}"] if method == "PUT" else []
        return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, *length, "Connection: close", "", ""]).encode() + body

    def shown() -> bytes | None:
        with secure.trusting().wrap_socket(secure.wire(), server_hostname="localhost") as connection:
            return connection.getpeercert(binary_form=True)

    def connect(data: bytes) -> ssl.SSLSocket:
        connection = secure.trusting().wrap_socket(secure.wire(), server_hostname="localhost")
        connection.sendall(data)
        return connection

    def rest(connection: ssl.SSLSocket) -> bytes:
        return b"".join(iter(lambda: connection.recv(1 << 20), b""))

    for path, data in (("/bucket", b""), ("/bucket/key", body)):
        with connect(request("PUT", path, data)) as connection:
            assert rest(connection).startswith(b"HTTP/1.1 200 ")
    before = shown()
    with connect(request("GET", "/bucket/key")) as connection:
        first = connection.recv(1000)
        secure.authority.issue("server", days=3)
        os.kill(secure.pid, signal.SIGHUP)
        wait_for(lambda: shown() != before)
        assert (first + rest(connection)).endswith(body)
    assert "was read again" in secure.said()


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)
