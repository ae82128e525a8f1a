"""How long a service may take, as settings that every cloud plugin declares under its own prefix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.settings import Setting


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: for a connection, from the end of a request to the headers of its reply, for 16 KiB of a body.

    A whole document must have come within ``document``. After ``retry`` nothing is tried again.
    """

    connect: float = 5.0
    reply: float = 30.0
    idle: float = 30.0
    document: float = 600.0
    retry: float = 10.0

    @classmethod
    def read(cls, values: Mapping[str, Any], prefix: str) -> Timing:
        """From the settings that ``timing_settings(prefix)`` declares."""
        return cls(*(values[f"{prefix}.{name}_timeout"] for name in ("connect", "reply", "idle")))


def timing_settings(prefix: str) -> tuple[Setting, ...]:
    """PREFIX.connect_timeout, PREFIX.reply_timeout and PREFIX.idle_timeout."""
    return (
        Setting(f"{prefix}.connect_timeout", "seconds", "How long a connection may take.", default="5s", low=0.001),
        Setting(f"{prefix}.reply_timeout", "seconds", "How long an answer may take.", default="30s", low=0.001),
        Setting(f"{prefix}.idle_timeout", "seconds", "How long 16 KiB of a body may take.", default="30s", low=0.001),
    )
