from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sshd import Missing, Sshd


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    """One server for all tests; without OpenSSH's they are skipped, but not by a machine that tests for everybody."""
    try:
        server = Sshd()
    except Missing as reason:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(reason))
    with server:
        yield server
