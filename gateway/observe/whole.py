"""The figures of a gateway of several processes: each reports its own, and what is shown is made from all of them.

A counter never goes back: what a process counted until it last told is kept when it dies.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from gateway.observe.figures import FIGURES

# A figure's name -> its samples, each [name, labels as pairs, value]: it travels as JSON.
Report = dict[str, list[Any]]
_FIGURES = {figure.name.removesuffix("_total"): figure for figure in FIGURES}
_JOIN: Mapping[str, Callable[[Iterable[float]], float]] = MappingProxyType({"sum": sum, "max": max, "min": min})
_Samples = dict[tuple[str, str, tuple[tuple[str, str], ...]], float]


def report_of(registry: Collector) -> Report:
    """What one process knows."""
    return {
        metric.name: [[sample.name, sorted(sample.labels.items()), sample.value] for sample in metric.samples]
        for metric in registry.collect()
    }


def report_of_process() -> Report:
    """What a process that serves nothing knows: its memory, its processor time, its descriptors."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return report_of(registry)


def text_of(report: Report) -> bytes:
    """Prometheus' text format."""
    return generate_latest(_Reported(report))


class _Reported(Collector):
    def __init__(self, report: Report) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        for name, figure in _FIGURES.items():
            family = Metric(name, figure.meaning, figure.kind)
            for sample, labels, value in self._report.get(name, []):
                family.add_sample(sample, dict(labels), value)
            yield family


class Whole:
    """Keeps the last report of each living process, and what those that died had counted."""

    def __init__(self) -> None:
        self._living: dict[Hashable, Report] = {}
        self._past: _Samples = {}

    def told(self, who: Hashable, report: Report) -> None:
        """A process says how far it is."""
        self._living[who] = report

    def died(self, who: Hashable) -> None:
        """Its counters stay."""
        for key, value in _samples(self._living.pop(who, {})):
            if _FIGURES[key[0]].kind != "gauge":
                self._past[key] = self._past.get(key, 0) + value

    def report(self) -> Report:
        """Of all together."""
        found: dict[Any, list[float]] = {key: [value] for key, value in self._past.items()}
        for report in self._living.values():
            for key, value in _samples(report):
                found.setdefault(key, []).append(value)
        whole: Report = {}
        for (name, sample, labels), values in found.items():
            joined = _JOIN[_FIGURES[name].whole](values)
            whole.setdefault(name, []).append([sample, labels, joined])
        return whole


def _samples(report: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str, tuple[tuple[str, str], ...]], float]]:
    for name, samples in report.items():
        for sample, labels, value in samples:
            yield (name, sample, tuple((key, text) for key, text in labels)), value
