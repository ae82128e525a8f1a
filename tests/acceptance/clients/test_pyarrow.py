"""pyarrow's S3FileSystem, the AWS SDK for C++ underneath: every write is an upload in parts of its own threads.

It is strict about the root element of CompleteMultipartUpload's reply.
Source: https://arrow.apache.org/docs/python/generated/pyarrow.fs.S3FileSystem.html
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pyarrow as arrow
import pytest
from pyarrow import csv, fs, parquet

from tests.acceptance.clients.shown import Shown

SIZE = 20 * 1000 * 1000 + 17


@pytest.fixture
def files(live: Any) -> Callable[..., fs.S3FileSystem]:
    def make(**keys: str) -> fs.S3FileSystem:
        _, settings = Shown("pyarrow", live).call("fs.S3FileSystem")
        return fs.S3FileSystem(
            **{**settings, **keys},
            connect_timeout=5,
            request_timeout=20,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),
        )

    return make


@pytest.fixture
def s3(files: Callable[..., fs.S3FileSystem], name: str) -> fs.S3FileSystem:
    made = files()
    made.create_dir(name)
    return made


def write(s3: fs.S3FileSystem, path: str, data: bytes, **options: Any) -> None:
    with s3.open_output_stream(path, **options) as out:
        out.write(data)


def read(s3: fs.S3FileSystem, path: str) -> bytes:
    with s3.open_input_stream(path) as source:
        return bytes(source.read())


def test_the_story(s3: fs.S3FileSystem, name: str, odd_keys: tuple[str, ...]) -> None:
    write(s3, f"{name}/small", b"0123456789")
    assert read(s3, f"{name}/small") == b"0123456789"
    with s3.open_input_file(f"{name}/small") as source:  # asks for ranges
        source.seek(3)
        assert source.read(4) == b"3456"

    big = random.Random(1).randbytes(SIZE)
    write(s3, f"{name}/dir/big", big)
    assert read(s3, f"{name}/dir/big") == big
    with s3.open_input_file(f"{name}/dir/big") as source:
        assert source.size() == SIZE
        assert source.read_at(1000, SIZE - 1000) == big[-1000:]

    for key in odd_keys:
        write(s3, f"{name}/odd/{key}", key.encode())
    found = s3.get_file_info(fs.FileSelector(f"{name}/odd", recursive=True))
    assert sorted(one.path for one in found if one.is_file) == sorted(f"{name}/odd/{key}" for key in odd_keys)
    assert all(read(s3, f"{name}/odd/{key}") == key.encode() for key in odd_keys)

    s3.copy_file(f"{name}/odd/with space", f"{name}/copied")
    s3.move(f"{name}/copied", f"{name}/moved")
    assert read(s3, f"{name}/moved") == b"with space"
    assert s3.get_file_info(f"{name}/copied").type == fs.FileType.NotFound
    write(s3, f"{name}/moved", b"new")
    assert read(s3, f"{name}/moved") == b"new"

    s3.delete_dir_contents(name)
    assert s3.get_file_info(fs.FileSelector(name)) == []
    s3.delete_dir(name)
    assert s3.get_file_info(name).type == fs.FileType.NotFound


def test_directories(s3: fs.S3FileSystem, name: str, judge: Any) -> None:
    """A directory is an empty object whose key ends in a slash."""
    s3.create_dir(f"{name}/a/b", recursive=True)
    assert s3.get_file_info(f"{name}/a/b").type == fs.FileType.Directory
    listed = judge.list_objects_v2(Bucket=name)["Contents"]
    assert [found["Key"] for found in listed][-1] == "a/b/"
    write(s3, f"{name}/a/b/c", b"x")
    s3.delete_dir(f"{name}/a/b")
    assert s3.get_file_info(f"{name}/a/b").type == fs.FileType.NotFound


def test_metadata(s3: fs.S3FileSystem, name: str, judge: Any) -> None:
    write(s3, f"{name}/k", b"x", metadata={"Content-Type": "text/css", "Cache-Control": "no-cache"})
    found = judge.head_object(Bucket=name, Key="k")
    assert (found["ContentType"], found["CacheControl"]) == ("text/css", "no-cache")


def test_tables(s3: fs.S3FileSystem, name: str) -> None:
    """A partitioned data set: many small files, read back by columns and filters."""
    count = 100_000
    table = arrow.table({"part": [number % 5 for number in range(count)], "value": list(range(count))})
    parquet.write_to_dataset(table, f"{name}/set", partition_cols=["part"], filesystem=s3)
    back = parquet.read_table(f"{name}/set", filesystem=s3, filters=[("part", "=", 3)], columns=["value"])
    assert sorted(back["value"].to_pylist()) == list(range(3, count, 5))
    with s3.open_output_stream(f"{name}/t.csv.gz", compression="gzip") as out:
        csv.write_csv(table.slice(0, 100), out)
    with s3.open_input_stream(f"{name}/t.csv.gz", compression="gzip") as source:
        assert csv.read_csv(source).num_rows == 100


def test_a_wrong_key_is_told(files: Callable[..., fs.S3FileSystem], name: str) -> None:
    with pytest.raises(OSError, match=r"(?i)signature"):
        files(secret_key="wrong").get_file_info(fs.FileSelector(name))
    with pytest.raises(OSError, match=r"INVALID_ACCESS_KEY_ID|InvalidAccessKeyId"):
        files(access_key="nobody").get_file_info(fs.FileSelector(name))
    with pytest.raises(FileNotFoundError):
        files().open_input_file(f"{name}/missing")
