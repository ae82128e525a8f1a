"""Pre-signed URLs, so that the client's own signing is no part of what is measured; and boto3 for all the rest.

They are signed here, for tens of thousands of them are wanted, and botocore takes a fifth of a millisecond for each.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
from botocore.config import Config

from benchmarks.servers import Server

BUCKET = "bench"
LIFE = 6 * 3600
_METHODS = {"get_object": "GET", "head_object": "HEAD", "put_object": "PUT"}
_METHODS |= {"list_objects_v2": "GET", "delete_objects": "POST"}
_ALWAYS = {"list_objects_v2": {"list-type": "2"}, "delete_objects": {"delete": ""}}


class Signer:
    """``target`` gives path and query of one request of one server, its operation named as boto3 names it."""

    def __init__(self, server: Server, region: str = "us-east-1") -> None:
        self.endpoint = server.endpoint
        self._host = urlsplit(server.endpoint).netloc
        self._server = server
        self._region = region
        self._time = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self._scope = f"{self._time[:8]}/{region}/s3/aws4_request"
        key = f"AWS4{server.secret_key}".encode()
        for word in self._scope.split("/"):
            key = hmac.digest(key, word.encode(), "sha256")
        self._key = key

    @cached_property
    def client(self) -> Any:
        """A client of boto3."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self._server.access_key,
            aws_secret_access_key=self._server.secret_key,
            region_name=self._region,
            config=Config(
                s3={"addressing_style": "path"},
                signature_version="s3v4",
                retries={"total_max_attempts": 3},
                proxies={},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def target(self, operation: str, key: str = "", *, md5: str = "", **query: str) -> str:
        """``md5``: a Content-MD5 that will be sent."""
        headers = {**({"content-md5": md5} if md5 else {}), "host": self._host}
        pairs = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self._server.access_key}/{self._scope}",
            "X-Amz-Date": self._time,
            "X-Amz-Expires": str(LIFE),
            "X-Amz-SignedHeaders": ";".join(headers),
            **_ALWAYS.get(operation, {}),
            **{name.replace("_", "-"): value for name, value in query.items()},
        }
        path = f"/{BUCKET}/{quote(key)}" if key else f"/{BUCKET}"
        asked = "&".join(f"{quote(name, '')}={quote(value, '')}" for name, value in sorted(pairs.items()))
        sent = "".join(f"{name}:{value}\n" for name, value in headers.items())
        lines = [_METHODS[operation], path, asked, sent, ";".join(headers), "UNSIGNED-PAYLOAD"]
        hashed = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{self._time}\n{self._scope}\n{hashed}"
        return f"{path}?{asked}&X-Amz-Signature={hmac.new(self._key, text.encode(), 'sha256').hexdigest()}"

    def targets(self, operation: str, keys: list[str]) -> list[str]:
        return [self.target(operation, key) for key in keys]
