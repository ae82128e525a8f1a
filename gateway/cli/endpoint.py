"""Does a URL lead to our gateway as clients need it? Signed requests are sent through whatever stands in between."""

from __future__ import annotations

import http.client
import json
import secrets
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path

from gateway.cli.client import Client, S3Refused, path_of
from gateway.cli.exits import Unreachable
from gateway.cli.target import Target
from gateway.doctor import FAULT, FINE, Finding
from gateway.doctor.places import skew

_HOST = "let Host pass as it comes: nginx `proxy_set_header Host $http_host;`, Apache `ProxyPreserveHost On`"
_PATH = (
    "let the path pass as it comes: nginx `proxy_pass http://GATEWAY;` without a path or slash, `merge_slashes off;`"
)
_LATER = 2.0  # seconds until the access log has a line
_LINES = 2000


def look(target: Target, url: str, log: Path) -> Iterator[Finding]:
    """``url`` is asked with the keys of ``target``; ``log`` is our access log, where the diagnosis stands."""
    client = Client(replace(target, url=url.rstrip("/")))
    try:
        yield from _look(client, url, log)
    except Unreachable as fault:
        yield Finding("endpoint", FAULT, fault.message, f"curl -v {url}/_/live")
    finally:
        client.close()


def _look(client: Client, url: str, log: Path) -> Iterator[Finding]:
    bucket = f"doctor-{secrets.token_hex(8)}"  # nobody has it: whoever says so has verified our signature
    tries = {
        "a listing": ("GET", path_of(), ""),
        "an odd path": ("GET", path_of(bucket, "a//b/../c d+e%2F"), "NoSuchBucket"),
    }
    for what, (method, path, wanted) in tries.items():
        try:
            reply = client.ask(method, path)
            reply.read()
        except S3Refused as refusal:
            if refusal.code != wanted:
                yield _refused(refusal, what, url, log)
                return
    yield Finding("endpoint", FINE, f"{url}: signatures pass")
    yield skew("clock", url, _date(client))


def _date(client: Client) -> float | None:
    try:
        reply = client.ask("GET", path_of())
        reply.read()
        told = reply.headers.get("Date")
        return parsedate_to_datetime(told).timestamp() if told else None
    except (OSError, http.client.HTTPException, ValueError):
        return None


def _refused(refusal: S3Refused, what: str, url: str, log: Path) -> Finding:
    if refusal.code == "RequestTimeTooSkewed":
        return Finding("clock", FAULT, f"{url} refuses {what}: {refusal.message}", "timedatectl set-ntp true")
    if refusal.code in ("InvalidAccessKeyId", "AccessDenied"):
        fix = "gateway key add, and its pair into private/admin.credentials"
        return Finding("endpoint", FAULT, f"{url} does not know private/admin.credentials: {refusal.message}", fix)
    if refusal.code == "SignatureDoesNotMatch":
        cause = _cause(log, refusal.request) or "our access log does not tell why: is this our gateway?"
        fix = _PATH if cause.startswith("path") or what == "an odd path" else _HOST
        return Finding("proxy", FAULT, f"what stands at {url} changes {what}: {cause}", fix)
    return Finding("endpoint", FAULT, f"{url} answers {what} with {refusal.message}", f"curl -v {url}/_/live")


def _cause(log: Path, request: str) -> str:
    """The diagnosis of one request, "" where our log has none; it is written a moment after the reply."""
    end = time.monotonic() + _LATER
    mark = f'"request_id":"{request}"'
    while request:
        try:
            with log.open(encoding="utf-8", errors="replace") as file:
                found = [line for line in deque(file, _LINES) if mark in line]
            if found:
                return str(json.loads(found[0]).get("cause", ""))
        except (OSError, ValueError):
            return ""
        if time.monotonic() > end:
            break
        time.sleep(0.1)
    return ""
