"""``record``: a frozen dataclass whose ``frozen`` mypy proves, so that nobody pays for it at run time.

A frozen dataclass sets each field through ``object.__setattr__``. A small GET makes some fifteen values with a hundred
fields: that was a ninth of its cost. What strangers are given (the hooks' requests and results) stays frozen for real.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

__all__ = ["record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(*, frozen: bool, **words: Any) -> Any:
        """``@record(frozen=True, slots=True)``: as ``dataclass``, with a hash, and no assignment is ever checked."""
        return dataclass(unsafe_hash=frozen, **words)
