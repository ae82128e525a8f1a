"""docs/compatibility.md, written from what pytest saw (`make compatibility`): ``compatibility.py FOLDER PAGE``.

Which operations a test asked for is read from the gateway's access log, by the time at which the requests came.
"""

from __future__ import annotations

import json
import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway import __version__
from gateway.operations import OPERATIONS
from gateway.operations.unset_settings import OPERATIONS as NEVER_SET
from tests.servers.storages import MORE, STORAGES

# One file of tests is one family of behaviours.
FAMILIES = {
    "test_every_operation": "boto3: every operation once",
    "test_boto3_buckets": "boto3: buckets and who owns them",
    "test_boto3_objects": "boto3: put, get, head and delete",
    "test_boto3_checksums": "boto3: checksums of single puts",
    "test_boto3_conditions": "boto3: conditional requests",
    "test_boto3_copy": "boto3: copies",
    "test_boto3_errors": "boto3: errors as documented",
    "test_boto3_listing": "boto3: ListObjectsV2",
    "test_boto3_listing_v1": "boto3: ListObjects, paged ListBuckets",
    "test_boto3_versions": "boto3: ListObjectVersions",
    "test_boto3_multipart": "boto3: multipart uploads",
    "test_boto3_multipart_checksums": "boto3: checksums of multipart uploads",
    "test_boto3_multipart_listing": "boto3: lists of uploads and parts, races",
    "test_boto3_storage_classes": "boto3: storage classes, redirects",
    "test_aws_cli": "aws-cli: `s3`",
    "test_aws_s3api": "aws-cli: `s3api`",
    "test_rclone": "rclone",
    "test_addressing": "path and host style, regions",
    "test_behaviours_headers": "well-known behaviours: headers, ranges, names",
    "test_behaviours_listing": "well-known behaviours: lists",
    "test_behaviours_objects": "well-known behaviours: objects, multipart",
    "test_keys": "access keys while it serves",
    "test_limits": "S3's limits",
    "test_odd_keys": "odd keys, byte for byte",
    "test_presigned": "presigned URLs",
    "test_forms": "form uploads (POST Object)",
    "test_signature_v2": "Signature V2",
    "test_signed_chunks": "uploads in signed chunks",
    "test_streaming_memory": "1 GiB in little memory",
    "test_subresources": "sub-resources that nobody set",
}
_EXPLAINED = """# Compatibility

What the acceptance tests (boto3, aws-cli, rclone and requests written byte by byte) found, the same tests on every
storage. A number is how many passed; where not all did it says of how many, and why is told at
[the end](#what-did-not-pass). "-" means that no such test ran there. Behind an `@` stands another server for the same
backend. `make compatibility` runs them all, and writes this page from what it saw.
"""
_HONEST = """None of it ran against the vendors' own services: not Amazon S3, Google Cloud Storage, Azure or Rackspace.
Whoever has an account can try a backend on them with `gateway check-backend` (see the plugin's README).
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """A test that ran, from ``start`` to ``stop`` (seconds since 1970). ``outcome``: passed, failed or skipped."""

    test: str
    outcome: str
    reason: str
    start: float
    stop: float

    @property
    def family(self) -> str:
        file = self.test.partition("::")[0]
        return FAMILIES.get(file, file)


@dataclass(slots=True)
class Column:
    """What is known of one storage. ``server``: where the bytes were; ``asked``: when requests came, and for what."""

    server: str = "it did not start"
    day: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())
    ran: list[Ran] = field(default_factory=list)
    asked: list[tuple[float, str]] = field(default_factory=list)

    def cells(self) -> dict[str, list[bool]]:
        """For each family and operation whether the tests of it passed."""
        found: dict[str, list[bool]] = {}
        for each in self.ran:
            # the log counts whole milliseconds
            first = bisect_left(self.asked, (each.start - 0.001, ""))
            last = bisect_right(self.asked, (each.stop, "~"))
            for name in {each.family, *(operation for _, operation in self.asked[first:last])}:
                found.setdefault(name, []).append(each.outcome == "passed")
        return found


class Record(dict[str, Column]):
    """The columns of one run, by the storage's name."""

    def column(self, storage: str) -> Column:
        return self.setdefault(storage, Column())

    def report(self, item: pytest.Item, storage: str, report: pytest.TestReport) -> None:
        """Note a test's call, and a setup or teardown that did not pass."""
        if storage and (report.when == "call" or not report.passed):
            reason = "" if report.passed else _reason(report)
            ran = Ran(f"{item.path.stem}::{item.name}", report.outcome, reason, report.start, report.stop)
            self.column(storage).ran.append(ran)

    def keep(self, folder: Path) -> None:
        """One file for each storage; what an earlier run found of other tests stays in it."""
        folder.mkdir(parents=True, exist_ok=True)
        before = self.kept(folder)
        for name, column in self.items():
            old = before.get(name, Column())
            again = {each.test for each in column.ran}
            column.ran = [*(each for each in old.ran if each.test not in again), *column.ran]
            column.asked = sorted([*old.asked, *column.asked])
            (folder / f"{name}.json").write_text(json.dumps(asdict(column)))

    @classmethod
    def kept(cls, folder: Path) -> Record:
        found = cls()
        for name in (*STORAGES, *MORE):
            if (file := folder / f"{name}.json").exists():
                told = json.loads(file.read_text())
                asked = [(when, operation) for when, operation in told["asked"]]
                ran = [Ran(**each) for each in told["ran"]]
                found[name] = Column(told["server"], told["day"], ran, asked)
        return found

    def page(self) -> str:
        rows = [(f"`{name}`", column.server, column.day) for name, column in self.items()]
        parts = [
            _EXPLAINED,
            f"This is txgateway {__version__}.\n",
            _table(("storage", "where the bytes were", "day"), rows),
            _HONEST,
            "## Behaviours\n",
            self._counts("behaviour", FAMILIES.values()),
            "## Operations\n",
            "Of the tests that asked for an operation:\n",
            self._counts("operation", sorted(frozenset(OPERATIONS) - set(NEVER_SET))),
            "Settings that a bucket or object never had, answered from the catalogue:\n",
            self._counts("operation", sorted(NEVER_SET)),
            "## What did not pass\n",
            self._missed(),
        ]
        return "\n".join(parts)

    def _counts(self, kind: str, wanted: Iterable[str]) -> str:
        columns = [column.cells() for column in self.values()]
        shown = [(name, *(_cell(cells.get(name, [])) for cells in columns)) for name in wanted]
        return _table((kind, *(f"`{name}`" for name in self)), shown)

    def _missed(self) -> str:
        missed = [each for column in self.values() for each in column.ran if each.outcome != "passed"]
        lines = [f"- `{each.test}`: {each.reason}" for each in missed]
        return "\n".join(lines or ["Everything that ran passed."]) + "\n"


def answers(log: Path) -> Iterator[tuple[float, str]]:
    """When each request came, and for which operation, from a gateway's access log."""
    for line in log.read_text().splitlines():
        told = json.loads(line)
        yield datetime.fromisoformat(told["time"]).timestamp(), told["operation"]


def _cell(passed: Sequence[bool]) -> str:
    if not passed:
        return "-"
    return str(len(passed)) if all(passed) else f"**{sum(passed)} of {len(passed)}**"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _reason(report: pytest.TestReport) -> str:
    """One line."""
    if isinstance(report.longrepr, tuple):
        told = str(report.longrepr[2])
    else:
        crash = getattr(report.longrepr, "reprcrash", None)
        told = getattr(report, "wasxfail", "") or str(getattr(crash, "message", report.longrepr))
    line = told.strip().split("\n")[0].removeprefix("Skipped: ")
    return re.sub(r"[`|<>]", "'", line)[:200]


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(Record.kept(Path(sys.argv[1])).page())
