"""The memory of this process holds every secret in plain: it must not lie on a disk after a crash."""

from __future__ import annotations

import resource


def forbid_core_files() -> None:
    """For this process and its children; whoever wants one to look for a fault raises the soft limit again."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
