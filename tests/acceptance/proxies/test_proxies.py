"""HAProxy, nginx and Caddy in front, as docs/proxies.md shows them, without TLS and with it.

Nothing that S3 signs or streams is touched.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import random
import select
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError
from minio import Minio

from gateway.testing.server import LiveGateway
from tests.authority import Authority
from tests.documented import DOCS, ROOT, blocks

UNPACKED = ROOT / ".make" / "debian"  # by .ci/debian-packages
MIB = 1024 * 1024
SIZE = 20 * MIB + 17
# What proxies like to tidy up.
KEYS = (
    "plain",
    "a//b",
    "/leading",
    "a/./b/../c",
    "with space",
    "plus+sign",
    "per%20cent",
    "q?x=1#z",
    "grün/日本",
    "dir/",
)
# What Debian has in nginx.conf, for a user and a folder of our own.
BARE_NGINX = """
daemon off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
access_log off;
{temporary}
{site}
}}
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with LiveGateway(tmp_path_factory.mktemp("behind"), backend="local") as running:
        yield running


def program(name: str) -> str:
    """Installed, or only unpacked. Skips where there is neither, but fails where CI=true."""
    found = shutil.which(
        name, path=os.pathsep.join(f"{root}/usr/{kind}" for root in (UNPACKED, "") for kind in ("sbin", "bin"))
    )
    if found is None:
        reason = f"{name} is not here: `make test` unpacks it, or apt-get install {name}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


INSTEAD = {"haproxy": "    bind ", "nginx": "    listen ", "caddy": "http://"}  # how the line begins that TLS replaces


def shown(language: str, tls: bool = False) -> str:
    """The page's configuration; with TLS its second block stands instead of a line of the first."""
    plain, secure = [block.text for block in blocks(DOCS / "proxies.md") if block.language == language]
    if not tls:
        return plain
    (line,) = [line for line in plain.splitlines(keepends=True) if line.startswith(INSTEAD[language])]
    return plain.replace(line, secure)


def words(name: str, site: str, folder: Path) -> list[str]:
    """Write the configuration, as far as the page leaves something to the distribution, and say how to start."""
    file = folder / "configuration"
    if name == "nginx":
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        file.write_text(BARE_NGINX.format(folder=folder, temporary=temporary, site=site))
        return [program(name), "-e", "stderr", "-p", str(folder), "-c", str(file)]
    if name == "caddy":
        file.write_text("{\n    admin off\n    auto_https off\n}\n" + site)
        return [program(name), "run", "--adapter", "caddyfile", "--config", str(file)]
    file.write_text(site)
    return [program(name), "-db", "-f", str(file)]


@pytest.fixture(scope="module", params=["haproxy", "nginx", "caddy"])
def front(request: Any, live: LiveGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a proxy in front of the gateway."""
    folder = tmp_path_factory.mktemp(request.param)
    with running(request.param, shown(request.param), live, folder) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module", params=["haproxy", "nginx", "caddy"])
def tls_front(request: Any, live: LiveGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The URL of a proxy that ends TLS in front of the gateway, and the file of whom to trust."""
    folder = tmp_path_factory.mktemp(f"{request.param}-tls")
    authority = Authority(folder)
    authority.issue("server")
    (folder / "both.pem").write_text((folder / "server.pem").read_text() + (folder / "server-key.pem").read_text())
    site = shown(request.param, tls=True)
    site = site.replace("/etc/ssl/private/s3.pem", f"{folder}/both.pem")
    site = site.replace("/etc/ssl/certs/s3.pem", f"{folder}/server.pem")
    site = site.replace("/etc/ssl/private/s3-key.pem", f"{folder}/server-key.pem")
    assert "/etc/" not in site
    trust = ssl.create_default_context(cafile=authority.file)
    with running(request.param, site, live, folder, trust) as port:
        yield f"https://127.0.0.1:{port}", str(authority.file)


@contextmanager
def running(
    name: str, site: str, live: LiveGateway, folder: Path, trust: ssl.SSLContext | None = None
) -> Iterator[int]:
    """A proxy on a port of its own while the body runs; with ``trust`` it speaks TLS."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    site = site.replace("127.0.0.1:8000", live.endpoint.removeprefix("http://"))
    site = site.replace(":8080", f":{port}").replace(":8443", f":{port}")
    libraries = {str(file.parent) for file in UNPACKED.glob("usr/lib/*/libopentracing*")}
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": ":".join(libraries),
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
    }
    with (folder / "log").open("wb") as log:
        command = words(name, site, folder)
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                scheme = "https" if trust else "http"
                urllib.request.urlopen(f"{scheme}://127.0.0.1:{port}/_/ready", timeout=10, context=trust).close()
                break
            except OSError:
                said = (folder / "log").read_text()
                assert process.poll() is None, said
                assert time.monotonic() < end, said
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def s3(front: str, live: LiveGateway) -> Iterator[Any]:
    client = client_of(front, live, live.secret_key)
    yield client
    client.close()


def client_of(front: str, live: LiveGateway, secret: str, verify: str | None = None) -> Any:
    once = {"total_max_attempts": 1}
    path_style = {"addressing_style": "path"}
    config = Config(read_timeout=60, retries=once, s3=path_style, signature_version="s3v4")
    keys = {"aws_access_key_id": live.access_key, "aws_secret_access_key": secret}
    return boto3.client("s3", endpoint_url=front, region_name=live.region, config=config, verify=verify, **keys)


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"behind-{random.randbytes(8).hex()}"
    s3.create_bucket(Bucket=name)
    return name


def test_odd_keys_metadata_and_ranges(s3: Any, bucket: str) -> None:
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode(), Metadata={"some_name": "x", "other-name": "y"})
    assert sorted(each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]) == sorted(KEYS)
    for key in KEYS:
        got = s3.get_object(Bucket=bucket, Key=key, Range="bytes=1-")
        assert got["Body"].read() == key.encode()[1:]
        # Caddy writes names of headers its own way, as the page says
        found = {name.lower(): value for name, value in got["Metadata"].items()}
        assert found == {"some_name": "x", "other-name": "y"}, "a proxy dropped a header"
    assert s3.head_object(Bucket=bucket, Key="plain")["ContentLength"] == 5


def test_large_bodies_in_one_piece_and_in_parts(s3: Any, bucket: str, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(SIZE)
    s3.put_object(Bucket=bucket, Key="whole", Body=data)  # with Expect: 100-continue
    parts = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    s3.upload_fileobj(io.BytesIO(data), bucket, "parts", Config=parts)
    for key in ("whole", "parts"):
        sink = io.BytesIO()
        s3.download_fileobj(bucket, key, sink)
        assert hashlib.sha256(sink.getvalue()).digest() == hashlib.sha256(data).digest(), key


def test_signed_chunks(front: str, live: LiveGateway, bucket: str) -> None:
    """minio-py signs each chunk of a body (aws-chunked) where there is no TLS."""
    pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=5, read=60), retries=False)
    keys = {"access_key": live.access_key, "secret_key": live.secret_key}
    client = Minio(front.removeprefix("http://"), secure=False, http_client=pool, **keys)
    data = random.Random(2).randbytes(3 * MIB + 1)
    client.put_object(bucket, "chunks", io.BytesIO(data), len(data))
    reply = client.get_object(bucket, "chunks")
    assert reply.read() == data
    reply.close()
    reply.release_conn()
    pool.clear()


def test_presigned_urls(s3: Any, bucket: str) -> None:
    place = {"Bucket": bucket, "Key": "a//b c+d"}
    data = random.Random(3).randbytes(MIB)
    put = urllib.request.Request(s3.generate_presigned_url("put_object", Params=place), data=data, method="PUT")
    urllib.request.urlopen(put, timeout=60).close()
    with urllib.request.urlopen(s3.generate_presigned_url("get_object", Params=place), timeout=60) as reply:
        assert reply.read() == data


def test_a_wrong_key_is_refused_and_its_body_is_not_kept(front: str, live: LiveGateway, s3: Any, bucket: str) -> None:
    wrong = client_of(front, live, "wrong")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        wrong.put_object(Bucket=bucket, Key="key", Body=bytes(MIB))
    wrong.close()
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_what_is_for_local_eyes_stays_closed(front: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{front}/_/metrics", timeout=60)
    assert refused.value.code == 403
    refused.value.close()


def test_bodies_stream_through(front: str, s3: Any, bucket: str) -> None:
    """A refusal comes while most of the body is still to be sent: nobody in between waits for the whole."""
    url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "key"})
    path = url.removeprefix(front).replace("X-Amz-Signature=", "X-Amz-Signature=0")
    connection = http.client.HTTPConnection(front.removeprefix("http://"), timeout=60)
    connection.putrequest("PUT", path)
    connection.putheader("Content-Length", str(SIZE))
    connection.endheaders(bytes(1000))
    sent = 1000
    # Caddy tells what it heard when it next reads from its client, who in life goes on sending.
    while not select.select([connection.sock], [], [], 0.5)[0] and sent < SIZE // 2:
        connection.send(bytes(1000))
        sent += 1000
    reply = connection.getresponse()
    assert (reply.status, b"SignatureDoesNotMatch" in reply.read()) == (403, True)
    connection.close()


def test_a_proxy_that_ends_tls(tls_front: tuple[str, str], live: LiveGateway) -> None:
    """Over TLS boto3 does not sign bodies, it sends them in chunks with a checksum behind."""
    front, authority = tls_front
    s3 = client_of(front, live, live.secret_key, verify=authority)
    place = {"Bucket": f"behind-{random.randbytes(8).hex()}"}
    s3.create_bucket(**place)
    for key in KEYS:
        s3.put_object(**place, Key=key, Body=io.BytesIO(key.encode()), Metadata={"some_name": "x"})
        assert s3.get_object(**place, Key=key)["Body"].read() == key.encode()
    data = random.Random(4).randbytes(SIZE)
    parts = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    s3.upload_fileobj(io.BytesIO(data), place["Bucket"], "parts", Config=parts)
    sink = io.BytesIO()
    s3.download_fileobj(place["Bucket"], "parts", sink)
    assert sink.getvalue() == data
    link = s3.generate_presigned_url("get_object", Params={**place, "Key": "a//b"})
    trust = ssl.create_default_context(cafile=authority)
    with urllib.request.urlopen(link, timeout=60, context=trust) as reply:
        assert reply.read() == b"a//b"
    s3.close()
    wrong = client_of(front, live, "wrong", verify=authority)
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        wrong.put_object(**place, Key="key", Body=bytes(MIB // 2))  # frames included, less than the linger drops
    wrong.close()
