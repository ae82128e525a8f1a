"""A stop cuts no request: what runs ends, what is idle is closed, what is new is refused; asked twice, it stops now."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from gateway.testing.server import LiveGateway, ServerFault

SIZE = 24 * 1024 * 1024  # more than the buffers of both ends hold
BODY = os.urandom(1024) * (SIZE // 1024)
SMALL = b"x" * 100_000


class Slow:
    """A client that stops in the middle of its request, or of the reply, until it is told to go on."""

    def __init__(self, live: LiveGateway) -> None:
        self._live = live
        self.address = (urlsplit(live.endpoint).hostname, urlsplit(live.endpoint).port)
        self._s3 = boto3.client(
            "s3",
            endpoint_url=live.endpoint,
            aws_access_key_id=live.access_key,
            aws_secret_access_key=live.secret_key,
            region_name=live.region,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )
        self._s3.create_bucket(Bucket="attic")
        self._s3.put_object(Bucket="attic", Key="large", Body=BODY)
        self._s3.close()
        self.open: list[http.client.HTTPConnection] = []

    def _presigned(self, operation: str, key: str) -> str:
        url = self._s3.generate_presigned_url(operation, {"Bucket": "attic", "Key": key})
        return str(url).removeprefix(self._live.endpoint)

    def _connection(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        connection.connect()
        self.open.append(connection)
        return connection

    def ask(self, path: str) -> int:
        """The status of a page, asked for on a connection of its own."""
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def idle(self) -> socket.socket:
        connection = self._connection()
        connection.request("GET", "/_/live")
        connection.getresponse().read()
        found: socket.socket = connection.sock
        return found

    def upload(self) -> Callable[[], http.client.HTTPResponse]:
        """Half a body is sent; what is given back sends the rest, and gives the reply."""
        connection = self._connection()
        connection.putrequest("PUT", self._presigned("put_object", "small"))
        connection.putheader("Content-Length", str(len(SMALL)))
        connection.endheaders()
        connection.send(SMALL[:50_000])

        def rest() -> http.client.HTTPResponse:
            connection.send(SMALL[50_000:])
            return connection.getresponse()

        return rest

    def download(self) -> http.client.HTTPResponse:
        """The head has come, and the first bytes."""
        connection = self._connection()
        connection.request("GET", self._presigned("get_object", "large"))
        reply = connection.getresponse()
        assert reply.read(1000) == BODY[:1000]
        return reply


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., tuple[LiveGateway, Slow]]]:
    started: list[tuple[LiveGateway, Slow]] = []

    def start(**settings: str) -> tuple[LiveGateway, Slow]:
        live = LiveGateway(tmp_path / "gateway", gateway={"drain_timeout": "1h", "body_timeout": "1h", **settings})
        live.start()
        slow = Slow(live)
        started.append((live, slow))
        return live, slow

    yield start
    for live, slow in started:
        for connection in slow.open:
            connection.close()
        live.kill()


def wait_for(what: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def refused(slow: Slow) -> bool:
    try:
        socket.create_connection(slow.address, timeout=60).close()
    except ConnectionRefusedError:
        return True
    return False


def ended(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_nothing_that_runs_is_cut(serve: Callable[..., Any]) -> None:
    live, slow = serve(drain_notice="5s")
    finish, download, idle = slow.upload(), slow.download(), slow.idle()
    os.kill(live.pid, signal.SIGTERM)
    wait_for(lambda: slow.ask("/_/ready") == 503)
    assert slow.ask("/_/live") == 200
    wait_for(lambda: refused(slow))
    assert idle.recv(1) == b""
    reply = finish()
    assert (reply.status, reply.headers["Connection"]) == (200, "close")
    assert reply.headers["ETag"]
    assert not ended(live.pid)
    assert BODY[:1000] + download.read() == BODY
    # its head had promised that the connection stays: the gateway ends it all the same, and does not wait for us
    wait_for(lambda: ended(live.pid))
    live.stop()


def test_who_never_ends_is_cut_in_the_end(serve: Callable[..., Any]) -> None:
    live, slow = serve(drain_timeout="500ms")
    slow.upload()
    os.kill(live.pid, signal.SIGTERM)
    wait_for(lambda: ended(live.pid))
    live.stop()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_asked_twice_it_ends_at_once(serve: Callable[..., Any], second: signal.Signals) -> None:
    live, slow = serve()
    slow.upload()
    os.kill(live.pid, signal.SIGTERM)
    os.kill(live.pid, signal.SIGTERM)  # make's echo of the same wish
    wait_for(lambda: refused(slow))
    assert not ended(live.pid)
    time.sleep(1.1)  # not an echo any more
    os.kill(live.pid, second)
    wait_for(lambda: ended(live.pid))
    with pytest.raises(ServerFault, match=f"ended with -{second.value} on SIGTERM"):
        live.stop()
    assert "Traceback" not in live.log()


def test_twistd_asked_twice_ends_at_once(tmp_path: Path, command: Any) -> None:
    port = command.free_port()
    command.run("gateway", "init", "porch", "--listen", f"tcp:{port}:interface=127.0.0.1", cwd=tmp_path)
    config = tmp_path / "porch" / "tahoe.cfg"
    config.write_text(config.read_text().replace("[gateway]", "[gateway]\ndrain_notice = 1h"))
    command.run("twistd", "gateway", "-c", str(config), cwd=tmp_path)
    log = tmp_path / "twistd.log"
    wait_for(lambda: "serving S3" in log.read_text())
    pid = int((tmp_path / "twistd.pid").read_text())
    try:
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: "stopping: " in log.read_text())
        time.sleep(1.1)
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not Path(f"/proc/{pid}").exists() or ended(pid))
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    assert "Traceback" not in log.read_text()
