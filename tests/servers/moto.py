"""A broad S3 server for tests: moto, in memory. It believes every signature; Swift's s3api (``swift.py``) does not.

``with Moto() as moto``: ``moto.url`` is the endpoint, for any access key and secret.
"""

from __future__ import annotations

import secrets
from typing import Self

import boto3
from botocore.config import Config

from tests.servers.process import ServerProcess, need

ACCESS_KEY, SECRET_KEY = "AKIAEXAMPLEEXAMPLE00", "a-secret-that-nobody-checks"


class Moto(ServerProcess):
    def __init__(self) -> None:
        need("moto")
        super().__init__("moto_process.py", {})
        self.url = ""

    def __enter__(self) -> Self:
        super().__enter__()
        self.url = f"http://127.0.0.1:{self.said['port']}"
        return self


def make_bucket(url: str, access_key: str, secret_key: str) -> str:
    """A new bucket of any S3 server; its name."""
    name = f"faults-{secrets.token_hex(6)}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        config=Config(proxies={}, s3={"addressing_style": "path"}),
    )
    client.create_bucket(Bucket=name)
    client.close()
    return name
