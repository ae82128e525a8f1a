"""The fixtures that other projects use: each test has an S3 of its own. (A stranger's one: tests/test_template.py.)"""

from __future__ import annotations

import os
import urllib.request
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from gateway.testing.endpoints import Endpoints
from gateway.testing.server import ServerFault


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_finds_it_empty(gateway_s3: Any, turn: int) -> None:
    s3 = gateway_s3.client
    assert s3.list_buckets()["Buckets"] == []
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="key", Body=b"data")
    s3.create_multipart_upload(Bucket="kept", Key="left-open")
    assert s3.get_object(Bucket="kept", Key="key")["Body"].read() == b"data"


def test_two_of_them_know_nothing_of_each_other(gateway_s3: Any, gateway_s3_endpoints: Any) -> None:
    other = gateway_s3_endpoints.open()
    assert other.endpoint != gateway_s3.endpoint and other.access_key != gateway_s3.access_key
    gateway_s3.client.create_bucket(Bucket="here")
    other.client.create_bucket(Bucket="here")
    other.client.put_object(Bucket="here", Key="key", Body=b"data")
    assert gateway_s3.client.list_objects_v2(Bucket="here")["KeyCount"] == 0
    assert other.secret_key not in repr(other)
    endpoint = other.endpoint
    gateway_s3_endpoints.close(other)
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{endpoint}/_/live", timeout=30)


def test_the_environment_leads_there(gateway_s3_environment: Any) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="found")
    s3.close()
    assert gateway_s3_environment.client.list_buckets()["Buckets"][0]["Name"] == "found"
    assert os.environ["AWS_ENDPOINT_URL_S3"] == gateway_s3_environment.endpoint


def test_the_environment_is_as_before() -> None:
    """Runs after the test above."""
    assert "AWS_ENDPOINT_URL_S3" not in os.environ


def test_the_process_ends_and_leaves_nothing() -> None:
    endpoints = Endpoints()
    one = endpoints.open()
    one.client.list_buckets()
    with pytest.raises(ServerFault, match="KeyError"):
        endpoints._ask("close http://127.0.0.1:1")
    folder = endpoints._folder
    endpoints.end()
    assert endpoints._process.returncode == 0
    assert not folder.exists()
    with pytest.raises(EndpointConnectionError):
        one.client.list_buckets()
    one.close()
