"""Figures for Prometheus, in a registry of their own.

Counting happens for every reply on the reactor thread, so it is plain arithmetic (1 us; prometheus_client's locked
counters and histograms took 16 us); the samples are made when somebody asks for them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, Gauge, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from gateway.model import Reply
from gateway.observe.traffic import Traffic

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
EDGES = (*map(str, SECONDS), "+Inf")
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

Labels = tuple[str, ...]


class Durations:
    """How many took how long: one count for each of SECONDS and one for longer, and their sum."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * len(EDGES)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.total += seconds


class Operation:
    """What is counted of one S3 operation."""

    __slots__ = ("duration", "first_byte", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.duration = Durations()
        self.first_byte = Durations()


class Metrics(Collector):
    """``replied`` is called for each reply, ``backend_operation`` for each hook, ``backend_up`` for each probe.

    ``call_gauges`` connects the gauges whose values other rooms know; those that nobody connected read 0.
    """

    def __init__(self, version: str) -> None:
        self._operations: dict[str, Operation] = {}
        self._received = 0
        self._sent = 0
        self._refused: dict[Labels, int] = {}
        self._hooks: dict[Labels, int] = {}
        self._hook_seconds: dict[Labels, Durations] = {}
        self.registry = registry = CollectorRegistry()
        registry.register(self)
        self._up = Gauge("gateway_backend_up", "1 where the last probe succeeded", ["backend"], registry=registry)
        self._inflight = Gauge("gateway_s3_inflight_requests", "Requests being answered", registry=registry)
        self._connections = Gauge("gateway_connections", "Open client connections", registry=registry)
        self._pending = Gauge("gateway_pending_blobs", "Blobs written and not yet committed", registry=registry)
        self._lost_lines = Gauge("gateway_access_log_lost_lines", "Lines that could not be written", registry=registry)
        self._catalogue_up = Gauge("gateway_catalogue_up", "1 where the last change succeeded", registry=registry)
        Gauge("gateway_build_info", "The running version", ["version"], registry=registry).labels(version).set(1)

    def call_gauges(
        self,
        *,
        inflight: Callable[[], float] | None = None,
        connections: Callable[[], float] | None = None,
        pending_blobs: Callable[[], float] | None = None,
        lost_lines: Callable[[], float] | None = None,
        catalogue_up: Callable[[], float] | None = None,
    ) -> None:
        """Read these gauges when they are asked for."""
        for gauge, ask in (
            (self._inflight, inflight),
            (self._connections, connections),
            (self._pending, pending_blobs),
            (self._lost_lines, lost_lines),
            (self._catalogue_up, catalogue_up),
        ):
            if ask is not None:
                gauge.set_function(ask)

    def replied(self, reply: Reply, traffic: Traffic) -> None:
        """Count a reply."""
        facts = reply.facts
        operation = self._operations.get(facts.operation)
        if operation is None:
            operation = self._operations[facts.operation] = Operation()
        operation.statuses[reply.status] = operation.statuses.get(reply.status, 0) + 1
        operation.duration.add(traffic.seconds)
        if traffic.sent:
            operation.first_byte.add(traffic.first_byte)
        self._received += traffic.received
        self._sent += traffic.sent
        if facts.code in AUTH_CODES:
            self._refused[facts.code,] = self._refused.get((facts.code,), 0) + 1

    def backend_operation(self, location: str, hook: str, outcome: str, seconds: float) -> None:
        """Count a hook; ``outcome`` is "ok" or the name of an exception's class."""
        name = (location, hook, outcome)
        self._hooks[name] = self._hooks.get(name, 0) + 1
        self._hook_seconds.setdefault((location, hook), Durations()).add(seconds)

    def backend_up(self, location: str, working: bool) -> None:
        """Remember the outcome of a probe."""
        self._up.labels(location).set(1 if working else 0)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """prometheus_client asks here for what is counted above."""
        operations = self._operations.items()
        requests: dict[Labels, int] = {
            (name, str(code)): n for name, op in operations for code, n in op.statuses.items()
        }
        durations: dict[Labels, Durations] = {(name,): op.duration for name, op in operations}
        first_bytes: dict[Labels, Durations] = {(name,): op.first_byte for name, op in operations}
        whole = "From the complete head of a request to the end of its reply"
        first = "From the complete head of a request to the first byte of its reply"
        hook_labels = ("backend", "op")
        yield _counter("gateway_s3_requests", "Replies", ("op", "code"), requests)
        yield _histogram("gateway_s3_request_duration_seconds", whole, ("op",), durations)
        yield _histogram("gateway_s3_time_to_first_byte_seconds", first, ("op",), first_bytes)
        yield _counter("gateway_s3_received_bytes", "Bytes from clients", (), {(): self._received})
        yield _counter("gateway_s3_sent_bytes", "Bytes to clients", (), {(): self._sent})
        yield _counter("gateway_auth_failures", "Requests refused for who asked", ("reason",), self._refused)
        yield _counter("gateway_backend_operations", "Hooks of a location", (*hook_labels, "outcome"), self._hooks)
        yield _histogram(
            "gateway_backend_operation_duration_seconds",
            "How long the hooks of a location took",
            hook_labels,
            self._hook_seconds,
        )


def _counter(name: str, meaning: str, labels: Iterable[str], counts: Mapping[Labels, int]) -> Metric:
    """A family of counters; Prometheus' text adds ``_total`` to the name."""
    family = CounterMetricFamily(name, meaning, labels=list(labels))
    for values, count in counts.items():
        family.add_metric(list(values), count)
    return family


def _histogram(name: str, meaning: str, labels: Iterable[str], durations: Mapping[Labels, Durations]) -> Metric:
    family = HistogramMetricFamily(name, meaning, labels=list(labels))
    for values, found in durations.items():
        family.add_metric(list(values), list(zip(EDGES, accumulate(found.counts), strict=True)), found.total)
    return family
