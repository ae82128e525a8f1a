"""A page costs what the page costs: SQLite's steps for it do not grow with the bucket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.catalogue import Catalogue, open_catalogue
from gateway.seal import Seal

SMALL = 1_000
LARGE = 1_000_000
# ten folders on each level: "d0/" to "d9/" and so on, and as many files as are needed in each folder of the last
SETUP = """
INSERT INTO versions (id, bucket, key, version_id, owner, location, size, stored, etag, modified, headers, metadata,
    storage_class, checksum_type, part_count)
WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)
SELECT ?3 + i, ?1, CAST(printf('d%d/e%d/f%d/%06d.txt', i % 10, i / 10 % 10, i / 100 % 10, i / 1000) AS BLOB),
    'null', 'o', 'l', 1, 1, 'e', 0, '', '', 'STANDARD', '', 0 FROM n;
INSERT INTO current_versions SELECT bucket, key, id FROM versions WHERE bucket = ?1;
"""


class Now:
    """The catalogue's reactor, where nobody waits for a write."""

    def callFromThread(self, call: Any, *values: Any) -> None:
        call(*values)


def run(work: Any) -> Any:
    """The result of a coroutine that only reads, and so never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("a read waited")


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """Two buckets of the same shape: number 1 is small, number 2 large."""
    import apsw

    folder = tmp_path_factory.mktemp("listing")
    opened = open_catalogue(folder, Seal(b"k" * 32), reactor=Now())  # type: ignore[arg-type]
    connection = apsw.Connection(str(folder / "catalogue.sqlite"))
    try:
        connection.execute("PRAGMA synchronous = OFF")
        with connection:
            for bucket, keys in ((1, SMALL), (2, LARGE)):
                for statement in SETUP.split(";\n"):
                    if statement.strip():
                        connection.execute(
                            statement, (bucket, keys, bucket * 10_000_000)[: 3 if "?3" in statement else 1]
                        )
    finally:
        connection.close()
    yield opened
    opened.close()


def steps(catalogue: Catalogue, bucket: int, **asked: Any) -> tuple[int, int, bool]:
    """(SQLite's virtual-machine steps for the page, entries on the page, whether there are more)."""
    count = [0]

    def tick() -> bool:
        count[0] += 1
        return False

    reader = catalogue._database.reader
    reader.set_progress_handler(tick, 1)
    try:
        page = run(catalogue.listing.page(bucket, **asked))
    finally:
        reader.set_progress_handler(None)
    return count[0], len(page.objects) + len(page.prefixes), page.after is not None


PREFIXES = [b"", b"d3", b"d3/", b"d3/e4", b"d3/e4/", b"d3/e4/f5", b"d3/e4/f5/", b"d3/e4/f5/0000", b"zzz", b"A"]
DELIMITERS = [b"", b"/", b"/f", b".txt", b"0", b"nowhere"]
AFTERS = [b"", b"d3/", b"d3/e4/", b"d3/e4/f5/000000.txt", b"d9/e9/f9/999999"]


@pytest.mark.parametrize("delimiter", DELIMITERS, ids=repr)
@pytest.mark.parametrize("prefix", PREFIXES, ids=repr)
def test_a_page_of_a_large_bucket_costs_what_a_page_of_a_small_one_does(
    catalogue: Catalogue, prefix: bytes, delimiter: bytes
) -> None:
    # what one entry and the look at the one behind it may cost, for pages that the small bucket cannot fill
    entry = max(steps(catalogue, 1, prefix=each, delimiter=delimiter, limit=1)[0] for each in PREFIXES)
    for after in AFTERS:
        for limit in (1, 3, 10, 100, 1000):
            asked = {"prefix": prefix, "delimiter": delimiter, "after": after, "limit": limit}
            (small, *few), (large, *many) = (steps(catalogue, bucket, **asked) for bucket in (1, 2))
            allowed = small if few == many else entry * (many[0] + 1)
            assert large <= 1.2 * allowed, (asked, small, few, large, many)


def test_the_buckets_are_what_they_should_be(catalogue: Catalogue) -> None:
    counted = dict(catalogue._database.reader.execute("SELECT bucket, count(*) FROM current_versions GROUP BY bucket"))
    assert counted == {1: SMALL, 2: LARGE}
    assert steps(catalogue, 2, prefix=b"d3/e4/f5/", limit=1000)[1] == min(1000, LARGE // SMALL)
    assert steps(catalogue, 2, delimiter=b"/")[1] == 10
