"""The figures by the names that dashboards know."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from gateway.bodies import EmptyBody
from gateway.http import Traffic
from gateway.model import Call, Facts, Reply
from gateway.observe import PAGE, Metrics, Observer
from gateway.pages import FACTS

TRAFFIC = Traffic(received=10, sent=20, seconds=0.5, first_byte=0.25, whole=True)
CALL = Call("0123456789ABCDEF", "GET", "/", "", {}, EmptyBody(), "192.0.2.1", False, 0.0)


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    """(name, labels) -> value"""
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def test_replies_are_counted() -> None:
    metrics = Metrics("1.2")
    observer = Observer(metrics)
    for status, code in ((200, ""), (200, ""), (403, "SignatureDoesNotMatch"), (404, "NoSuchKey")):
        observer(CALL, Reply(status, facts=Facts("GetObject", code=code)), TRAFFIC)
    found = samples(metrics)
    assert found["gateway_s3_requests_total", "code=200,op=GetObject"] == 2
    assert found["gateway_s3_requests_total", "code=403,op=GetObject"] == 1
    assert found["gateway_s3_request_duration_seconds_count", "op=GetObject"] == 4
    assert found["gateway_s3_request_duration_seconds_sum", "op=GetObject"] == 2.0
    buckets = "gateway_s3_request_duration_seconds_bucket"
    assert [found[buckets, f"le={edge},op=GetObject"] for edge in ("0.25", "0.5", "+Inf")] == [0, 4, 4]
    assert found["gateway_s3_time_to_first_byte_seconds_sum", "op=GetObject"] == 1.0
    assert found["gateway_s3_received_bytes_total", ""] == 40
    assert found["gateway_s3_sent_bytes_total", ""] == 80
    assert found["gateway_auth_failures_total", "reason=SignatureDoesNotMatch"] == 1
    assert ("gateway_auth_failures_total", "reason=NoSuchKey") not in found
    assert found["gateway_build_info", "version=1.2"] == 1


def test_backends_are_counted() -> None:
    metrics = Metrics("1.2")
    metrics.backend_operation("cold", "put", "ok", 0.5)
    metrics.backend_operation("cold", "put", "BackendDown", 1.5)
    metrics.backend_up("cold", True)
    metrics.backend_up("warm", False)
    found = samples(metrics)
    assert found["gateway_backend_operations_total", "backend=cold,op=put,outcome=ok"] == 1
    assert found["gateway_backend_operations_total", "backend=cold,op=put,outcome=BackendDown"] == 1
    assert found["gateway_backend_operation_duration_seconds_sum", "backend=cold,op=put"] == 2.0
    assert found["gateway_backend_up", "backend=cold"] == 1
    assert found["gateway_backend_up", "backend=warm"] == 0


def test_gauges_are_read_when_asked_for() -> None:
    metrics = Metrics("1.2")
    now = [3]
    metrics.connect("gateway_s3_inflight_requests", lambda: now[0])
    metrics.connect("gateway_pending_blobs", lambda: 7)
    assert samples(metrics)["gateway_s3_inflight_requests", ""] == 3
    now[0] = 4
    found = samples(metrics)
    assert found["gateway_s3_inflight_requests", ""] == 4
    assert found["gateway_pending_blobs", ""] == 7
    assert found["gateway_connections", ""] == 0


def test_two_registries_do_not_meet() -> None:
    Metrics("1").backend_up("cold", True)
    assert ("gateway_backend_up", "backend=cold") not in samples(Metrics("2"))


def test_our_own_pages_are_left_out() -> None:
    assert FACTS.operation == PAGE
    metrics = Metrics("1.2")
    Observer(metrics)(CALL, Reply(200, facts=FACTS), TRAFFIC)
    assert samples(metrics)["gateway_s3_sent_bytes_total", ""] == 0
