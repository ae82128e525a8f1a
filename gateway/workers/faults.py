"""Faults of the configuration that a worker met travel to the supervisor, which tells them as its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.settings import ConfigurationFault, ConfigurationFaults, Unanswered


class WorkerLost(Exception):
    """A worker died before the gateway served; the text tells how."""


def sent(faults: ConfigurationFaults) -> list[list[Any]]:
    """As JSON."""
    return [
        [isinstance(fault, Unanswered), fault.file, fault.line, fault.seen, fault.expected, fault.fix]
        for fault in faults.faults
    ]


def received(faults: Sequence[Sequence[Any]]) -> ConfigurationFaults:
    """The same faults again."""
    return ConfigurationFaults([(Unanswered if silent else ConfigurationFault)(*rest) for silent, *rest in faults])
