"""The catalogue: whole, ours, and not from the future."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from gateway.catalogue import CatalogueFault
from gateway.catalogue.soundness import look as look_at_catalogue
from gateway.doctor.finding import FAULT, FINE, WARNING, Finding, Patient
from gateway.doctor.machine import CLOCK
from gateway.seal import Seal

_AHEAD = 60.0  # seconds that the newest object may lie in the future


def look(patient: Patient) -> Iterator[Finding]:
    if patient.values is None:
        return
    data, seal = patient.values["data"], patient.reading.seal
    restore = f"stop the gateway, move {data} away, then: gateway restore -c {patient.path}"
    try:
        sound = look_at_catalogue(data, None if seal is None else Seal(seal))
    except CatalogueFault as fault:
        newer = "newer gateway" in str(fault)
        yield Finding("catalogue", FAULT, str(fault), "pip install --upgrade txgateway" if newer else restore)
        return
    if sound is None:
        yield Finding("catalogue", FINE, "none yet; the first start makes it")
        return
    if not sound.sealed:
        fix = f"restore {patient.folder / 'private' / 'seal'} from your backup: cp BACKUP/private/seal private/seal"
        yield Finding("seal", FAULT, f"{data} was made under another private/seal", fix)
    if sound.problems:
        salvage = f"sqlite3 {data / 'catalogue.sqlite'} .recover tells what can be saved"
        yield Finding("catalogue", FAULT, f"{data} is damaged: {'; '.join(sound.problems)}", f"{restore} ({salvage})")
    elif not sound.complete:
        yield Finding("catalogue", WARNING, "too large to be looked through in 30 s", f"look at night: {_sqlite(data)}")
    else:
        yield Finding("catalogue", FINE, f"{data}: whole")
    ahead = (sound.newest or 0) - time.time()
    if ahead > _AHEAD:
        when = datetime.fromtimestamp(sound.newest or 0, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        yield Finding("clock", FAULT, f"the newest object was stored at {when}, {ahead:.0f} s from now", CLOCK)


def _sqlite(data: object) -> str:
    return f"sqlite3 {data}/catalogue.sqlite 'PRAGMA quick_check'"
