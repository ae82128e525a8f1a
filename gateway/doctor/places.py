"""The locations: their hosts answer, agree with our clock, and let us do what a gateway does."""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from gateway.bodies import BytesBody, contents
from gateway.catalogue.soundness import identity
from gateway.doctor.finding import FAULT, FINE, WARNING, Finding, Patient
from gateway.doctor.machine import CLOCK
from gateway.errors import BackendBusy, BackendDenied, BackendDown, BackendError, BackendFull, BackendUnfit
from gateway.model import DeleteRequest, GetRequest, ListRequest, PutRequest
from gateway.node.read import Place
from gateway.node.rooms import build
from gateway.plugins.marker import compare, peek
from gateway.settings import ConfigurationFault

_PATIENCE = 15.0  # seconds for a host to answer
_WRONG, _ODD = 600.0, 30.0  # seconds of difference: clouds refuse at 900
_TEXT = b"gateway doctor"


async def look(patient: Patient) -> AsyncIterator[Finding]:
    for place in patient.reading.places:
        reached = True
        for url in _urls(place):
            finding = _host(place, url)
            reached = (reached and finding.state != FAULT) or finding.check == "clock"
            yield finding
        if reached:
            yield await _try(patient, place)


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


async def _try(patient: Patient, place: Place) -> Finding:
    """What a gateway does, once: list, write, read and delete a blob of our own."""
    name = f"location {place.name}"
    try:
        location = build(place)
    except ConfigurationFault as fault:
        return Finding(name, FAULT, fault.seen, fault.fix)
    probe, began, step = f"doctor{os.getpid()}", time.monotonic(), "open"
    try:
        await location.open()
        mark, ours = await peek(location), patient.values and identity(patient.values["data"])
        if mark is not None and ours:
            compare(location, mark, *ours)
        step = "list"
        await location.list(ListRequest(prefix=probe))
        step = "put"
        await location.put(PutRequest(name=probe, body=BytesBody(_TEXT), size=len(_TEXT)))
        try:
            step = "get"
            same = await contents(await location.get(GetRequest(name=probe))) == _TEXT
        finally:
            step = "delete" if step == "get" else step
            await location.delete(DeleteRequest(name=probe))
    except BackendError as fault:
        told = _plain(str(fault)) or type(fault).__name__
        return Finding(name, FAULT, f"{place.kind}: {step} fails: {told}", _mend(patient, place, step, fault))
    finally:
        await location.close()
    if not same:
        return Finding(name, FAULT, f"{place.kind}: it gives back other bytes than it got", "replace the storage")
    took = (time.monotonic() - began) * 1000
    return Finding(name, FINE, f"{place.kind}: list, put, get and delete in {took:.0f} ms")


def _plain(told: str) -> str:
    """Without the XML that some services answer with."""
    found = re.search(r"<Code>(.*?)</Code>\s*<Message>(.*?)</Message>", told)
    return f"{told.partition('<')[0]}{found[1]}: {found[2]}" if found else told


def _mend(patient: Patient, place: Place, step: str, fault: BackendError) -> str:
    """The command that mends what a storage refuses."""
    urls: list[Any] = _urls(place)
    prefix = "" if place.name == "storage" else f"{place.name}."
    files = [f"private/{prefix}{secret.file}" for secret in getattr(place.backend, "secrets", ())]
    keys = f"install -m 600 NEW-SECRET {patient.folder / files[0]}" if files else ""
    if isinstance(fault, BackendUnfit) and fault.fix:
        return f"{fault.fix}; for another key: {keys}" if keys and "key" in fault.fix else fault.fix
    if isinstance(fault, BackendDenied):
        if not files:
            return f"chown and chmod what [{place.name}] names, so that the gateway may {step} there"
        return f"let its key {step} there (rights: list, put, get, delete), or give us another key: {keys}"
    if isinstance(fault, BackendFull):
        return "make room in the storage, or name another one"
    if isinstance(fault, BackendDown | BackendBusy):
        return f"curl -v {urls[0]}" if urls else f"gateway check -c {patient.path}"
    return f"correct its section, then: gateway check -c {patient.path}"
