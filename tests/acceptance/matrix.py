"""Which acceptance tests run on which storage.

memory and local: every test, every day. The clouds: with GATEWAY_LONG=1 (`make test-long`) and for the page
docs/compatibility.md everything, on further servers, too. Every day the tests of each file are dealt out to the clouds
like cards, so that each test runs on one of them and each file on all; test_every_operation.py runs on each.
GATEWAY_STORAGES="memory cloud.s3@moto" runs everything on just these.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.servers.storages import MORE, STORAGES

HERE = Path(__file__).parent
RECORDS = os.environ.get("GATEWAY_COMPATIBILITY", "")  # the folder for what compatibility.py reads
NAMED = tuple(os.environ.get("GATEWAY_STORAGES", "").split())
EVERYTHING = bool(RECORDS or NAMED) or os.environ.get("GATEWAY_LONG") == "1"
BACKENDS = NAMED or ((*STORAGES, *MORE) if EVERYTHING else tuple(STORAGES))
CLOUDS = tuple(name for name in BACKENDS if name.startswith("cloud."))
EVERYWHERE = {"test_every_operation_is_answered"}
# What a server cannot do, whoever asks it.
UNFIT = {
    ("cloud.s3", "cloud.gcp"): (
        "Ceph's RADOS Gateway answers InvalidPart where a part that was sent is left out at the end",
        {
            "test_only_chosen_parts_count",
            "test_a_small_part_before_the_last",
            "test_multipart_upload_contents_and_small",
        },
    ),
    ("cloud.s3@swift",): (
        "Swift's s3api takes no part numbers above 1,000 as it comes (max_upload_part_num)",
        {"test_parts_come_in_any_order_and_numbers_may_have_gaps"},
    ),
}


def share(count: int, cloud: int) -> set[int]:
    """Which of a file's ``count`` tests run on the cloud of that number: every fourth of them, at least one."""
    return set(range(cloud, count, len(CLOUDS))) or {cloud % count}


def storage_of(item: pytest.Item) -> str:
    """The storage that a test runs on, "" where it has none of the matrix."""
    return str(getattr(getattr(item, "callspec", None), "params", {}).get("site", ""))


def forgive(items: Iterable[pytest.Item]) -> None:
    """Expect what the real servers cannot do to fail, each time."""
    for names, (reason, tests) in UNFIT.items():
        for item in items:
            if storage_of(item) in names and getattr(item, "originalname", "") in tests:
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not run every day, unless somebody names a test."""
    if EVERYTHING or any("::" in word for word in config.args):
        return
    files: dict[tuple[str, Path], list[pytest.Item]] = {}
    for item in items:
        dealt = storage_of(item) in CLOUDS and getattr(item, "originalname", "") not in EVERYWHERE
        if dealt and HERE in item.path.parents:
            files.setdefault((storage_of(item), item.path), []).append(item)
    left_out = set()
    for (name, _), found in files.items():
        chosen = share(len(found), CLOUDS.index(name))
        left_out |= {item for at, item in enumerate(found) if at not in chosen}
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]
