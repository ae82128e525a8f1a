"""The gateway's own pages under ``/_/``, where no bucket can be: a bucket's name has at least three characters."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import parse_qs

from gateway.errors import S3Error
from gateway.model import Call, Facts, Reply
from gateway.wire.route import route

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
# What proxies add (RFC 7239, RFC 9110 section 7.6.3, and custom).
FORWARDED = frozenset(("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"))
WELCOME = b"""\
<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>An S3 gateway</title>
<style>body { font: 1.1em/1.5 system-ui, sans-serif; max-width: 36em; margin: 4em auto; padding: 0 1em }</style>
<h1>This is an S3 gateway</h1>
<p>It keeps objects for programs that speak S3. There is nothing to see in a browser: give the address of this page to
your S3 client as its <em>endpoint URL</em>, with the access key, the secret key and the region that you were given.</p>
<p>Does it work? <a href="/_/live">/_/live</a> tells whether it runs, <a href="/_/ready">/_/ready</a> whether it takes
requests.</p>
<p>How to connect aws-cli, boto3, rclone and others, and how to run it, stands in the documentation of txgateway: the
folder <code>docs/</code> of its source.</p>
</html>
"""
WELCOME_HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("Vary", "Accept, Authorization"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
)
FIGURES = "/_/metrics"
FACTS = Facts(operation="Page")  # the observer leaves these out


class LocationState(Protocol):
    """The remembered outcome of a location's last probe; ``when`` is seconds since the epoch,
    ``error`` the kind of a failure."""

    @property
    def working(self) -> bool: ...

    @property
    def message(self) -> str: ...

    @property
    def seconds(self) -> float: ...

    @property
    def when(self) -> float: ...

    @property
    def error(self) -> str: ...

    @property
    def details(self) -> Mapping[str, str]: ...


class Pages:
    """Stands in front of the gate: ``answer`` gives a page, or None for whatever S3 means.

    ``ready(location)`` gives (whether to send us requests, why not), for one location or, where it is "", for all.
    ``states`` are the last probes, by location; no page ever asks a backend.
    ``figures()`` gives Prometheus' text, of all processes of the gateway.
    Reasons, messages and figures are for loopback peers; ``open_metrics`` shows the figures to everyone (for an
    endpoint of their own).
    """

    def __init__(
        self,
        ready: Callable[[str], tuple[bool, Sequence[str]]],
        states: Callable[[], Mapping[str, LocationState]],
        figures: Callable[[], Awaitable[bytes]],
        *,
        domains: Sequence[str] = (),
        open_metrics: bool = False,
    ) -> None:
        self._ready = ready
        self._states = states
        self._metrics_text = figures
        self._domains = domains
        self._open_metrics = open_metrics
        self._pages: dict[str, Callable[[Call, bool], Reply]] = {
            "/_/live": self._live,
            "/_/ready": self._readiness,
            "/_/healthcheck": self._healthcheck,
        }

    async def answer(self, call: Call) -> Reply | None:
        """The page at this path; None where there is none, or where the host names a bucket (then it is a key)."""
        if call.path == "/":
            return self._welcome(call)
        if not call.path.startswith("/_/"):
            return None
        page = self._pages.get(call.path)
        if (page is None and call.path != FIGURES) or self._names_a_bucket(call):
            return None
        if call.method not in ("GET", "HEAD"):
            return _json(405, {"error": "GET or HEAD"}, ("Allow", "GET, HEAD"))
        # behind a proxy on this machine every stranger is a loopback peer
        trusted = _is_loopback(call.peer) and not FORWARDED.intersection(call.headers)
        return await self._figures(trusted) if page is None else page(call, trusted)

    def _names_a_bucket(self, call: Call) -> bool:
        try:
            return route(dataclasses.replace(call, method="GET", path="/", query=""), self._domains).bucket is not None
        except S3Error:
            return True

    def _welcome(self, call: Call) -> Reply | None:
        """For a person with a browser; S3's clients sign, or ask for no HTML. It tells nothing about this gateway."""
        plain = call.method in ("GET", "HEAD") and not call.query and "authorization" not in call.headers
        if not plain or "text/html" not in call.headers.get("accept", "") or self._names_a_bucket(call):
            return None
        return Reply(200, WELCOME_HEADERS, WELCOME, facts=FACTS)

    def _live(self, call: Call, trusted: bool) -> Reply:
        return _json(200, {"live": True})

    def _readiness(self, call: Call, trusted: bool) -> Reply:
        """For all locations, or with ``?location=NAME`` for one: whoever asks needs no other."""
        ready, reasons = self._ready(parse_qs(call.query).get("location", [""])[0])
        shown = {"reasons": list(reasons)} if trusted and reasons else {}
        return _json(200 if ready else 503, {"ready": ready, **shown})

    def _healthcheck(self, call: Call, trusted: bool) -> Reply:
        states = self._states()
        healthy = bool(states) and all(state.working for state in states.values())
        shown: dict[str, object] = {}
        if trusted:
            shown["locations"] = {
                name: {
                    "code": 200 if state.working else 503,
                    "message": state.message or "OK",
                    **({"error": state.error} if state.error else {}),
                    "seconds": round(state.seconds, 6),
                    "when": round(state.when, 3),
                    "details": dict(state.details),
                }
                for name, state in states.items()
            }
        return _json(200 if healthy else 503, {"healthy": healthy, **shown})

    async def _figures(self, trusted: bool) -> Reply:
        if not (trusted or self._open_metrics):
            return _json(403, {"error": "loopback peers only"})
        headers = (("Content-Type", PROMETHEUS), ("Cache-Control", "no-store"))
        return Reply(200, headers, await self._metrics_text(), facts=FACTS)


def _is_loopback(peer: str) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return peer == "local"  # a UNIX socket
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _json(status: int, value: Mapping[str, object], *headers: tuple[str, str]) -> Reply:
    body = json.dumps(value, ensure_ascii=False).encode() + b"\n"
    kept = (("Content-Type", "application/json"), ("Cache-Control", "no-store"), *headers)
    return Reply(status, kept, body, facts=FACTS)
