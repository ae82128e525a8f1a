"""Figures for Prometheus, in a registry of their own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from gateway.model import Reply
from gateway.observe.traffic import Traffic

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
AUTH_CODES = frozenset(
    (
        "AccessDenied",
        "AuthorizationHeaderMalformed",
        "AuthorizationQueryParametersError",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "XAmzContentSHA256Mismatch",
    )
)


class Metrics:
    """``replied`` is called for each reply, ``backend_operation`` for each hook, ``backend_up`` for each probe.

    ``call_gauges`` connects the gauges whose values other rooms know; those that nobody connected read 0.
    """

    def __init__(self, version: str) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter("gateway_s3_requests_total", "Replies", ["op", "code"], registry=registry)
        self._duration = Histogram(
            "gateway_s3_request_duration_seconds",
            "From the complete head of a request to the end of its reply",
            ["op"],
            buckets=SECONDS,
            registry=registry,
        )
        self._first_byte = Histogram(
            "gateway_s3_time_to_first_byte_seconds",
            "From the complete head of a request to the first byte of its reply",
            ["op"],
            buckets=SECONDS,
            registry=registry,
        )
        self._received = Counter("gateway_s3_received_bytes_total", "Bytes from clients", registry=registry)
        self._sent = Counter("gateway_s3_sent_bytes_total", "Bytes to clients", registry=registry)
        self._refused = Counter(
            "gateway_auth_failures_total", "Requests refused for who asked", ["reason"], registry=registry
        )
        self._operations = Counter(
            "gateway_backend_operations_total", "Hooks of a location", ["backend", "op", "outcome"], registry=registry
        )
        self._operation_duration = Histogram(
            "gateway_backend_operation_duration_seconds",
            "How long the hooks of a location took",
            ["backend", "op"],
            buckets=SECONDS,
            registry=registry,
        )
        self._up = Gauge("gateway_backend_up", "1 where the last probe succeeded", ["backend"], registry=registry)
        self._inflight = Gauge("gateway_s3_inflight_requests", "Requests being answered", registry=registry)
        self._connections = Gauge("gateway_connections", "Open client connections", registry=registry)
        self._pending = Gauge("gateway_pending_blobs", "Blobs written and not yet committed", registry=registry)
        self._lost_lines = Gauge("gateway_access_log_lost_lines", "Lines that could not be written", registry=registry)
        Gauge("gateway_build_info", "The running version", ["version"], registry=registry).labels(version).set(1)
        # labels() takes longer than inc(): the children of each (op, status) and (backend, hook) are kept
        self._of_reply: dict[tuple[str, int], tuple[Counter, Histogram, Histogram]] = {}
        self._of_hook: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}

    def call_gauges(
        self,
        *,
        inflight: Callable[[], float] | None = None,
        connections: Callable[[], float] | None = None,
        pending_blobs: Callable[[], float] | None = None,
        lost_lines: Callable[[], float] | None = None,
    ) -> None:
        """Read these gauges when they are asked for."""
        for gauge, ask in (
            (self._inflight, inflight),
            (self._connections, connections),
            (self._pending, pending_blobs),
            (self._lost_lines, lost_lines),
        ):
            if ask is not None:
                gauge.set_function(ask)

    def replied(self, reply: Reply, traffic: Traffic) -> None:
        """Count a reply."""
        facts = reply.facts
        name = (facts.operation, reply.status)
        children = self._of_reply.get(name)
        if children is None:
            op, code = facts.operation, str(reply.status)
            children = (self._requests.labels(op, code), self._duration.labels(op), self._first_byte.labels(op))
            self._of_reply[name] = children
        requests, duration, first_byte = children
        requests.inc()
        duration.observe(traffic.seconds)
        if traffic.sent:
            first_byte.observe(traffic.first_byte)
        self._received.inc(traffic.received)
        self._sent.inc(traffic.sent)
        if facts.code in AUTH_CODES:
            self._refused.labels(facts.code).inc()

    def backend_operation(self, location: str, hook: str, outcome: str, seconds: float) -> None:
        """Count a hook; ``outcome`` is "ok" or the name of an exception's class."""
        name = (location, hook, outcome)
        children = self._of_hook.get(name)
        if children is None:
            children = (self._operations.labels(*name), self._operation_duration.labels(location, hook))
            self._of_hook[name] = children
        count, duration = children
        count.inc()
        duration.observe(seconds)

    def backend_up(self, location: str, working: bool) -> None:
        """Remember the outcome of a probe."""
        self._up.labels(location).set(1 if working else 0)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)
