#!/usr/bin/env python3
"""Writes the chart's Grafana dashboards: `charts/dashboards.py`. Grafana's JSON repeats itself; this says each thing once."""

import json
from pathlib import Path

OUT = Path(__file__).resolve().parent / "proofmill/files/dashboards"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT = 8, 8
JOBS = '{namespace=~"$namespace"}'


def quantiles(histogram: str, by: str = "", legend: str = "") -> list[tuple[str, str]]:
    """The median and the 95th percentile of a histogram, by a label."""
    labels = ", ".join(filter(None, ["le", by]))
    rate = f"sum by ({labels}) (rate({histogram}_bucket[$__rate_interval]))"
    return [(f"histogram_quantile({share}, {rate})", f"{legend} p{share * 100:.0f}".strip()) for share in (0.5, 0.95)]


def panel(title: str, description: str, unit: str, *queries: tuple[str, str], kind: str = "timeseries") -> dict:
    """A panel; a query is an expression and the legend of its series."""
    targets = [
        {"refId": chr(ord("A") + number), "expr": expr, "legendFormat": legend, "datasource": DATASOURCE}
        for number, (expr, legend) in enumerate(queries)
    ]
    options = {
        "timeseries": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"},
    }
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": options[kind],
        "targets": targets,
    }


def board(name: str, title: str, description: str, panels: list[dict], namespaces: bool) -> dict:
    """A dashboard: three panels to a row."""
    variables = [{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}]
    if namespaces:
        query = {"query": "label_values(proofjob_current, namespace)", "refId": "namespace"}
        choice = {"includeAll": True, "multi": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}}
        variables.append(
            {"name": "namespace", "label": "Namespace", "type": "query", "datasource": DATASOURCE, "query": query, "refresh": 2, **choice}
        )
    for number, made in enumerate(panels):
        made["id"] = number + 1
        made["gridPos"] = {"x": number % 3 * WIDTH, "y": number // 3 * HEIGHT, "w": WIDTH, "h": HEIGHT}
    return {
        "uid": f"proofmill-{name}",
        "title": f"Proofmill / {title}",
        "description": description,
        "tags": ["proofmill"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": variables},
        "panels": panels,
    }
