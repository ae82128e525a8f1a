"""Every figure that /_/metrics shows: its name, kind, labels and meaning. The scrape, docs/metrics.md and the tests of
the dashboard and the alerts all come from this list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
CHANGES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)

# What bounds how many values a label may have.
LABELS: Mapping[str, str] = MappingProxyType(
    {
        "op": "the names of S3's operations (`-` where the request named none), or the hooks of a backend",
        "code": "HTTP statuses",
        "reason": "the S3 error codes that refuse who asked",
        "backend": "the locations that the configuration names",
        "outcome": "`ok`, the errors that a backend may raise, `cancelled` and `other`",
        "endpoint": "the endpoints that the configuration names",
        "version": "one",
    }
)


@dataclass(frozen=True, slots=True)
class Figure:
    """``name`` is the whole name of a counter or gauge, and a histogram's without ``_bucket``, ``_sum``, ``_count``.

    ``edges`` are a histogram's. ``foreign``: prometheus_client itself makes it. ``whole``: how the figure of a gateway
    comes from those of its processes.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    edges: tuple[float, ...] = SECONDS
    foreign: bool = False
    whole: Literal["sum", "max", "min"] = "sum"


FIGURES = (
    Figure("gateway_s3_requests_total", "counter", "Replies to clients.", ("op", "code")),
    Figure(
        "gateway_s3_request_duration_seconds",
        "histogram",
        "From the complete head of a request to the end of its reply.",
        ("op",),
    ),
    Figure(
        "gateway_s3_time_to_first_byte_seconds",
        "histogram",
        "From the complete head of a request to the first byte of its reply.",
        ("op",),
    ),
    Figure("gateway_s3_inflight_requests", "gauge", "Requests being answered now."),
    Figure("gateway_s3_received_bytes_total", "counter", "Bytes from clients, heads included."),
    Figure("gateway_s3_sent_bytes_total", "counter", "Bytes to clients, heads included."),
    Figure("gateway_auth_failures_total", "counter", "Requests refused for who asked.", ("reason",)),
    Figure("gateway_connections", "gauge", "Client connections that are open."),
    Figure("gateway_ready", "gauge", "1 while /_/ready says yes.", whole="min"),
    Figure(
        "gateway_backend_up",
        "gauge",
        "1 where the last healthcheck of a location succeeded.",
        ("backend",),
        whole="min",
    ),
    Figure(
        "gateway_backend_healthcheck_duration_seconds",
        "gauge",
        "How long the last healthcheck of a location took.",
        ("backend",),
        whole="max",
    ),
    Figure(
        "gateway_backend_operations_total",
        "counter",
        "Hooks of a location that ended.",
        ("backend", "op", "outcome"),
    ),
    Figure(
        "gateway_backend_operation_duration_seconds",
        "histogram",
        "How long the hooks of a location took; a get ends when its body is open.",
        ("backend", "op"),
    ),
    Figure(
        "gateway_backend_inflight_operations",
        "gauge",
        "Operations under way in a location, bodies that are being read included.",
        ("backend",),
    ),
    Figure(
        "gateway_backend_waiting_operations",
        "gauge",
        "Operations that wait because `concurrency` others are under way.",
        ("backend",),
    ),
    Figure(
        "gateway_catalogue_commit_duration_seconds",
        "histogram",
        "How long one synced commit of the catalogue took, its changes included.",
    ),
    Figure(
        "gateway_catalogue_commit_changes",
        "histogram",
        "How many changes shared one commit.",
        edges=CHANGES,
    ),
    Figure("gateway_catalogue_up", "gauge", "1 while the catalogue's last change succeeded.", whole="min"),
    Figure("gateway_catalogue_waiting_changes", "gauge", "Changes that wait for a commit to begin."),
    Figure("gateway_pending_blobs", "gauge", "Blobs named and not yet committed."),
    Figure("gateway_reaper_passes_total", "counter", "Passes of the reaper that reached their end.", ("backend",)),
    Figure("gateway_reaper_blobs_total", "counter", "Blobs that the reaper deleted.", ("backend",)),
    Figure(
        "gateway_reaper_failures_total",
        "counter",
        "What a storage refused to the reaper; it tries again.",
        ("backend",),
    ),
    Figure(
        "gateway_reaper_last_pass_timestamp_seconds",
        "gauge",
        "When the last pass reached its end; 0: none did.",
        ("backend",),
        whole="max",
    ),
    Figure("gateway_scrub_read_bytes_total", "counter", "Bytes that the scrub read and compared."),
    Figure(
        "gateway_scrub_faults",
        "gauge",
        "What is missing, short, damaged or unreadable, as the scrub's pass under way found, or the one before.",
    ),
    Figure(
        "gateway_scrub_last_pass_timestamp_seconds",
        "gauge",
        "When the scrub's last pass ended; 0: none did.",
        whole="max",
    ),
    Figure(
        "gateway_reactor_lag_seconds",
        "histogram",
        "How much later than asked for a timer of the event loop fired, four times a second.",
    ),
    Figure(
        "gateway_reactor_stalls_total", "counter", "Timers that fired more than 0.1 s late: something held the loop up."
    ),
    Figure("gateway_thread_pool_busy_threads", "gauge", "Threads of the pool at work: files, logs."),
    Figure("gateway_thread_pool_waiting_jobs", "gauge", "Jobs that wait for a thread."),
    Figure("gateway_hash_running_batches", "gauge", "Bodies that are hashed in threads, or wait for one."),
    Figure(
        "gateway_tls_certificate_expiry_timestamp_seconds",
        "gauge",
        "When the certificate in use ends, in seconds since 1970.",
        ("endpoint",),
        whole="min",
    ),
    Figure(
        "gateway_tls_certificate_stale",
        "gauge",
        "1 where the last SIGHUP found a broken certificate, so that an earlier one is still in use.",
        ("endpoint",),
        whole="max",
    ),
    Figure("gateway_access_log_lost_lines_total", "counter", "Lines of the access log that could not be written."),
    Figure("gateway_build_info", "gauge", "Always 1; the label tells the running version.", ("version",), whole="max"),
    Figure("process_virtual_memory_bytes", "gauge", "Virtual memory.", foreign=True),
    Figure("process_resident_memory_bytes", "gauge", "Memory that is in use.", foreign=True),
    Figure(
        "process_start_time_seconds",
        "gauge",
        "When the process started, in seconds since 1970.",
        foreign=True,
        whole="min",
    ),
    Figure("process_cpu_seconds_total", "counter", "Time of the processors that was used.", foreign=True),
    Figure("process_open_fds", "gauge", "Open file descriptors.", foreign=True, whole="max"),
    Figure("process_max_fds", "gauge", "How many file descriptors may be open.", foreign=True, whole="min"),
)
