"""What is scraped, declared, documented, drawn and watched is one and the same; promtool judges it."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from gateway.observe import Metrics, Stalls
from gateway.observe.figures import FIGURES, LABELS
from gateway.testing.server import LiveGateway
from tests.authority import Authority

ROOT = Path(__file__).parent.parent.parent
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


def generator() -> Any:
    sys.path.insert(0, str(ROOT / "docs"))  # as `make docs` runs it
    try:
        return importlib.import_module("monitoring")
    finally:
        sys.path.remove(str(ROOT / "docs"))


@pytest.fixture(scope="module")
def pages() -> Any:
    return generator()


@pytest.fixture(scope="module")
def scrape(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a gateway with TLS and two locations, after traffic that went well and traffic that did not."""
    folder = tmp_path_factory.mktemp("scraped")
    folder.joinpath("x").mkdir()
    Authority(folder).issue("server")
    listen = "tcp:0:interface=127.0.0.1\nssl:0:privateKey=server-key.pem:certKey=server.pem:interface=127.0.0.1"
    with LiveGateway(folder, "memory", gateway={"listen": listen, "reap_interval": "100ms"}) as live:
        s3 = boto3.client(
            "s3",
            endpoint_url=live.endpoint,
            aws_access_key_id=live.access_key,
            aws_secret_access_key=live.secret_key,
            region_name=live.region,
        )
        s3.create_bucket(Bucket="attic")
        for _ in range(2):
            s3.put_object(Bucket="attic", Key="a", Body=b"x" * 300_000)
        s3.get_object(Bucket="attic", Key="a")["Body"].read()
        s3.close()
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            boto3.client(
                "s3",
                endpoint_url=live.endpoint,
                aws_access_key_id=live.access_key,
                aws_secret_access_key="wrong",
                region_name=live.region,
            ).list_buckets()
        text = ""
        while 'gateway_reaper_blobs_total{backend="storage"} 1.0' not in text:  # the blob of the first of the two puts
            text = urllib.request.urlopen(f"{live.endpoint}/_/metrics", timeout=30).read().decode()
    return text


@pytest.fixture(scope="module")
def promtool() -> Callable[..., str]:
    """``promtool("check", "metrics", text="...")`` -> what it says; it must be content."""
    found = shutil.which("promtool", path=f"{os.environ['PATH']}:{ROOT / '.make'}")
    if found is None:
        reason = "promtool is not there: .ci/promtool .make/promtool"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    program = found

    def run(*words: str, text: str = "") -> str:
        done = subprocess.run([program, *words], input=text, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    return run


def names(expression: str) -> set[str]:
    """The metrics that a PromQL expression asks for."""
    return set(re.findall(r"\b(?:gateway|process)_[a-z0-9_]+", expression))


def test_the_scrape_holds_what_is_declared_and_nothing_else(scrape: str) -> None:
    kinds = {family.name: family.type for family in text_string_to_metric_families(scrape)}
    declared = {figure.name.removesuffix("_total"): figure.kind for figure in FIGURES}
    assert {name.removesuffix("_total"): kind for name, kind in kinds.items()} == declared
    for family in text_string_to_metric_families(scrape):
        assert family.samples, f"{family.name}: nobody connected it, or nothing happened to it"
        for sample in family.samples:
            assert set(sample.labels) <= {*LABELS, "le"}, sample


def test_the_figures_are_true(scrape: str) -> None:
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(scrape)
        for sample in family.samples
    }

    def value(name: str, **labels: str) -> float:
        return found[name, tuple(sorted(labels.items()))]

    assert value("gateway_s3_requests_total", op="PutObject", code="200") == 2
    assert value("gateway_s3_requests_total", op="ListBuckets", code="403") == 1
    assert value("gateway_auth_failures_total", reason="SignatureDoesNotMatch") == 1
    assert value("gateway_s3_received_bytes_total") > 600_000
    assert value("gateway_s3_sent_bytes_total") > 300_000
    assert value("gateway_ready") == value("gateway_backend_up", backend="storage") == 1
    assert value("gateway_backend_healthcheck_duration_seconds", backend="storage") > 0
    assert value("gateway_backend_operations_total", backend="storage", op="put", outcome="ok") >= 2
    assert value("gateway_backend_inflight_operations", backend="storage") == 0
    assert value("gateway_catalogue_commit_duration_seconds_count") >= 3
    changes, commits = value("gateway_catalogue_commit_changes_sum"), value("gateway_catalogue_commit_changes_count")
    assert changes >= commits == value("gateway_catalogue_commit_duration_seconds_count")
    assert value("gateway_reaper_passes_total", backend="storage") >= 1
    assert value("gateway_reaper_last_pass_timestamp_seconds", backend="storage") > 1.7e9
    assert value("gateway_hash_running_batches") == 0
    assert value("gateway_connections") >= 1
    endpoint = "ssl:0:interface=127.0.0.1"
    assert value("gateway_tls_certificate_expiry_timestamp_seconds", endpoint=endpoint) > 1.7e9
    assert value("gateway_tls_certificate_stale", endpoint=endpoint) == 0


def test_promtool_likes_the_scrape(scrape: str, promtool: Callable[..., str]) -> None:
    said = promtool("check", "metrics", text=scrape)
    # prometheus_client's own name, as every Python process has it
    assert [line for line in said.splitlines() if "process_" not in line] == []


def test_the_files_are_what_the_code_declares(pages: Any) -> None:
    for path, make in pages.FILES.items():
        assert path.read_text() == make(), "run `make docs`"
    page = pages.PAGE.read_text()
    for figure in FIGURES:
        assert f"| `{figure.name}` | {figure.kind} |" in page


def test_every_panel_and_alert_asks_for_what_is_scraped(pages: Any, scrape: str) -> None:
    samples = {sample.name for family in text_string_to_metric_families(scrape) for sample in family.samples}
    panels = [panel for panel in json.loads(pages.DASHBOARD.read_text())["panels"] if panel["type"] != "row"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    asked += [alert.when for alert in pages.ALERTS_LIST]
    assert len(panels) >= 20
    for expression in asked:
        assert names(expression), expression
        assert names(expression) <= samples, expression
    shown = set().union(*map(names, asked))
    for figure in FIGURES:
        assert shown & {figure.name + suffix for suffix in SUFFIXES[figure.kind]}, f"nobody looks at {figure.name}"


def test_promtool_understands_every_panel(pages: Any, promtool: Callable[..., str], tmp_path: Path) -> None:
    panels = [line for _, members in pages.ROWS for panel in members for line in panel.lines]
    rules = [f"  - {{record: 'panel:{at}', expr: {json.dumps(expr)}}}" for at, (expr, _) in enumerate(panels)]
    file = tmp_path / "panels.yml"
    file.write_text("\n".join(["groups:", "- name: panels", "  rules:", *rules]))
    assert f"{len(panels)} rules found" in promtool("check", "rules", str(file))


def test_promtool_fires_each_alert_and_only_when_it_should(
    pages: Any, promtool: Callable[..., str], tmp_path: Path
) -> None:
    promtool("check", "rules", str(pages.ALERTS))
    text = (Path(__file__).parent / "alerts.yml").read_text()
    for alert in pages.ALERTS_LIST:
        assert f'alertname="{alert.name}"' in text, f"no test fires {alert.name}"
    file = tmp_path / "test.yml"
    file.write_text(text.replace("RULES", str(pages.ALERTS)))
    assert "SUCCESS" in promtool("test", "rules", str(file))


def test_a_loop_that_is_held_up_is_counted() -> None:
    clock, metrics = Clock(), Metrics("1")
    Stalls(clock, metrics.lagged).start()
    clock.pump([0.25, 0.25, 0.85])  # on time, on time, 0.6 s late
    text = metrics.text().decode()
    assert 'gateway_reactor_lag_seconds_bucket{le="0.001"} 2.0' in text
    assert 'gateway_reactor_lag_seconds_bucket{le="1.0"} 3.0' in text
    assert "gateway_reactor_stalls_total 1.0" in text


def test_a_loop_that_stood_still_is_told_once_a_minute() -> None:
    clock, told = Clock(), list[str]()

    def watch(event: Any) -> None:
        told.append(formatEvent(event))

    globalLogPublisher.addObserver(watch)
    try:
        Stalls(clock, lambda seconds: None).start()
        clock.pump([0.25, 0.45])  # on time, 0.2 s late
        assert told == []
        clock.pump([0.75, 1.25, 5.25])  # 0.5, 1 and 5 s late
        assert len(told) == 1 and "stood still for 0.50 s" in told[0]
        clock.pump([60.25])
        assert len(told) == 2 and "60.00 s" in told[1]
    finally:
        globalLogPublisher.removeObserver(watch)


def test_a_stranger_s_exceptions_make_no_new_labels() -> None:
    metrics = Metrics("1")
    for number in range(1000):
        metrics.backend_operation("storage", "put", f"Error{number}", 0.1)
    assert metrics.text().decode().count('gateway_backend_operations_total{backend="storage"') == 1
