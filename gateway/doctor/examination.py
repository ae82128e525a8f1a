"""The round: what can be read is read first, then every room is looked at in turn."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from gateway.doctor import doors, folders, machine, places, records
from gateway.doctor.finding import FAULT, FINE, Finding, Patient, served_by
from gateway.node.read import read

_JUMP = 0.25  # seconds that the clock may be set by while we look


async def examine(path: Path, reactor: Any) -> AsyncIterator[Finding]:
    """Every finding as it comes. A gateway may be serving; what only a stopped one can tell is left out then."""
    offset = time.time() - time.monotonic()
    reading = read(path)
    for fault in reading.faults:
        place = f"{fault.file}:{fault.line}" if fault.line else fault.file
        yield Finding("configuration", FAULT, f"{place}: {fault.seen}; expected {fault.expected}", fault.fix)
    if not reading.faults:
        yield Finding("configuration", FINE, f"{path}: read, with its secrets and its plugins")
    holder: int | None = None
    if reading.gateway is not None:
        try:
            holder = served_by(reading.gateway["data"])
        except OSError as fault:
            yield Finding("running", FAULT, f"{fault.filename}: {fault.strerror}", f"ls -la {reading.gateway['data']}")
    patient = Patient(path, reading, holder)
    for look in (machine.look, folders.look, records.look):
        for finding in look(patient):
            yield finding
    async for finding in doors.look(patient, reactor):
        yield finding
    async for finding in places.look(patient, reactor):
        yield finding
    yield machine.jumped(time.time() - time.monotonic() - offset, _JUMP)
