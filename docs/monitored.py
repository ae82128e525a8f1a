"""What the Grafana dashboard shows and what Prometheus warns of; docs/monitoring.py writes it down for them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph: its lines as (PromQL, legend), and Grafana's name of the unit."""

    title: str
    unit: str
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Alert:
    name: str
    when: str
    lasts: str
    severity: str
    summary: str
    do: str


def _quantile(share: float, histogram: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}_bucket[5m])))"


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Clients",
        (
            Panel("Requests", "reqps", (("sum by (op) (rate(gateway_s3_requests_total[5m]))", "{{op}}"),)),
            Panel("Replies by status", "reqps", (("sum by (code) (rate(gateway_s3_requests_total[5m]))", "{{code}}"),)),
            Panel(
                "Time to first byte, 99 of 100",
                "s",
                ((_quantile(0.99, "gateway_s3_time_to_first_byte_seconds", "op"), "{{op}}"),),
            ),
            Panel(
                "Whole request",
                "s",
                (
                    (_quantile(0.5, "gateway_s3_request_duration_seconds"), "half"),
                    (_quantile(0.99, "gateway_s3_request_duration_seconds"), "99 of 100"),
                ),
            ),
            Panel(
                "Traffic",
                "Bps",
                (
                    ("sum(rate(gateway_s3_received_bytes_total[5m]))", "in"),
                    ("sum(rate(gateway_s3_sent_bytes_total[5m]))", "out"),
                ),
            ),
            Panel(
                "Under way",
                "short",
                (
                    ("sum(gateway_s3_inflight_requests)", "requests"),
                    ("sum(gateway_connections)", "connections"),
                ),
            ),
            Panel(
                "Refused for who asked",
                "reqps",
                (("sum by (reason) (rate(gateway_auth_failures_total[5m]))", "{{reason}}"),),
            ),
        ),
    ),
    (
        "Locations",
        (
            Panel(
                "Ready, and locations that work",
                "short",
                (
                    ("min(gateway_ready)", "ready"),
                    ("min(gateway_catalogue_up)", "catalogue"),
                    ("min by (backend) (gateway_backend_up)", "{{backend}}"),
                ),
            ),
            Panel(
                "Operations that failed",
                "ops",
                (
                    (
                        'sum by (backend, outcome) (rate(gateway_backend_operations_total{outcome!="ok"}[5m]))',
                        "{{backend}} {{outcome}}",
                    ),
                ),
            ),
            Panel(
                "Time of operations, 99 of 100",
                "s",
                ((_quantile(0.99, "gateway_backend_operation_duration_seconds", "backend, op"), "{{backend}} {{op}}"),),
            ),
            Panel(
                "Healthcheck",
                "s",
                (("max by (backend) (gateway_backend_healthcheck_duration_seconds)", "{{backend}}"),),
            ),
            Panel(
                "Operations under way and waiting",
                "short",
                (
                    ("sum by (backend) (gateway_backend_inflight_operations)", "{{backend}} under way"),
                    ("sum by (backend) (gateway_backend_waiting_operations)", "{{backend}} waiting"),
                ),
            ),
        ),
    ),
    (
        "Inside",
        (
            Panel(
                "Commit of the catalogue",
                "s",
                (
                    (_quantile(0.5, "gateway_catalogue_commit_duration_seconds"), "half"),
                    (_quantile(0.99, "gateway_catalogue_commit_duration_seconds"), "99 of 100"),
                ),
            ),
            Panel(
                "Changes in a commit, and waiting for one",
                "short",
                (
                    (
                        "sum(rate(gateway_catalogue_commit_changes_sum[5m]))"
                        " / sum(rate(gateway_catalogue_commit_changes_count[5m]))",
                        "in a commit",
                    ),
                    ("sum(gateway_catalogue_waiting_changes)", "waiting"),
                ),
            ),
            Panel(
                "Lag of the event loop",
                "s",
                (
                    (_quantile(0.99, "gateway_reactor_lag_seconds"), "99 of 100"),
                    ("sum(rate(gateway_reactor_stalls_total[5m]))", "stalls a second"),
                ),
            ),
            Panel(
                "Threads",
                "short",
                (
                    ("sum(gateway_thread_pool_busy_threads)", "at work"),
                    ("sum(gateway_thread_pool_waiting_jobs)", "jobs that wait"),
                    ("sum(gateway_hash_running_batches)", "bodies being hashed"),
                ),
            ),
            Panel(
                "Reaper",
                "short",
                (
                    ("sum(rate(gateway_reaper_blobs_total[5m]))", "blobs a second"),
                    ("sum(rate(gateway_reaper_failures_total[5m]))", "refused a second"),
                    ("sum(rate(gateway_reaper_passes_total[5m]))", "passes a second"),
                    ("sum(gateway_pending_blobs)", "blobs pending"),
                ),
            ),
            Panel("Read by the scrub", "Bps", (("sum(rate(gateway_scrub_read_bytes_total[5m]))", "read"),)),
            Panel(
                "Found by the scrub",
                "short",
                (("sum(gateway_scrub_faults)", "faults"),),
            ),
            Panel(
                "Days since the scrub's last pass",
                "d",
                (("(time() - (gateway_scrub_last_pass_timestamp_seconds > 0)) / 86400", "{{instance}}"),),
            ),
            Panel(
                "Days until a certificate ends",
                "d",
                (("(gateway_tls_certificate_expiry_timestamp_seconds - time()) / 86400", "{{endpoint}}"),),
            ),
            Panel(
                "Memory",
                "bytes",
                (("process_resident_memory_bytes", "resident"), ("process_virtual_memory_bytes", "virtual")),
            ),
            Panel("Processor", "percentunit", (("rate(process_cpu_seconds_total[5m])", "used"),)),
            Panel("File descriptors", "short", (("process_open_fds", "open"), ("process_max_fds", "may be open"))),
            Panel(
                "Running for, by version",
                "s",
                (
                    (
                        "(time() - process_start_time_seconds)"
                        " * on (instance, job) group_left (version) gateway_build_info",
                        "{{version}}",
                    ),
                ),
            ),
        ),
    ),
)

_SERVED = "sum(rate(gateway_s3_requests_total[5m]))"
ALERTS_LIST = (
    Alert(
        "GatewayGone",
        "absent(gateway_build_info)",
        "5m",
        "critical",
        "No gateway answers Prometheus.",
        "Is the process running? `gateway check` tells what keeps it from starting.",
    ),
    Alert(
        "GatewayNotReady",
        "gateway_ready == 0",
        "5m",
        "critical",
        "The gateway says that it is not ready.",
        "Ask /_/ready from the machine itself: it gives the reasons.",
    ),
    Alert(
        "GatewayLocationDown",
        "gateway_backend_up == 0",
        "5m",
        "critical",
        "Location {{ $labels.backend }} fails its healthcheck.",
        "Ask /_/healthcheck from the machine itself: it gives the storage's own words.",
    ),
    Alert(
        "GatewayCatalogueDown",
        "gateway_catalogue_up == 0",
        "1m",
        "critical",
        "The catalogue takes no changes.",
        "gateway.log says why: most likely the disk below `data` is full or broken.",
    ),
    Alert(
        "GatewayErrors",
        f'sum(rate(gateway_s3_requests_total{{code=~"5.."}}[5m])) / {_SERVED} > 0.05',
        "10m",
        "critical",
        "More than 5 of 100 replies are errors of ours.",
        "The field `cause` of log/access.log says why, for each reply.",
    ),
    Alert(
        "GatewaySlow",
        f"{_quantile(0.99, 'gateway_s3_time_to_first_byte_seconds')} > 5",
        "10m",
        "warning",
        "1 of 100 requests waits more than 5 s for its first byte.",
        "Compare the times of the locations, of the catalogue's commits, and the lag of the event loop.",
    ),
    Alert(
        "GatewayLocationBusy",
        "gateway_backend_waiting_operations > 100",
        "10m",
        "warning",
        "More than 100 operations wait for location {{ $labels.backend }}.",
        "The storage is slower than its clients; raise `concurrency` if it can do more at once.",
    ),
    Alert(
        "GatewayDamage",
        "gateway_scrub_faults > 0",
        "0m",
        "critical",
        "The scrub found objects, or parts of them, that are not as they were written.",
        "gateway.log names them; `gateway verify` does it again. Put them back from a copy, or upload them anew.",
    ),
    Alert(
        "GatewayLoopStalls",
        "rate(gateway_reactor_stalls_total[10m]) > 0.1",
        "10m",
        "warning",
        "The event loop is held up again and again.",
        "The machine is overloaded, or a plugin blocks: look at the processor first.",
    ),
    Alert(
        "GatewayCatalogueSlow",
        f"{_quantile(0.99, 'gateway_catalogue_commit_duration_seconds')} > 1",
        "10m",
        "warning",
        "1 of 100 commits of the catalogue takes more than a second.",
        "The disk below `data` is slow or full.",
    ),
    Alert(
        "GatewayReaperStuck",
        "time() - gateway_reaper_last_pass_timestamp_seconds > 3600"
        " and on (instance, job) time() - process_start_time_seconds > 3600",
        "5m",
        "warning",
        "The reaper has ended no pass over {{ $labels.backend }} for an hour.",
        "gateway.log tells what it waits for; deleted objects keep their space meanwhile.",
    ),
    Alert(
        "GatewayReaperRefused",
        "increase(gateway_reaper_failures_total[1h]) > 0",
        "3h",
        "warning",
        "Location {{ $labels.backend }} refuses to delete.",
        "gateway.log holds its words; look at its rights.",
    ),
    Alert(
        "GatewayCertificateEnds",
        "gateway_tls_certificate_expiry_timestamp_seconds - time() < 14 * 86400",
        "1h",
        "warning",
        "The certificate of {{ $labels.endpoint }} ends within two weeks.",
        "Renew it and send SIGHUP to the gateway.",
    ),
    Alert(
        "GatewayCertificateStale",
        "gateway_tls_certificate_stale == 1",
        "5m",
        "warning",
        "The new certificate of {{ $labels.endpoint }} is broken; the old one is in use.",
        "gateway.log tells what is wrong with it; replace it and send SIGHUP.",
    ),
    Alert(
        "GatewayFileDescriptors",
        "process_open_fds / process_max_fds > 0.8",
        "5m",
        "warning",
        "Four of five file descriptors are in use.",
        "Raise LimitNOFILE in the unit, and restart.",
    ),
    Alert(
        "GatewayLogLost",
        "increase(gateway_access_log_lost_lines_total[15m]) > 0",
        "1m",
        "warning",
        "The access log loses lines.",
        "The disk below `log` is full or slow.",
    ),
    Alert(
        "GatewayRefusesMany",
        "sum(rate(gateway_auth_failures_total[5m])) > 10",
        "10m",
        "warning",
        "More than 10 requests a second are refused for who asks.",
        "log/access.log names the peers: a wrong key, a wrong clock, or somebody who guesses.",
    ),
)
