"""Figures for Prometheus, in a registry of their own.

Counting happens for every reply on the reactor thread, so it is plain arithmetic (1 us; prometheus_client's locked
counters and histograms took 16 us); the samples are made when somebody asks for them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from gateway import errors
from gateway.model import Reply
from gateway.observe.figures import CHANGES, FIGURES, SECONDS, Figure
from gateway.observe.traffic import Traffic

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
# An exception of a stranger's may have any name; these are the ones that say something.
OUTCOMES = {kind.__name__: kind.__name__ for kind in errors.BackendError.__subclasses__()}
OUTCOMES |= {"ok": "ok", "S3Error": "S3Error", "ClientGone": "ClientGone", "CancelledError": "cancelled"}
STALL_SECONDS = 0.1

Labels = tuple[str, ...]
# What a figure reads when somebody asks: one number, or one for each set of labels.
Ask = Callable[[], "float | Mapping[Labels, float]"]


class Spread:
    """How many fell below each edge and how many above the last, and their sum."""

    __slots__ = ("_edges", "counts", "total")

    def __init__(self, edges: tuple[float, ...] = SECONDS) -> None:
        self._edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self._edges, value)] += 1
        self.total += value


class Operation:
    """What is counted of one S3 operation."""

    __slots__ = ("duration", "first_byte", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.duration = Spread()
        self.first_byte = Spread()


class Metrics(Collector):
    """Rooms call it with what happened; what a room knows at any time is asked for through ``connect``.

    A figure without labels that nobody connected reads 0.
    """

    def __init__(self, version: str) -> None:
        self._operations: dict[str, Operation] = {}
        self._received = 0
        self._sent = 0
        self._refused: dict[Labels, float] = {}
        self._hooks: dict[Labels, float] = {}
        self._hook_seconds: dict[Labels, Spread] = {}
        self._up: dict[Labels, float] = {}
        self._commits = Spread()
        self._changes = Spread(CHANGES)
        self._lag = Spread()
        self._stalls = 0
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        self._asks: dict[str, Ask] = {
            "gateway_s3_requests_total": self._requests,
            "gateway_s3_received_bytes_total": lambda: self._received,
            "gateway_s3_sent_bytes_total": lambda: self._sent,
            "gateway_auth_failures_total": lambda: self._refused,
            "gateway_backend_operations_total": lambda: self._hooks,
            "gateway_backend_up": lambda: self._up,
            "gateway_reactor_stalls_total": lambda: self._stalls,
            "gateway_build_info": lambda: {(version,): 1},
        }
        self._spreads: dict[str, Callable[[], Mapping[Labels, Spread]]] = {
            "gateway_s3_request_duration_seconds": self._durations,
            "gateway_s3_time_to_first_byte_seconds": self._first_bytes,
            "gateway_backend_operation_duration_seconds": lambda: self._hook_seconds,
            "gateway_catalogue_commit_duration_seconds": lambda: {(): self._commits},
            "gateway_catalogue_commit_changes": lambda: {(): self._changes},
            "gateway_reactor_lag_seconds": lambda: {(): self._lag},
        }

    def connect(self, name: str, ask: Ask) -> None:
        """Ask for this figure when somebody asks for all. KeyError for one that is not declared."""
        self._asks[next(figure.name for figure in FIGURES if figure.name == name)] = ask

    # -- what rooms call

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
        name = (location, hook, OUTCOMES.get(outcome, "other"))
        self._hooks[name] = self._hooks.get(name, 0) + 1
        self._hook_seconds.setdefault((location, hook), Spread()).add(seconds)

    def backend_up(self, location: str, working: bool) -> None:
        """Remember the outcome of a probe."""
        self._up[location,] = 1 if working else 0

    def committed(self, changes: int, seconds: float) -> None:
        """Count a commit of the catalogue."""
        self._commits.add(seconds)
        self._changes.add(changes)

    def lagged(self, seconds: float) -> None:
        """Count how late a timer of the event loop was."""
        self._lag.add(seconds)
        self._stalls += seconds > STALL_SECONDS

    # -- what Prometheus gets

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """prometheus_client asks here for what is counted above."""
        for figure in FIGURES:
            if figure.kind == "histogram":
                yield _histogram(figure, self._spreads[figure.name]())
            elif not figure.foreign:
                yield _numbers(figure, self._asks.get(figure.name, lambda: 0)())

    def _requests(self) -> Mapping[Labels, float]:
        operations = self._operations.items()
        return {(name, str(code)): count for name, op in operations for code, count in op.statuses.items()}

    def _durations(self) -> Mapping[Labels, Spread]:
        return {(name,): op.duration for name, op in self._operations.items()}

    def _first_bytes(self) -> Mapping[Labels, Spread]:
        return {(name,): op.first_byte for name, op in self._operations.items()}


def _numbers(figure: Figure, found: float | Mapping[Labels, float]) -> Metric:
    family: CounterMetricFamily | GaugeMetricFamily
    if figure.kind == "counter":  # Prometheus' text adds _total to the name
        family = CounterMetricFamily(figure.name.removesuffix("_total"), figure.meaning, labels=figure.labels)
    else:
        family = GaugeMetricFamily(figure.name, figure.meaning, labels=figure.labels)
    values = found if isinstance(found, Mapping) else {} if figure.labels else {(): found}
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _histogram(figure: Figure, spreads: Mapping[Labels, Spread]) -> Metric:
    family = HistogramMetricFamily(figure.name, figure.meaning, labels=figure.labels)
    edges = (*map(str, figure.edges), "+Inf")
    for labels, spread in spreads.items():
        family.add_metric(labels, list(zip(edges, accumulate(spread.counts), strict=True)), spread.total)
    return family
