"""Every client of the suite over TLS, each trusting an authority of the tests' own: a bucket, an object, and back."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pytest
import urllib3
from awscrt.exceptions import AwsCrtError
from awscrt.http import HttpClientConnection, HttpHeaders, HttpRequest
from awscrt.io import ClientTlsContext, TlsContextOptions
from awscrt.s3 import S3Client, S3RequestTlsMode, S3RequestType
from botocore.config import Config
from minio import Minio
from pyarrow import fs

from gateway.testing.server import LiveGateway
from tests.acceptance.clients.shown import Shown
from tests.authority import Authority

BIN = Path(sys.executable).parent
JS = Path(__file__).parent / "js"
SIZE = 6 * 1024 * 1024 + 17  # more than one part, and many records of TLS


@dataclass(frozen=True, slots=True)
class Tls:
    """``endpoint`` is the gateway's with TLS, ``authority`` the file that tells whom to trust."""

    endpoint: str
    authority: str
    live: LiveGateway

    @property
    def keys(self) -> Mapping[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.live.access_key,
            "AWS_SECRET_ACCESS_KEY": self.live.secret_key,
            "AWS_DEFAULT_REGION": self.live.region,
            "AWS_REGION": self.live.region,
        }

    @property
    def host(self) -> str:
        return self.endpoint.removeprefix("https://")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    authority.issue("server")
    listen = "tcp:0:interface=127.0.0.1\nssl:0:privateKey=server-key.pem:certKey=server.pem:interface=127.0.0.1"
    with LiveGateway(folder, "local", gateway={"listen": listen, "region": "us-east-1"}) as live:
        (endpoint,) = re.findall(r"endpoint +(https://\S+)", (folder / "server.out").read_text())
        yield Tls(endpoint, str(authority.file), live)


@pytest.fixture
def s3(tls: Tls) -> Iterator[Any]:
    """boto3 over TLS: the judge, and a client itself."""
    client = boto3.client(
        "s3",
        endpoint_url=tls.endpoint,
        aws_access_key_id=tls.live.access_key,
        aws_secret_access_key=tls.live.secret_key,
        region_name=tls.live.region,
        verify=tls.authority,
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )
    yield client
    client.close()


@pytest.fixture
def sent(file: Callable[[str, int], Path]) -> Path:
    return file("sent", SIZE)


@pytest.fixture
def bucket(s3: Any, name: str) -> str:
    """Over TLS, where the common one is made in the clients' shared gateway."""
    s3.create_bucket(Bucket=name)
    return name


def read(s3: Any, bucket: str, key: str = "sent") -> bytes:
    return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())


def test_boto3(s3: Any, name: str, sent: Path, tmp_path: Path) -> None:
    s3.create_bucket(Bucket=name)
    s3.upload_file(str(sent), name, "sent")
    s3.download_file(name, "sent", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == sent.read_bytes()


def test_who_does_not_trust_us_says_so(tls: Tls, run: Any) -> None:
    assert "certificate" in run(["curl", "-sS", f"{tls.endpoint}/_/live"], ok=False)


def test_curl(tls: Tls, s3: Any, run: Any, name: str, sent: Path, tmp_path: Path) -> None:
    user = f"{tls.live.access_key}:{tls.live.secret_key}"
    curl = ["curl", "-sSf", "--cacert", tls.authority, "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", user]
    curl += ["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]  # curl of 2023 signs it, and does not send it by itself
    run([*curl, "-X", "PUT", f"{tls.endpoint}/{name}"])
    run([*curl, "-T", str(sent), f"{tls.endpoint}/{name}/sent"])
    run([*curl, "-o", str(tmp_path / "back"), f"{tls.endpoint}/{name}/sent"])
    assert (tmp_path / "back").read_bytes() == sent.read_bytes() == read(s3, name)


def test_aws_cli(tls: Tls, run: Any, name: str, sent: Path, tmp_path: Path) -> None:
    aws = [str(BIN / "aws"), "--endpoint-url", tls.endpoint, "--ca-bundle", tls.authority, "s3"]
    run([*aws, "mb", f"s3://{name}"], env=tls.keys)
    run([*aws, "cp", str(sent), f"s3://{name}/sent"], env=tls.keys)
    run([*aws, "cp", f"s3://{name}/sent", str(tmp_path / "back")], env=tls.keys)
    assert (tmp_path / "back").read_bytes() == sent.read_bytes()


def test_rclone(tls: Tls, run: Any, name: str, sent: Path, tmp_path: Path) -> None:
    env = {**tls.keys, "RCLONE_CONFIG": str(tmp_path / "none")}
    remote = f":s3,provider=Other,env_auth=true,endpoint='{tls.endpoint}':{name}"
    rclone = [str(BIN / "rclone"), "--ca-cert", tls.authority, "--retries=1"]
    run([*rclone, "mkdir", remote], env=env)
    run([*rclone, "copyto", str(sent), f"{remote}/sent"], env=env)
    run([*rclone, "copyto", f"{remote}/sent", str(tmp_path / "back")], env=env)
    assert (tmp_path / "back").read_bytes() == sent.read_bytes()


def test_minio_py(tls: Tls, name: str, sent: Path) -> None:
    pool = urllib3.PoolManager(ca_certs=tls.authority, retries=False)
    minio = Minio(
        tls.host, secure=True, http_client=pool, access_key=tls.live.access_key, secret_key=tls.live.secret_key
    )
    minio.make_bucket(name)
    minio.put_object(name, "sent", io.BytesIO(sent.read_bytes()), SIZE)
    reply = minio.get_object(name, "sent")
    assert reply.read() == sent.read_bytes()
    reply.close()
    pool.clear()


def test_pyarrow(tls: Tls, name: str, sent: Path) -> None:
    files = fs.S3FileSystem(
        access_key=tls.live.access_key,
        secret_key=tls.live.secret_key,
        endpoint_override=tls.endpoint,
        region=tls.live.region,
        tls_ca_file_path=tls.authority,
        allow_bucket_creation=True,
    )
    files.create_dir(name)
    with files.open_output_stream(f"{name}/sent") as out:
        out.write(sent.read_bytes())
    with files.open_input_stream(f"{name}/sent") as back:
        assert back.read() == sent.read_bytes()


def test_duckdb(tls: Tls, bucket: str) -> None:
    import duckdb_extension_httpfs

    extension = next(Path(str(duckdb_extension_httpfs.__file__)).parent.rglob("*.duckdb_extension"))
    with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as duck:
        duck.execute(f"LOAD '{extension}'")
        duck.execute(f"SET ca_cert_file = '{tls.authority}'")
        duck.execute("SET enable_server_cert_verification = true")
        duck.execute(
            f"CREATE SECRET (TYPE s3, KEY_ID '{tls.live.access_key}', SECRET '{tls.live.secret_key}', "
            f"REGION 'us-east-1', ENDPOINT '{tls.host}', URL_STYLE 'path', USE_SSL true)"
        )
        duck.execute(f"COPY (SELECT 42 AS answer) TO 's3://{bucket}/a.csv'")
        assert duck.execute(f"SELECT answer FROM 's3://{bucket}/a.csv'").fetchone() == (42,)


def test_awscrt(tls: Tls, bucket: str, s3: Any, sent: Path, tmp_path: Path) -> None:
    trust = TlsContextOptions()
    trust.override_default_trust_store_from_path(None, tls.authority)
    _, settings = Shown("mountpoint", tls.live).call("S3Client")
    connection = ClientTlsContext(trust).new_connection_options()
    client = S3Client(**{**settings, "tls_mode": S3RequestTlsMode.ENABLED, "tls_connection_options": connection})
    told = [("Host", tls.host), ("Content-Length", str(SIZE))]
    put = HttpRequest("PUT", f"/{bucket}/sent", HttpHeaders(told))
    client.make_request(request=put, type=S3RequestType.PUT_OBJECT, send_filepath=str(sent)).finished_future.result(60)
    assert read(s3, bucket) == sent.read_bytes()
    get, back = HttpRequest("GET", f"/{bucket}/sent", HttpHeaders(told[:1])), str(tmp_path / "back")
    client.make_request(request=get, type=S3RequestType.GET_OBJECT, recv_filepath=back).finished_future.result(60)
    assert Path(back).read_bytes() == sent.read_bytes()


def test_awscrt_does_not_trust_just_anybody(tls: Tls) -> None:
    connection = ClientTlsContext(TlsContextOptions()).new_connection_options()
    host, _, port = tls.host.partition(":")
    with pytest.raises(AwsCrtError, match="TLS"):
        HttpClientConnection.new(host, int(port), tls_connection_options=connection).result(60)


def test_sdk_js(tls: Tls, run: Any, needs: Any, name: str, wild_keys: tuple[str, ...]) -> None:
    program = needs("node", "apt-get install nodejs npm (20 or newer)")
    assert (JS / "node_modules").exists(), "make .make/js"
    client = Shown("sdk-js", tls.live).part(r"new S3Client\((\{.*?\})\);").replace(tls.live.endpoint, tls.endpoint)
    env = {"CLIENT": client, "BUCKET": name, "ODD_KEYS": json.dumps(wild_keys)}
    run([program, "story.mjs", "story"], cwd=JS, env={**env, "NODE_EXTRA_CA_CERTS": tls.authority})


def test_s3cmd(tls: Tls, run: Any, needs: Any, name: str, sent: Path, tmp_path: Path) -> None:
    words = [needs("s3cmd", "apt-get install s3cmd"), "--no-progress", f"--ca-certs={tls.authority}", "--ssl"]
    words += [f"--host={tls.host}", f"--host-bucket={tls.host}/%(bucket)", "--region=us-east-1", "-c", os.devnull]
    words += [f"--access_key={tls.live.access_key}", f"--secret_key={tls.live.secret_key}"]
    run([*words, "mb", f"s3://{name}"])
    run([*words, "put", str(sent), f"s3://{name}/sent"])
    run([*words, "get", f"s3://{name}/sent", str(tmp_path / "back")])
    assert (tmp_path / "back").read_bytes() == sent.read_bytes()


def test_restic(tls: Tls, run: Any, needs: Any, name: str, sent: Path, tmp_path: Path) -> None:
    program = needs("restic", "apt-get install restic")
    env = {**tls.keys, "RESTIC_REPOSITORY": f"s3:{tls.endpoint}/{name}/repo", "RESTIC_PASSWORD": "a password"}
    restic = [program, "--cacert", tls.authority, "--no-cache"]
    run([*restic, "init"], env=env)
    run([*restic, "backup", sent.name], env=env, cwd=sent.parent)
    run([*restic, "restore", "latest", "--target", str(tmp_path / "back")], env=env)
    assert (tmp_path / "back" / "sent").read_bytes() == sent.read_bytes()


def test_duplicity(tls: Tls, run: Any, needs: Any, bucket: str, file: Any, tmp_path: Path) -> None:
    program = needs("duplicity", "apt-get install duplicity python3-boto3")
    folder, back = file("here/sent", SIZE).parent, tmp_path / "back"
    words = ["--no-encryption", f"--s3-endpoint-url={tls.endpoint}", "--s3-region-name=us-east-1"]
    env = {**tls.keys, "AWS_CA_BUNDLE": tls.authority}
    run([program, *words, str(folder), f"boto3+s3://{bucket}/backup"], env=env)
    run([program, *words, f"boto3+s3://{bucket}/backup", str(back)], env=env)
    assert (back / "sent").read_bytes() == (folder / "sent").read_bytes()


def test_s3fs(tls: Tls, needs: Any, bucket: str, sent: Path, s3: Any, tmp_path: Path) -> None:
    program = needs("s3fs", "apt-get install s3fs fuse")
    if not os.access("/dev/fuse", os.W_OK):
        assert os.environ.get("CI") != "true", "s3fs needs /dev/fuse"
        pytest.skip("s3fs needs /dev/fuse")
    mount = tmp_path / "mount"
    mount.mkdir()
    options = {"url": tls.endpoint, "endpoint": "us-east-1"}
    words = [program, bucket, str(mount), "-o", "use_path_request_style"]
    words += [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    env = {**os.environ, **tls.keys, "CURL_CA_BUNDLE": tls.authority}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    try:
        shutil.copy(sent, mount / "sent")
        assert (mount / "sent").read_bytes() == sent.read_bytes()
    finally:
        subprocess.run(["fusermount", "-u", str(mount)], check=True, timeout=60)
    assert read(s3, bucket) == sent.read_bytes()


def test_the_gateway_s_own_commands(tls: Tls, run: Any, bucket: str, sent: Path, tmp_path: Path) -> None:
    env = {**tls.keys, "AWS_ENDPOINT_URL_S3": tls.endpoint, "SSL_CERT_FILE": tls.authority}
    env["AWS_CA_BUNDLE"] = tls.authority
    program = str(BIN / "gateway")
    run([program, "put", str(sent), f"{bucket}/sent"], env=env)
    run([program, "get", f"{bucket}/sent", str(tmp_path / "back")], env=env)
    assert (tmp_path / "back").read_bytes() == sent.read_bytes()


def test_a_browser(tls: Tls, run: Any) -> None:
    page = run(["curl", "-sSf", "--cacert", tls.authority, "-H", "Accept: text/html", f"{tls.endpoint}/"])
    assert "This is an S3 gateway" in page
