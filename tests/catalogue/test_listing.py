"""Pages of a listing agree with the rule of S3, and cost what is on them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import pytest_twisted
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.catalogue.listing import skim
from gateway.model import Bucket, ListedObject

LETTERS = st.text(alphabet="a/b-\u00e4\U0010ffff", max_size=6).map(str.encode)
KEYS = st.sets(LETTERS.filter(bool))  # a key has at least one byte


def by_the_rule(
    names: Iterable[bytes], prefix: bytes, delimiter: bytes, after: bytes, limit: int
) -> tuple[list[bytes], list[bytes], bool]:
    """ListObjectsV2's page, written down slowly: group, then drop what is not after, then cut."""
    groups: dict[bytes, bool] = {}
    for name in sorted(names):
        if not name.startswith(prefix) or name <= after:
            continue
        head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else (b"", b"", b"")
        group = prefix + head + found if found else name
        if found and group == after:
            continue
        groups[group] = bool(found)
    chosen = list(groups)[:limit]
    more = bool(limit) and len(groups) > limit
    return [n for n in chosen if not groups[n]], [n for n in chosen if groups[n]], more


@given(names=KEYS, prefix=LETTERS, delimiter=LETTERS, after=LETTERS, limit=st.integers(0, 8))
@example(names={b"a/b", b"a/c", b"b"}, prefix=b"", delimiter=b"/", after=b"a/", limit=5)
@example(names={b"a/b", b"a/c", b"b"}, prefix=b"", delimiter=b"/", after=b"a/b", limit=1)
@example(names={b"a//b", b"a///"}, prefix=b"a/", delimiter=b"/", after=b"", limit=5)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_page_is_what_the_rule_says(
    lone, loop, names: set[bytes], prefix: bytes, delimiter: bytes, after: bytes, limit: int
) -> None:
    number = store(lone, loop, names)
    page = loop.run(lone.listing.page(number, prefix=prefix, delimiter=delimiter, after=after, limit=limit))
    objects, prefixes, more = by_the_rule(names, prefix, delimiter, after, limit)
    assert [entry.key for entry in page.objects] == objects
    assert list(page.prefixes) == prefixes
    assert page.after == (max([*objects, *prefixes]) if more else None)


@given(names=KEYS, prefix=LETTERS, delimiter=LETTERS, limit=st.integers(1, 3))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_joined_are_the_whole_listing(
    lone, loop, names: set[bytes], prefix: bytes, delimiter: bytes, limit: int
) -> None:
    number = store(lone, loop, names)
    keys: list[bytes] = []
    prefixes: list[bytes] = []
    after: bytes | None = b""
    while after is not None:
        page = loop.run(lone.listing.page(number, prefix=prefix, delimiter=delimiter, after=after or b"", limit=limit))
        assert len(page.objects) + len(page.prefixes) <= limit
        keys += [entry.key for entry in page.objects]
        prefixes += page.prefixes
        after = page.after
    whole_keys, whole_prefixes, _ = by_the_rule(names, prefix, delimiter, b"", 10**6)
    assert keys == whole_keys
    assert prefixes == whole_prefixes


def store(lone, loop, names: Iterable[bytes]) -> int:
    """A fresh bucket number that holds these keys (rows only: thousands of them cost little)."""

    def work(connection) -> int:
        ((bucket,),) = connection.execute("SELECT coalesce(max(bucket), 1000) + 1 FROM current_versions").fetchall()
        for name in names:
            connection.execute(
                "INSERT INTO versions (bucket, key, version_id, owner, location, size, stored, etag, modified, headers,"
                " metadata, storage_class, checksum_type, part_count)"
                " VALUES (?, ?, 'null', 'o', 'l', 1, 1, 'e', 0, '', '', 'STANDARD', '', 0)",
                (bucket, name),
            )
            connection.execute(
                "INSERT INTO current_versions VALUES (?, ?, ?)", (bucket, name, connection.last_insert_rowid())
            )
        return bucket

    number: int = loop.run(lone._database.change(work))
    return number


@pytest_twisted.ensureDeferred
async def test_a_row_of_a_page_tells_about_its_object(catalogue, bucket: Bucket, version_of) -> None:
    name = await catalogue.blobs.name("storage")
    made = await catalogue.versions.commit(
        version_of(bucket, b"k", (name, 5), checksums={"XXHASH3": "x"}, checksum_type="COMPOSITE")
    )
    page = await catalogue.listing.page(bucket.id)
    assert page.objects == (
        ListedObject(b"k", 5, made.etag, made.modified, "STANDARD", "owner", "XXHASH3", "COMPOSITE"),
    )
    assert (page.prefixes, page.after) == ((), None)


def test_rows_that_are_not_looked_at_are_not_fetched() -> None:
    fetched: list[bytes] = []

    def seek(key: bytes):
        for number in range(100):
            name = b"dir%d/file" % number
            if name >= key:
                fetched.append(name)
                yield (name,)

    skim(seek, b"", b"", b"/", 3)
    assert len(fetched) == 4


COMBINATIONS = [
    {},
    {"limit": 1},
    {"prefix": b"d/"},
    {"prefix": b"d/05"},
    {"delimiter": b"/"},
    {"prefix": b"d/", "delimiter": b"/"},
    {"prefix": b"d/05/", "delimiter": b"/"},
    {"delimiter": b"/x"},
    {"prefix": b"d/", "after": b"d/07/"},
    {"prefix": b"d/", "delimiter": b"/", "after": b"d/07/"},
    {"delimiter": b"9"},
]


@pytest.mark.parametrize("asked", COMBINATIONS, ids=str)
def test_a_page_costs_the_same_in_a_small_and_a_large_bucket(lone, loop, steps, asked) -> None:
    limit = {"limit": 50, **asked}
    costs, shown = [], []
    for per_folder in (10, 1000):  # 1,000 and 100,000 keys, in a hundred folders
        keys = [b"d/%02d/x%06d" % (folder, n) for folder in range(100) for n in range(per_folder)]
        number = store(lone, loop, keys)
        with steps(lone) as counted:
            page = loop.run(lone.listing.page(number, **limit))
        costs.append(counted())
        shown.append(len(page.objects) + len(page.prefixes))
    per_entry = [cost / (entries + 1) for cost, entries in zip(costs, shown, strict=True)]
    assert per_entry[1] <= 1.2 * per_entry[0], (costs, shown)
