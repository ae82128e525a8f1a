"""A form that is under way when the gateway is killed leaves nothing that anybody sees; the log tells of one that is
whole."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from gateway.testing.server import LiveGateway
from tests.acceptance.raw import form_of

DATA = bytes(range(256)) * 80_000  # 20 MiB: two whole parts and a bit


def answer_to(live: LiveGateway, kind: str, body: bytes, sent: int) -> bytes:
    """The reply to a form of which only so many bytes are sent before the gateway is killed, b"" then."""
    place = urlsplit(live.endpoint)
    head = (
        f"POST /attic HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((place.hostname or "", place.port or 80), 60) as line:
        line.sendall(head.encode() + body[:sent])
        if sent < len(body):
            live.kill()
        try:
            return line.recv(4096)
        except ConnectionError:
            return b""


def client_of(live: LiveGateway) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=live.endpoint,
        aws_access_key_id=live.access_key,
        aws_secret_access_key=live.secret_key,
        region_name=live.region,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )


def test_a_form_that_is_killed_is_not_there_and_can_be_sent_again(tmp_path: Path) -> None:
    with LiveGateway(tmp_path, "local") as live:
        s3 = client_of(live)
        s3.create_bucket(Bucket="attic")
        fields = s3.generate_presigned_post("attic", "crate")["fields"]
        kind, body = form_of(fields, DATA)
        s3.close()
        assert answer_to(live, kind, body, len(body) - 100_000) == b""
        live.start()
        s3 = client_of(live)
        with pytest.raises(ClientError, match="404"):
            s3.head_object(Bucket="attic", Key="crate")
        assert answer_to(live, kind, body, len(body)).startswith(b"HTTP/1.1 204 ")
        assert s3.get_object(Bucket="attic", Key="crate")["Body"].read() == DATA
        s3.close()
    lines = [json.loads(line) for line in (tmp_path / "log" / "access.log").read_text().splitlines()]
    (form,) = [line for line in lines if line["operation"] == "PostObject" and line["status"] == 204]
    assert (form["bucket"], form["key"], form["access_key"]) == ("attic", "crate", live.access_key), form
