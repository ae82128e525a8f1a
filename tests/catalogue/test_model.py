"""Any sequence of commits, copies, removals and reaping keeps references and pieces in step."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from gateway.catalogue import BlobDoomed, open_catalogue
from gateway.errors import S3Error
from gateway.model import NewVersion, Piece
from gateway.seal import Seal

KEYS = st.sampled_from([b"a", b"b", b"c/d", b"c/e"])


@pytest.fixture(autouse=True, scope="module")
def _machine_loop(request: pytest.FixtureRequest) -> None:
    """conftest's Loop, for the machine that hypothesis makes without fixtures."""
    Objects.loop_of = request.config.pluginmanager.get_plugin(str(Path(__file__).parent / "conftest.py")).Loop


class Objects(RuleBasedStateMachine):
    """The catalogue beside a model: which blobs make each key, and which blobs are doomed."""

    loop_of: Any = None
    names = Bundle("names")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.loop = type(self).loop_of()
        self.catalogue = open_catalogue(Path(self.folder.name), Seal(b"k" * 32), reactor=self.loop)
        self.bucket, _ = self.loop.run(self.catalogue.buckets.create("bucket", "o", "storage", ""))
        self.objects: dict[bytes, list[str]] = {}
        self.doomed: set[str] = set()
        self.gone: set[str] = set()
        self.readings: list[tuple[Any, set[str]]] = []

    def drop(self, key: bytes) -> None:
        dropped = self.objects.pop(key, [])
        alive = {name for names in self.objects.values() for name in names}
        self.doomed |= set(dropped) - alive

    @rule(target=names, count=st.integers(1, 3))
    def invent(self, count: int) -> Any:
        return multiple(*[self.loop.run(self.catalogue.blobs.name("storage")) for _ in range(count)])

    @rule(key=KEYS, chosen=st.lists(names, max_size=4), refuse=st.booleans())
    def commit(self, key: bytes, chosen: list[str], refuse: bool) -> None:
        pieces = tuple(Piece(name, 0, 1, b"") for name in chosen)
        new = NewVersion(
            bucket=self.bucket.id, key=key, owner="o", location="storage", size=1, stored=len(pieces), etag="e",
            pieces=pieces,
        )  # fmt: skip

        def check(current: Any) -> None:
            assert (current is not None) == (key in self.objects)
            if refuse:
                raise S3Error("PreconditionFailed")

        expected: type[Exception] | None = None
        if refuse:
            expected = S3Error
        elif set(chosen) & (self.doomed | self.gone):
            expected = BlobDoomed
        if expected is not None:
            with pytest.raises(expected):
                self.loop.run(self.catalogue.versions.commit(new, check))
            return
        self.loop.run(self.catalogue.versions.commit(new, check))
        old = self.objects.pop(key, [])
        self.objects[key] = chosen
        self.doomed |= set(old) - {name for names in self.objects.values() for name in names}

    @rule(key=KEYS)
    def remove(self, key: bytes) -> None:
        removed = self.loop.run(self.catalogue.versions.remove(self.bucket.id, key))
        assert (removed is not None) == (key in self.objects)
        self.drop(key)

    @rule(keys=st.lists(KEYS, max_size=5))
    def remove_many(self, keys: list[bytes]) -> None:
        removed = self.loop.run(self.catalogue.versions.remove_many(self.bucket.id, keys))
        for key, version in zip(keys, removed, strict=True):
            assert (version is not None) == (key in self.objects)
            self.drop(key)

    @rule(name=names)
    def dispose(self, name: str) -> None:
        self.loop.run(self.catalogue.blobs.dispose("storage", [name]))
        if name not in {kept for names in self.objects.values() for kept in names}:
            self.doomed.add(name)
            self.gone.discard(name)

    @rule()
    def read(self) -> None:
        alive = {name for names in self.objects.values() for name in names}
        self.catalogue.look()
        self.readings.append((self.catalogue.blobs.reading(), alive))

    @rule()
    def end_read(self) -> None:
        if self.readings:
            self.readings.pop(0)[0].close()

    @rule()
    def reap(self) -> None:
        due = set(self.loop.run(self.catalogue.blobs.doomed("storage")))
        assert due <= self.doomed
        for _, visible in self.readings:
            assert not due & visible, "a blob that a GET may be reading was given to the reaper"
        if not self.readings:
            assert due == self.doomed
        self.loop.run(self.catalogue.blobs.gone("storage", due))
        self.doomed -= due
        self.gone |= due

    @invariant()
    def references_are_pieces(self) -> None:
        if not hasattr(self, "catalogue"):
            return
        rows = self.catalogue._database.rows
        expected = Counter(name for names in self.objects.values() for name in names)
        assert dict(rows("SELECT name, refs FROM blobs WHERE doomed IS NULL")) == dict(expected)
        assert {name for (name,) in rows("SELECT name FROM blobs WHERE doomed IS NOT NULL")} == self.doomed
        assert dict(rows("SELECT blob, count(*) FROM pieces GROUP BY blob")) == dict(expected)
        counts = self.loop.run(self.catalogue.blobs.counts())
        assert (counts["live"], counts["doomed"]) == (len(expected), len(self.doomed))
        page = self.loop.run(self.catalogue.listing.page(self.bucket.id))
        assert [entry.key for entry in page.objects] == sorted(self.objects)

    def teardown(self) -> None:
        if hasattr(self, "catalogue"):
            self.loop.run(self.catalogue._close())
            self.folder.cleanup()


TestObjects = Objects.TestCase
TestObjects.settings = settings(max_examples=40, stateful_step_count=40, deadline=None, derandomize=True)
