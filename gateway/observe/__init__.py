"""What the operator sees: one line for each reply, and figures for Prometheus."""

from __future__ import annotations

from gateway.model import Call, Reply
from gateway.observe.access_log import AccessLog
from gateway.observe.metrics import Metrics
from gateway.observe.stalls import Stalls
from gateway.observe.traffic import Traffic

PAGE = "Page"  # the operation of the /_/ pages: probes every few seconds would drown what clients do


class Observer:
    """``Front(observe=...)``: counts each reply and writes its line."""

    def __init__(self, metrics: Metrics, access_log: AccessLog | None = None) -> None:
        self._metrics = metrics
        self._access_log = access_log

    def __call__(self, call: Call, reply: Reply, traffic: Traffic) -> None:
        if reply.facts.operation == PAGE:
            return
        self._metrics.replied(reply, traffic)
        if self._access_log is not None:
            self._access_log.replied(call, reply, traffic)


__all__ = ["PAGE", "AccessLog", "Metrics", "Observer", "Stalls"]
