"""How values lie in columns: what an older gateway wrote stays readable, and each checksum of S3 has its place."""

from __future__ import annotations

import json

from gateway.catalogue import rows
from gateway.model import Content, Version
from gateway.wire import checksums

MADE = Version(
    id=7,
    bucket=1,
    key=b"k",
    version_id="null",
    owner="o",
    location="storage",
    size=5,
    stored=5,
    etag="e",
    modified=12.5,
    content=Content(headers={"content-type": "text/plain"}),
    checksums={"SHA256": "abc="},
    checksum_type="COMPOSITE",
    part_count=2,
)


def test_each_checksum_that_clients_may_send_has_a_column() -> None:
    assert set(rows.ALGORITHMS) == set(checksums.ALGORITHMS)


def test_what_is_kept_of_a_completion_comes_back() -> None:
    assert rows.kept_version(rows.saved_version(MADE), b"k") == MADE


def test_what_a_gateway_kept_that_knew_five_checksums_comes_back() -> None:
    older = json.dumps(json.loads(rows.saved_version(MADE))[:20])
    assert rows.kept_version(older, b"k") == MADE
