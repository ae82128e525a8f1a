"""TLS as an operator meets it: what is spoken, what is refused, and certificates that change while clients stay."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.authority import Authority

AT = ("-c", "porch/tahoe.cfg")
ASK = b"GET /_/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
ENDPOINT = "ssl:{port}:privateKey=server-key.pem:certKey=server.pem:interface=127.0.0.1"


class Served:
    """A gateway with TLS on ``port`` and without on ``plain``; ``serial`` is that of its certificate."""

    def __init__(self, folder: Path, authority: Authority, serial: int, port: int, plain: int) -> None:
        self.folder = folder
        self.authority = authority
        self.serial = serial
        self.port = port
        self.plain = plain
        self.pid = 0
        self.log = folder / "log" / "gateway.log"

    def connect(self) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=self.authority.file)
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context.wrap_socket(
            socket.create_connection(("127.0.0.1", self.port), timeout=30), server_hostname="localhost"
        )

    def shown_serial(self) -> int:
        with self.connect() as connection:
            shown = connection.getpeercert(binary_form=True)
        assert shown is not None
        return x509.load_der_x509_certificate(shown).serial_number

    def hang_up(self, until: str) -> None:
        """SIGHUP, and wait for one more line with ``until`` in the log."""
        before = self.log.read_text().count(until)
        os.kill(self.pid, signal.SIGHUP)
        end = time.monotonic() + 60
        while self.log.read_text().count(until) <= before:
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)


@pytest.fixture
def configured(folder: Path, command: Any) -> Served:
    authority = Authority(folder)
    serial = authority.issue("server")
    port, plain = command.free_port(), command.free_port()
    config = folder / "tahoe.cfg"
    lines = f"listen = {ENDPOINT.format(port=port)}\n  tcp:{plain}:interface=127.0.0.1\n"
    text = config.read_text()
    config.write_text("".join(lines if line.startswith("listen =") else line for line in text.splitlines(True)))
    return Served(folder, authority, serial, port, plain)


@pytest.fixture
def served(configured: Served, command: Any) -> Served:
    command.start("gateway", "run", *AT, cwd=configured.folder.parent, until="log  ")
    configured.pid = int((configured.folder / "data" / "gateway.lock").read_text())
    return configured


@pytest.fixture
def daemon(configured: Served, command: Any) -> Iterator[Served]:
    """The same under twistd."""
    here = configured.folder.parent
    command.run("twistd", "gateway", *AT, cwd=here)
    configured.log = here / "twistd.log"
    wait_for(lambda: "serving S3" in configured.log.read_text())
    configured.pid = int((here / "twistd.pid").read_text())
    yield configured
    os.kill(configured.pid, signal.SIGTERM)
    wait_for(lambda: not (here / "twistd.pid").exists())
    assert "Traceback" not in configured.log.read_text()


def wait_for(what: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def test_what_is_spoken(served: Served) -> None:
    with served.connect() as connection:
        assert connection.version() == "TLSv1.3"
        assert connection.selected_alpn_protocol() == "http/1.1"
        connection.sendall(ASK)
        assert connection.recv(12) == b"HTTP/1.1 200"
    tried = {}
    for version in ("-tls1", "-tls1_1", "-tls1_2", "-tls1_3"):
        # level 0: else this very client would not even offer the old ones
        words = ["openssl", "s_client", "-connect", f"127.0.0.1:{served.port}", version, "-cipher", "ALL:@SECLEVEL=0"]
        done = subprocess.run(words, input=b"", capture_output=True, timeout=60)
        tried[version] = done.returncode == 0
        if not tried[version]:
            assert b"alert protocol version" in done.stderr, done.stderr
    assert tried == {"-tls1": False, "-tls1_1": False, "-tls1_2": True, "-tls1_3": True}


def test_a_client_at_the_wrong_port_is_told(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        connection.sendall(ASK)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 400 ") and b"Use an https:// URL" in answer
    with (
        socket.create_connection(("127.0.0.1", served.plain), timeout=30) as connection,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        ssl.create_default_context().wrap_socket(connection, server_hostname="localhost")
    log = served.log.read_text()
    assert log.count("127.0.0.1 speaks HTTP without TLS to a port with TLS") == 1
    assert log.count("127.0.0.1 speaks TLS to a port without TLS") == 1


@pytest.mark.parametrize("way", ["served", "daemon"])
def test_certificates_change_while_connections_stay(way: str, request: pytest.FixtureRequest) -> None:
    served: Served = request.getfixturevalue(way)
    with served.connect() as before:
        assert served.shown_serial() == served.serial
        new = served.authority.issue("server", days=3)
        served.hang_up("was read again")
        assert served.shown_serial() == new != served.serial
        before.sendall(ASK)
        assert before.recv(12) == b"HTTP/1.1 200"
    assert "certificate of ssl:" in served.log.read_text() and " ends 20" in served.log.read_text()


def test_a_broken_certificate_stays_out_of_use(served: Served) -> None:
    chain, key, away = (served.folder / name for name in ("server.pem", "server-key.pem", "away.pem"))
    good = chain.read_text()

    def broken() -> None:
        before = served.log.read_text()
        served.hang_up("stays in use")
        told = [line for line in served.log.read_text().removeprefix(before).splitlines() if "#error" in line]
        assert len(told) == 1 and "porch/tahoe.cfg:" in told[0] and "fix: " in told[0], told
        assert served.shown_serial() == served.serial
        reasons.append(told[0])

    reasons: list[str] = []
    chain.write_text("no certificate")
    broken()
    chain.unlink()
    broken()
    chain.write_text(good)
    served.authority.issue("other")
    shutil.copy(key, away)
    shutil.copy(served.folder / "other-key.pem", key)
    broken()
    for reason, words in zip(reasons, ("no certificate in PEM", "No such file", "not the key of"), strict=True):
        assert words in reason
    shutil.copy(away, key)
    served.hang_up("was read again")
    assert served.shown_serial() == served.serial


def test_the_log_follows_after_it_was_moved_away(served: Served) -> None:
    served.log.rename(served.folder / "log" / "old")
    os.kill(served.pid, signal.SIGHUP)
    wait_for(served.log.exists)
    wait_for(lambda: "was read again" in served.log.read_text())


FAULTY = {
    "privatekey=server-key.pem": "did you mean privateKey?",
    "privateKey=server-key.pem:sslmethod=SSLv3_METHOD": "sslmethod is not needed",
    "certKey=server.pem": "no privateKey=FILE",
    "privateKey=server.pem": "server.pem holds no private key in PEM",
    "privateKey=server-key.pem": "server-key.pem holds no certificate in PEM",
    "privateKey=absent.pem:certKey=server.pem": "No such file or directory: ",
    "privateKey=locked.pem:certKey=server.pem": "locked.pem is locked with a password",
    "privateKey=server-key.pem:certKey=server.pem:intreface=127.0.0.1": "did you mean interface?",
}


def test_faults_of_an_endpoint_with_tls_are_told(configured: Served, command: Any, tmp_path: Path) -> None:
    folder = configured.folder
    words = ["openssl", "pkey", "-in", "server-key.pem", "-aes256", "-passout", "pass:x", "-out", "locked.pem"]
    subprocess.run(words, cwd=folder, check=True, timeout=60)
    endpoints = "".join(f"  ssl:0:{words}\n" for words in FAULTY)
    config = folder / "tahoe.cfg"
    config.write_text(config.read_text().replace("\nlisten = ", f"\nlisten =\n{endpoints}  "))
    told = command.run("gateway", "check", *AT, cwd=tmp_path, code=3).stderr.splitlines()
    assert len(told) == len(FAULTY), told
    for line, (words, expected) in zip(told, FAULTY.items(), strict=True):
        assert line.startswith("porch/tahoe.cfg:") and words in line and expected in line, line
