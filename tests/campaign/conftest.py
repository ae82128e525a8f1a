"""What the campaign's tests need of the machine."""

from __future__ import annotations

import os

import pytest

from tests.campaign.subject import can_trace


@pytest.fixture(scope="session")
def strace() -> None:
    """Whoever asks for it is skipped, with the reason, where no process may be traced."""
    if reason := can_trace():
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
