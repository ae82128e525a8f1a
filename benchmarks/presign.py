"""Pre-signed URLs, so that the client's own signing is no part of what is measured."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from benchmarks.servers import Server

BUCKET = "bench"
LIFE = 6 * 3600


class Signer:
    """``target`` gives path and query of one request of one server."""

    def __init__(self, server: Server, region: str = "us-east-1") -> None:
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
            region_name=region,
            config=Config(
                s3={"addressing_style": "path"},
                signature_version="s3v4",
                retries={"total_max_attempts": 3},
                proxies={},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def target(self, method: str, **params: Any) -> str:
        url = urlsplit(self.client.generate_presigned_url(method, {"Bucket": BUCKET, **params}, LIFE))
        return f"{url.path}?{url.query}"

    def targets(self, method: str, keys: list[str]) -> list[str]:
        return [self.target(method, Key=key) for key in keys]
