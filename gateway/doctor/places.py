"""The locations: their hosts answer, agree with our clock, and let us do what a gateway does."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from gateway.catalogue.soundness import identity
from gateway.doctor.finding import FAULT, FINE, WARNING, Finding, Patient
from gateway.doctor.machine import CLOCK
from gateway.node.inspect import UNKNOWN
from gateway.node.online import try_place
from gateway.node.read import Place
from gateway.plugins.marker import Mark

_PATIENCE = 15.0  # seconds for a host to answer
_WRONG, _ODD = 600.0, 30.0  # seconds of difference: clouds refuse at 900


async def look(patient: Patient, reactor: Any) -> AsyncIterator[Finding]:
    for place in patient.reading.places:
        reached = True
        for url in _urls(place):
            finding = _host(place, url)
            reached = (reached and finding.state != FAULT) or finding.check == "clock"
            yield finding
        if reached:
            yield await _try(patient, place, reactor)


def _urls(place: Place) -> list[str]:
    """The addresses among a location's settings."""
    keys = [setting.key for setting in place.backend.settings if setting.kind == "url"]
    return [place.values[key] for key in keys if place.values[key]]


def _host(place: Place, url: str) -> Finding:
    """Whether anybody answers there, and what time it is at theirs."""
    parts = urlsplit(url)
    name, host = f"location {place.name}", parts.hostname or ""
    try:
        socket.getaddrinfo(host, None)
    except OSError as fault:
        return Finding(
            name, FAULT, f"{host}: {fault.strerror}", f"getent hosts {host}; mend the name or /etc/resolv.conf"
        )
    try:
        moment = date_of(url)
    except (OSError, http.client.HTTPException) as fault:
        told = getattr(fault, "verify_message", None) or getattr(fault, "strerror", None) or fault
        return Finding(name, FAULT, f"{url} does not answer ({told})", f"curl -v {url}")
    return skew("clock", url, moment)


def date_of(url: str) -> float | None:
    """What the Date of a reply says, in seconds since the epoch; None where it says nothing. Raises OSError."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        made: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.netloc, timeout=_PATIENCE, context=ssl.create_default_context()
        )
    else:
        made = http.client.HTTPConnection(parts.netloc, timeout=_PATIENCE)
    try:
        made.request("HEAD", parts.path or "/")
        told = made.getresponse().headers.get("Date")
        return parsedate_to_datetime(told).timestamp() if told else None
    except ValueError:
        return None
    finally:
        made.close()


def skew(check: str, who: str, moment: float | None) -> Finding:
    """How far our clock is from another's."""
    if moment is None:
        return Finding(check, FINE, f"{who} answers and does not tell the time")
    apart = time.time() - moment
    seen = f"ours is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} that of {who}"
    if abs(apart) > _WRONG:
        return Finding(check, FAULT, f"{seen}: signatures are refused", CLOCK)
    if abs(apart) > _ODD:
        return Finding(check, WARNING, seen, CLOCK)
    return Finding(check, FINE, f"agrees with {who}")


async def _try(patient: Patient, place: Place, reactor: Any) -> Finding:
    """What a gateway does, once, as `gateway check --online` tries it."""
    assert patient.values is not None
    name, data = f"location {place.name}", patient.values["data"]
    known = identity(data)
    ours = Mark(*known) if known else (UNKNOWN if (data / "catalogue.sqlite").exists() else None)
    trial = await try_place(place, ours, patient.served_by is not None, reactor.seconds)
    if trial.left_out:
        return Finding(name, FINE, f"{place.kind}: {trial.left_out}")
    if trial.refused:
        steps, (why, *_) = ", ".join(trial.refused), trial.refused.values()
        return Finding(name, FAULT, f"{place.kind}: {steps} refused: {_plain(why)}", _let(patient, place, steps))
    if trial.fault is None:
        return Finding(name, FINE, f"{place.kind}: {trial.done}")
    fix, urls = trial.fault.fix, _urls(place)
    if trial.silent:
        fix = f"curl -v {urls[0]}" if urls else f"gateway check --online -c {patient.path}"
    elif "denied" in trial.fault.seen.lower() or "key" in fix:
        fix = f"{fix}; or {_let(patient, place, 'do all of it')}"
    return Finding(name, FAULT, f"{place.kind}: {_plain(trial.fault.seen)}", fix)


def _let(patient: Patient, place: Place, steps: str) -> str:
    """The command that gives us the right, or another key."""
    prefix = "" if place.name == "storage" else f"{place.name}."
    files = [f"private/{prefix}{secret.file}" for secret in getattr(place.backend, "secrets", ())]
    if not files:
        return f"chown and chmod what [{place.name}] names, so that the gateway may {steps} there"
    other = f"install -m 600 NEW-SECRET {patient.folder / files[0]}"
    return f"let its key {steps} (rights: list, read, write, delete), or give us another: {other}"


def _plain(told: str) -> str:
    """Without the XML that some services answer with."""
    found = re.search(r"<Code>(.*?)</Code>\s*<Message>(.*?)</Message>", told)
    return f"{told.partition('<')[0]}{found[1]}: {found[2]}" if found else told
