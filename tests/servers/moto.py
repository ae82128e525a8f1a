"""A broad S3 server for tests: moto, in memory. It believes every signature; Swift's s3api (``swift.py``) does not.

``with Moto() as moto``: ``moto.url`` is the endpoint, for any access key and secret.
"""

from __future__ import annotations

from typing import Self

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
