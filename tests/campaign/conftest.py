"""What the campaign's tests need of the machine."""

from __future__ import annotations

import os

import pytest

from tests.campaign.blocks import cannot
from tests.campaign.subject import can_trace


@pytest.fixture(scope="session")
def strace() -> None:
    """Whoever asks for it is skipped, with the reason, where no process may be traced."""
    _needs(can_trace())


@pytest.fixture(scope="session")
def mounts() -> None:
    """Whoever asks for it is skipped, with the reason, where no disk may be mounted."""
    _needs(cannot())


def _needs(reason: str) -> None:
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
