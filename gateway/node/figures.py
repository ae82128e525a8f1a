"""Which room knows which figure of /_/metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gateway.http import Front
from gateway.node.doors import Door
from gateway.node.health import Health
from gateway.node.rooms import Rooms
from gateway.observe import AccessLog, Metrics
from gateway.plugins.limits import Limits
from gateway.reaper import Reaper
from gateway.recovery.scrub_duty import ScrubDuty
from gateway.streams.digest import Digests


def connect_front(metrics: Metrics, front: Front, access_log: AccessLog) -> None:
    """What clients do now."""
    metrics.connect("gateway_s3_inflight_requests", lambda: front.running)
    metrics.connect("gateway_connections", lambda: front.connections)
    metrics.connect("gateway_access_log_lost_lines_total", lambda: access_log.lost)


def connect_doors(metrics: Metrics, doors: Sequence[Door], ready: Callable[[str], tuple[bool, Sequence[str]]]) -> None:
    """Whether we take requests, and until when the certificates are good; ``doors`` may be opened later."""

    def each(ask: Callable[[Any], float]) -> Callable[[], dict[tuple[str, ...], float]]:
        return lambda: {(door.where,): ask(door.certificate) for door in doors if door.certificate is not None}

    metrics.connect("gateway_ready", lambda: float(ready("")[0]))
    metrics.connect("gateway_tls_certificate_expiry_timestamp_seconds", each(lambda found: found.expires))
    metrics.connect("gateway_tls_certificate_stale", each(lambda found: float(found.stale)))


def connect_rooms(metrics: Metrics, rooms: Rooms, health: Health, reaper: Reaper) -> None:
    """The catalogue, the locations, and what is deleted beside."""
    catalogue = rooms.catalogue
    catalogue.writer.report = metrics.committed
    limits = {
        (name,): wrapper
        for name, location in rooms.locations.items()
        for wrapper in location.wrappers
        if isinstance(wrapper, Limits)
    }
    metrics.connect("gateway_catalogue_up", lambda: catalogue.condition.works)
    metrics.connect("gateway_catalogue_waiting_changes", lambda: catalogue.writer.waiting)
    metrics.connect("gateway_pending_blobs", lambda: catalogue.blobs.pending)
    metrics.connect("gateway_backend_inflight_operations", lambda: {name: at.running for name, at in limits.items()})
    metrics.connect("gateway_backend_waiting_operations", lambda: {name: at.waiting for name, at in limits.items()})
    metrics.connect(
        "gateway_backend_healthcheck_duration_seconds",
        lambda: {(name,): state.seconds for name, state in health.states.items()},
    )
    counts = {(name,): count for name, count in reaper.counts.items()}
    metrics.connect("gateway_reaper_passes_total", lambda: {name: at.passes for name, at in counts.items()})
    metrics.connect("gateway_reaper_blobs_total", lambda: {name: at.blobs for name, at in counts.items()})
    metrics.connect("gateway_reaper_failures_total", lambda: {name: at.failed for name, at in counts.items()})
    metrics.connect(
        "gateway_reaper_last_pass_timestamp_seconds", lambda: {name: at.ended_at for name, at in counts.items()}
    )


def connect_scrub(metrics: Metrics, scrub: ScrubDuty) -> None:
    """What is read and compared beside serving."""
    metrics.connect("gateway_scrub_read_bytes_total", lambda: scrub.size)
    metrics.connect("gateway_scrub_faults", lambda: scrub.faults)
    metrics.connect("gateway_scrub_last_pass_timestamp_seconds", lambda: scrub.last)


def connect_threads(metrics: Metrics, pool: Any) -> None:
    """Twisted's thread pool, where logs are written, and the bodies that are hashed in threads of their own."""
    metrics.connect("gateway_thread_pool_busy_threads", lambda: len(pool.working))
    metrics.connect("gateway_thread_pool_waiting_jobs", lambda: pool.q.qsize())
    metrics.connect("gateway_hash_running_batches", lambda: Digests.running)
