"""awscrt's own S3 client, on which Mountpoint and the C++ and Python SDKs' fast transfers stand.

It splits every transfer into ranges and parts of its own and checks the ETag of each.
Source: https://awslabs.github.io/aws-crt-python/api/s3.html
"""

from __future__ import annotations

import base64
import filecmp
import hashlib
import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

import pytest
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.s3 import (
    S3ChecksumAlgorithm,
    S3ChecksumConfig,
    S3ChecksumLocation,
    S3Client,
    S3RequestType,
    S3ResponseError,
    S3RetryConfig,
)

from tests.acceptance.clients.shown import Shown

SIZE = 20 * 1000 * 1000 + 17
MIB = 1024 * 1024
NOTHING: Mapping[str, str] = MappingProxyType({})
ALGORITHMS = {
    "CRC32": S3ChecksumAlgorithm.CRC32,
    "CRC32C": S3ChecksumAlgorithm.CRC32C,
    "CRC64NVME": S3ChecksumAlgorithm.CRC64NVME,
    "SHA1": S3ChecksumAlgorithm.SHA1,
    "SHA256": S3ChecksumAlgorithm.SHA256,
}


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Crt:
    """One client, connected as its page shows. Path style; the port stands in the Host header."""

    def __init__(self, live: Any, secret_key: str, **more: Any) -> None:
        _, settings = Shown("mountpoint", live, secret=secret_key).call("S3Client")
        self._authority = live.endpoint.partition("://")[2]
        self._client = S3Client(
            **{**settings, **more},
            part_size=5 * MIB,
            multipart_upload_threshold=5 * MIB,
            throughput_target_gbps=1,
            retry_config=S3RetryConfig(max_retries=1),
        )

    def call(
        self,
        method: str,
        target: str,
        operation: str,
        *,
        kind: S3RequestType = S3RequestType.DEFAULT,
        headers: Mapping[str, str] = NOTHING,
        body: bytes = b"",
        **more: Any,
    ) -> Reply:
        """One operation, which may become many requests. ``target`` is percent-encoded."""
        told = {"Host": self._authority, **headers}
        if "send_filepath" in more:
            told["Content-Length"] = str(Path(more["send_filepath"]).stat().st_size)
        elif method in ("PUT", "POST"):
            told["Content-Length"] = str(len(body))
        status: list[int] = []
        answered: dict[str, str] = {}
        chunks: dict[int, bytes] = {}

        def on_headers(status_code: int, headers: list[tuple[str, str]], **rest: Any) -> None:
            status.append(status_code)
            answered.update({key.lower(): value for key, value in headers})

        def on_body(chunk: bytes, offset: int, **rest: Any) -> None:
            chunks[offset] = chunk

        request = self._client.make_request(
            request=HttpRequest(method, target, HttpHeaders(list(told.items())), io.BytesIO(body) if body else None),
            type=kind,
            operation_name=operation,
            on_headers=on_headers,
            on_body=None if "recv_filepath" in more else on_body,
            **more,
        )
        request.finished_future.result(60)
        return Reply(status[-1], answered, b"".join(chunks[offset] for offset in sorted(chunks)))

    def put(self, target: str, **more: Any) -> Reply:
        return self.call("PUT", target, "PutObject", kind=S3RequestType.PUT_OBJECT, **more)

    def get(self, target: str, **more: Any) -> Reply:
        return self.call("GET", target, "GetObject", kind=S3RequestType.GET_OBJECT, **more)


@pytest.fixture
def crt(live: Any) -> Callable[..., Crt]:
    def make(secret_key: str = "") -> Crt:
        return Crt(live, secret_key)

    return make


@pytest.fixture
def client(crt: Callable[..., Crt], name: str) -> Crt:
    made = crt()
    assert made.call("PUT", f"/{name}", "CreateBucket").status == 200
    return made


def test_the_story(client: Crt, name: str, file: Any, wild_keys: tuple[str, ...], tmp_path: Path) -> None:
    client.put(f"/{name}/small", body=b"0123456789")
    assert client.get(f"/{name}/small").body == b"0123456789"
    assert client.get(f"/{name}/small", headers={"Range": "bytes=2-4"}).body == b"234"

    big, back = file("big", SIZE), tmp_path / "back"
    client.put(f"/{name}/big", send_filepath=str(big))
    reply = client.get(f"/{name}/big", recv_filepath=str(back))
    assert filecmp.cmp(big, back, shallow=False)
    assert reply.headers["etag"].endswith('-4"')

    for key in wild_keys:
        client.put(f"/{name}/odd/{quote(key)}", body=key.encode())
    assert all(client.get(f"/{name}/odd/{quote(key)}").body == key.encode() for key in wild_keys)
    listed = client.call("GET", f"/{name}?list-type=2&prefix=odd%2F&encoding-type=url", "ListObjectsV2").body
    assert sorted(unquote(key) for key in re.findall("<Key>odd(?:/|%2F)([^<]*)</Key>", listed.decode())) == sorted(
        wild_keys
    )

    source = {"x-amz-copy-source": f"/{name}/big"}
    client.call("PUT", f"/{name}/copied", "CopyObject", headers=source)
    assert client.get(f"/{name}/copied").body == big.read_bytes()
    client.put(f"/{name}/copied", body=b"new")
    assert client.get(f"/{name}/copied").body == b"new"

    keys = ["small", "big", "copied", *(f"odd/{key}" for key in wild_keys)]
    document = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys)
    body = f"<Delete>{document}</Delete>".encode()
    digest = {"Content-MD5": base64.b64encode(hashlib.md5(body).digest()).decode()}
    told = client.call("POST", f"/{name}?delete", "DeleteObjects", headers=digest, body=body).body
    assert told.count(b"<Deleted>") == len(keys)
    assert client.call("DELETE", f"/{name}", "DeleteBucket").status == 204


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
@pytest.mark.parametrize("where", [S3ChecksumLocation.TRAILER, S3ChecksumLocation.HEADER])
def test_checksums_of_parts(
    client: Crt, judge: Any, name: str, file: Any, algorithm: str, where: S3ChecksumLocation
) -> None:
    """Each part goes with its checksum, the whole comes back with one that the client verifies."""
    big = file("big", 11 * MIB)
    config = S3ChecksumConfig(algorithm=ALGORITHMS[algorithm], location=where)
    client.put(f"/{name}/big", send_filepath=str(big), checksum_config=config)
    found = judge.head_object(Bucket=name, Key="big", ChecksumMode="ENABLED")
    assert found[f"Checksum{algorithm}"]
    verified = client.get(f"/{name}/big", checksum_config=S3ChecksumConfig(validate_response=True))
    assert verified.body == big.read_bytes()
    small = file("small", 1000)
    client.put(f"/{name}/small", send_filepath=str(small), checksum_config=config)
    verified = client.get(f"/{name}/small", checksum_config=S3ChecksumConfig(validate_response=True))
    assert verified.headers[f"x-amz-checksum-{algorithm.lower()}"]


def test_a_range_in_parts(client: Crt, name: str, file: Any) -> None:
    """A range larger than a part becomes ranges with If-Match."""
    big = file("big", SIZE)
    client.put(f"/{name}/big", send_filepath=str(big))
    reply = client.get(f"/{name}/big", headers={"Range": "bytes=1000000-16999999"})
    assert reply.body == big.read_bytes()[1_000_000:17_000_000]
    assert client.get(f"/{name}/big", headers={"Range": "bytes=-17"}).body == big.read_bytes()[-17:]


def test_a_wrong_key_is_told(crt: Callable[..., Crt], bucket: str) -> None:
    with pytest.raises(S3ResponseError) as wrong:
        crt("wrong").get(f"/{bucket}/k")
    assert (wrong.value.status_code, b"SignatureDoesNotMatch" in wrong.value.body) == (403, True)
    with pytest.raises(S3ResponseError) as missing:
        crt().get(f"/{bucket}/k")
    assert (missing.value.status_code, b"NoSuchKey" in missing.value.body) == (404, True)
