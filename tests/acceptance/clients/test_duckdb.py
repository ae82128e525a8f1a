"""DuckDB's httpfs: HEAD for the size, ranged GETs, globs by listing, files written as uploads in parts.

Source: https://duckdb.org/docs/stable/core_extensions/httpfs/s3api
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import duckdb_extension_httpfs
import pytest

from tests.acceptance.clients.shown import Shown

EXTENSION = next(Path(duckdb_extension_httpfs.__file__).parent.rglob("httpfs.duckdb_extension"))


@pytest.fixture
def connect(live: Any, home: Path) -> Iterator[Callable[..., duckdb.DuckDBPyConnection]]:
    """``connect(secret)`` -> a connection with httpfs, which asks the network for nothing."""
    made = []

    def make(secret: str = "") -> duckdb.DuckDBPyConnection:
        settings: dict[str, Any] = {"home_directory": str(home), "autoinstall_known_extensions": False, "threads": 2}
        connection = duckdb.connect(config=settings)
        made.append(connection)
        connection.load_extension(str(EXTENSION))
        connection.execute("SET http_timeout = 20; SET http_retries = 0")
        connection.execute(Shown("duckdb", live, secret=secret).part(r"CREATE SECRET \([^)]*\)"))
        return connection

    yield make
    for connection in made:
        connection.close()


@pytest.fixture
def duck(connect: Callable[..., duckdb.DuckDBPyConnection]) -> duckdb.DuckDBPyConnection:
    return connect()


def one(duck: duckdb.DuckDBPyConnection, query: str) -> Any:
    row = duck.execute(query).fetchone()
    assert row is not None
    return row[0] if len(row) == 1 else row


def test_the_story(duck: duckdb.DuckDBPyConnection, bucket: str, judge: Any) -> None:
    place = f"s3://{bucket}"
    duck.execute(f"COPY (SELECT 42 AS answer) TO '{place}/small.csv'")
    assert one(duck, f"SELECT answer FROM '{place}/small.csv'") == 42

    duck.execute("SELECT setseed(0.5)")
    duck.execute("CREATE TABLE numbers AS SELECT range AS id, random() AS value FROM range(2_000_000)")
    duck.execute(f"COPY numbers TO '{place}/big.parquet' (COMPRESSION uncompressed)")
    assert judge.head_object(Bucket=bucket, Key="big.parquet")["ContentLength"] > 16_000_000
    assert one(duck, f"SELECT count(*), max(id) FROM '{place}/big.parquet'") == (2_000_000, 1_999_999)
    # A point read asks for a few ranges of the file only.
    here = one(duck, "SELECT value FROM numbers WHERE id = 1234567")
    assert one(duck, f"SELECT value FROM '{place}/big.parquet' WHERE id = 1234567") == here

    for key in ("with space", "plus+sign", "per%20cent", "grün/ß", "(paren)"):
        duck.execute(f"COPY (SELECT '{key}' AS key) TO '{place}/odd/{key}.json'")
    listed = [found["Key"] for found in judge.list_objects_v2(Bucket=bucket, Prefix="odd/")["Contents"]]
    assert sorted(listed) == sorted(
        f"odd/{key}.json" for key in ("with space", "plus+sign", "per%20cent", "grün/ß", "(paren)")
    )
    assert one(duck, f"SELECT count(DISTINCT key) FROM '{place}/odd/**/*.json'") == 5

    duck.execute(f"COPY (SELECT 43 AS answer) TO '{place}/small.csv'")
    assert one(duck, f"SELECT answer FROM '{place}/small.csv'") == 43


def test_a_partitioned_set_and_globs(duck: duckdb.DuckDBPyConnection, bucket: str) -> None:
    place = f"s3://{bucket}/set"
    duck.execute(
        f"COPY (SELECT range AS n, range % 3 AS p FROM range(300)) TO '{place}' (FORMAT parquet, PARTITION_BY p)"
    )
    assert one(duck, f"SELECT count(*) FROM '{place}/*/*.parquet'") == 300
    assert one(duck, f"SELECT sum(n) FROM read_parquet('{place}/**', hive_partitioning = true) WHERE p = 1") == (
        sum(range(1, 300, 3))
    )
    assert one(duck, f"SELECT count(*) FROM glob('{place}/p=[01]/*')") == 2


def test_a_wrong_key_is_told(connect: Callable[..., duckdb.DuckDBPyConnection], duck: Any, bucket: str) -> None:
    duck.execute(f"COPY (SELECT 1 AS x) TO 's3://{bucket}/x.csv'")
    with pytest.raises(duckdb.Error, match="403"):
        connect("wrong").execute(f"SELECT * FROM 's3://{bucket}/x.csv'")
    with pytest.raises(duckdb.Error, match="404"):
        duck.execute(f"SELECT * FROM 's3://{bucket}/missing.csv'")
