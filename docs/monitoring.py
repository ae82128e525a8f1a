"""Write docs/metrics.md, and docs/monitoring/ with a Grafana dashboard and Prometheus' alert rules, from what the code
declares; tests/observe/test_monitoring.py sees to it that they agree with a real scrape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from monitored import ALERTS_LIST, ROWS

from gateway.observe.figures import FIGURES, LABELS

FOLDER = Path(__file__).parent
PAGE = FOLDER / "metrics.md"
DASHBOARD = FOLDER / "monitoring" / "dashboard.json"
ALERTS = FOLDER / "monitoring" / "alerts.yml"

_HEAD = """\
# Metrics

(Made by `make docs` from what the code declares.)

`/_/metrics` on the S3 port shows these figures to loopback peers, in Prometheus' text format; `metrics` in
`[gateway]` names an endpoint of its own, which shows them to whoever reaches it:

```ini
[gateway]
metrics = tcp:9100:interface=10.0.0.5
```

```yaml
scrape_configs:
  - job_name: gateway
    metrics_path: /_/metrics
    static_configs:
      - targets: ["10.0.0.5:9100"]
```

[monitoring/dashboard.json](monitoring/dashboard.json) is a Grafana dashboard (Dashboards, New, Import),
[monitoring/alerts.yml](monitoring/alerts.yml) holds alert rules for Prometheus (`rule_files`). No label ever holds a
bucket, a key or an account.

A histogram NAME shows `NAME_bucket`, `NAME_sum` and `NAME_count`. Whichever worker answers, the figures are those of
all processes of the gateway, joined as `of all` says. No counter goes back when a worker dies; what it counted after
the last scrape is lost where it was killed.

| name | kind | labels | of all | meaning |
|---|---|---|---|---|
"""
_ALERTS_HEAD = """
## Alerts

| alert | when | what to do |
|---|---|---|
"""


def page() -> str:
    """docs/metrics.md."""
    rows = []
    for figure in FIGURES:
        labels = ", ".join(f"`{label}`" for label in figure.labels)
        whole = {"sum": "sum", "max": "largest", "min": "least"}[figure.whole]
        rows.append(f"| `{figure.name}` | {figure.kind} | {labels} | {whole} | {figure.meaning} |\n")
    bounds = "".join(f"- `{label}`: {meaning}\n" for label, meaning in LABELS.items())
    alerts = "".join(f"| {alert.name} | {alert.summary} | {alert.do} |\n" for alert in ALERTS_LIST)
    alerts = alerts.replace("{{ $labels.", "`").replace(" }}", "`")
    return _HEAD + "".join(rows) + "\nThe values of the labels:\n\n" + bounds + _ALERTS_HEAD + alerts


def dashboard() -> str:
    """The Grafana dashboard, as its import takes it."""
    source = {"type": "prometheus", "uid": "${datasource}"}
    panels: list[dict[str, Any]] = []
    top = 0
    for row, members in ROWS:
        panels.append({"type": "row", "title": row, "gridPos": {"h": 1, "w": 24, "x": 0, "y": top}, "panels": []})
        top += 1
        for number, panel in enumerate(members):
            targets = [
                {"datasource": source, "expr": expr, "legendFormat": legend, "refId": chr(ord("A") + at)}
                for at, (expr, legend) in enumerate(panel.lines)
            ]
            place = {"h": 8, "w": 8, "x": number % 3 * 8, "y": top + number // 3 * 8}
            options = {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []}
            shown = {"type": "timeseries", "title": panel.title, "datasource": source, "gridPos": place}
            panels.append({**shown, "fieldConfig": options, "targets": targets})
        top += -(-len(members) // 3) * 8
    for number, panel_ in enumerate(panels, 1):
        panel_["id"] = number
    variable = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    whole = {
        "title": "txgateway",
        "uid": "txgateway",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [variable]},
        "panels": panels,
    }
    return json.dumps(whole, indent=1) + "\n"


def alerts() -> str:
    """Prometheus' rules. (JSON strings are YAML strings.)"""
    lines = ["# Made by `make docs`.", "groups:", "  - name: gateway", "    rules:"]
    for alert in ALERTS_LIST:
        lines += [
            f"      - alert: {alert.name}",
            f"        expr: {json.dumps(alert.when)}",
            f"        for: {alert.lasts}",
            f"        labels: {{severity: {alert.severity}}}",
            "        annotations:",
            f"          summary: {json.dumps(alert.summary)}",
            f"          description: {json.dumps(alert.do)}",
        ]
    return "\n".join(lines) + "\n"


FILES = {PAGE: page, DASHBOARD: dashboard, ALERTS: alerts}

if __name__ == "__main__":
    for path, make in FILES.items():
        path.write_text(make())
