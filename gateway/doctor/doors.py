"""Where clients come in: ports that can be had, certificates that hold, names that lead here."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from twisted.internet.protocol import Factory

from gateway.doctor.finding import FAULT, FINE, WARNING, Finding, Patient
from gateway.node import doors

_SOON = 21 * 86400
_RENEW = "renew it (certbot renew), then: systemctl reload gateway (or kill -HUP PID)"


async def look(patient: Patient, reactor: Any) -> AsyncIterator[Finding]:
    values = patient.values
    if values is None:
        return
    fine = True
    for _, text in patient.reading.listen:
        for finding in _certificate(patient.folder, text):
            fine = fine and finding.state == FINE
            yield finding
    if patient.served_by is None and fine:
        async for finding in _ports(patient, reactor):
            yield finding
    for domain in values["domain"] or ():
        yield _resolves(domain)


async def _ports(patient: Patient, reactor: Any) -> AsyncIterator[Finding]:
    assert patient.values is not None
    lines, faults = list(patient.reading.listen), []  # type: ignore[var-annotated]
    if patient.values["metrics"] is not None:
        lines.append((patient.values.fault("metrics", "", "", "").line, patient.values["metrics"]))
    nobody = Factory()
    nobody.noisy = False
    await doors.shut(await doors.listen(reactor, patient.reading.document.file, lines, nobody, faults))
    for fault in faults:
        port = re.search(r":(?:port=)?([0-9]+)", fault.seen)
        who = f"who has it: ss -ltnp 'sport = :{port[1]}'; stop that, or " if port else ""
        yield Finding("port", FAULT, f"{fault.file}:{fault.line}: {fault.seen}", f"{who}change listen")
    if not faults:
        yield Finding("port", FINE, ", ".join(text for _, text in lines))


def _certificate(folder: Path, text: str) -> Iterator[Finding]:
    """The certificate of one endpoint, where it has one."""
    if not text.startswith("ssl:"):
        return
    words = dict(word.partition("=")[::2] for word in re.split(r"(?<!\\):", text) if "=" in word)
    files = {key: folder / re.sub(r"\\(.)", r"\1", value) for key, value in words.items()}
    key = files.get("privateKey", folder)
    chain = files.get("certKey", key)
    try:
        secret = serialization.load_pem_private_key(key.read_bytes(), None)
        certificate = x509.load_pem_x509_certificates(chain.read_bytes())[0]
    except OSError as fault:
        yield Finding(
            "certificate", FAULT, f"{fault.filename}: {fault.strerror}", f"ls -l {fault.filename}; correct listen"
        )
        return
    except (ValueError, TypeError) as fault:
        told = " ".join(str(fault).split())[:120]
        check = f"openssl x509 -in {chain} -noout; openssl pkey -in {key} -noout"
        yield Finding("certificate", FAULT, f"{chain} or {key} does not load: {told}", f"{check}; replace what fails")
        return
    if key.stat().st_mode & 0o007:
        yield Finding("certificate", FAULT, f"{key} can be read by everybody", f"chmod o-rwx {key}")
    if secret.public_key() != certificate.public_key():
        pair = f"openssl x509 -in {chain} -noout -pubkey; openssl pkey -in {key} -pubout"
        yield Finding(
            "certificate", FAULT, f"{key} is not the key of {chain}", f"put the pair there that agrees: {pair}"
        )
    yield _dates(chain, certificate)


def _dates(chain: Path, certificate: x509.Certificate) -> Finding:
    now = time.time()
    until = certificate.not_valid_after_utc
    if until.timestamp() < now:
        return Finding("certificate", FAULT, f"{chain} expired on {until:%Y-%m-%d %H:%M} UTC", _RENEW)
    if certificate.not_valid_before_utc.timestamp() > now:
        since = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        fix = "timedatectl set-ntp true, or take one that is valid"
        return Finding("certificate", FAULT, f"{chain} is not valid before {since}: or is the clock behind?", fix)
    if until.timestamp() - now < _SOON:
        return Finding("certificate", WARNING, f"{chain} expires on {until:%Y-%m-%d %H:%M} UTC", _RENEW)
    return Finding("certificate", FINE, f"{chain}: valid until {until:%Y-%m-%d}")


def _resolves(domain: str) -> Finding:
    name = f"gateway-doctor.{domain}"
    try:
        socket.getaddrinfo(name, None)
    except OSError as fault:
        seen = f"{name}: {fault.strerror}; clients that put the bucket into the host name do not find us"
        return Finding("domain", WARNING, seen, f"a DNS record *.{domain} that points here; then: getent hosts {name}")
    return Finding("domain", FINE, f"*.{domain} is found")
