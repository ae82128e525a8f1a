"""A whole gateway on cloud.gcp, with a key and with a service account, and boto3 in front of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from gateway.testing import LiveGateway

PART = 5 * 1024 * 1024


@pytest.mark.parametrize("mode", ["key", "account"])
def test_put_get_list_multipart(mode: str, moto: Any, google: Any, tmp_path: Path) -> None:
    storage = {"gcp.bucket": moto.bucket(), "gcp.url": google.url}
    secrets = {"gcp_service_account": google.secret}
    if mode == "key":
        storage |= {"gcp.url": moto.url, "gcp.access_key_id": moto.access_key}
        secrets = {"gcpsecret": moto.secret}
    with LiveGateway(tmp_path / "node", backend="cloud.gcp", storage=storage, secrets=secrets) as live:
        s3 = boto3.client(
            "s3",
            endpoint_url=live.endpoint,
            aws_access_key_id=live.access_key,
            aws_secret_access_key=live.secret_key,
            region_name=live.region,
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )
        s3.create_bucket(Bucket="box")
        s3.put_object(Bucket="box", Key="small", Body=b"data", Metadata={"of": "mine"})
        got = s3.get_object(Bucket="box", Key="small")
        assert (got["Body"].read(), got["Metadata"]) == (b"data", {"of": "mine"})
        data = os.urandom(2 * PART + 1000)
        upload = s3.create_multipart_upload(Bucket="box", Key="big")["UploadId"]
        parts = []
        for number in (3, 1, 2):
            piece = data[(number - 1) * PART : number * PART]
            sent = s3.upload_part(Bucket="box", Key="big", UploadId=upload, PartNumber=number, Body=piece)
            parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        chosen = {"Parts": sorted(parts, key=lambda part: int(part["PartNumber"]))}
        s3.complete_multipart_upload(Bucket="box", Key="big", UploadId=upload, MultipartUpload=chosen)
        assert s3.get_object(Bucket="box", Key="big")["Body"].read() == data
        middle = s3.get_object(Bucket="box", Key="big", Range=f"bytes={PART - 2}-{PART + 1}")
        assert middle["Body"].read() == data[PART - 2 : PART + 2]
        assert [each["Key"] for each in s3.list_objects_v2(Bucket="box")["Contents"]] == ["big", "small"]
        assert not any(secret in live.log() for secret in secrets.values())
