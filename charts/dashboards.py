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
            {
                "name": "namespace",
                "label": "Namespace",
                "type": "query",
                "datasource": DATASOURCE,
                "query": query,
                "refresh": 2,
                **choice,
            }
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


def fleet() -> dict:
    """Is the fleet proving, and how well?"""
    finished = f"proofjob_finished_total{JOBS}"
    won = 'proofjob_finished_total{namespace=~"$namespace", result="succeeded"}'
    panels = [
        panel(
            "Jobs",
            "Unfinished and finished jobs that exist now, by phase.",
            "short",
            (f"sum by (phase) (proofjob_current{JOBS})", "{{phase}}"),
        ),
        panel(
            "Finished",
            "Jobs that ended, per minute.",
            "short",
            (f"60 * sum by (result) (rate({finished}[$__rate_interval]))", "{{result}}"),
        ),
        panel(
            "Succeeded",
            "Share of the jobs ended in the time shown that have a proof.",
            "percentunit",
            (f"sum(increase({won}[$__range])) / sum(increase({finished}[$__range]))", "succeeded"),
            kind="stat",
        ),
        panel("From start to end", "Duration of jobs.", "s", *quantiles("proofjob_duration_seconds")),
        panel(
            "Oldest unfinished",
            "Age of the oldest job that waits for a stage.",
            "s",
            (f"max by (stage) (proofjob_oldest_unfinished_seconds{JOBS})", "{{stage}}"),
        ),
        panel(
            "Subgraphs",
            "Subgraphs of unfinished jobs, by state.",
            "short",
            (f"sum by (state) (proofjob_subgraphs_current{JOBS})", "{{state}}"),
        ),
    ]
    return board("fleet", "Fleet", "All jobs: how many, how long, how well.", panels, namespaces=True)


def job() -> dict:
    """Where does a job's time go?"""
    attempts = "rate(proofjob_subgraph_attempts_total[$__rate_interval])"
    panels = [
        panel(
            "Stages", "Duration of stages.", "s", *quantiles("proofjob_stage_duration_seconds", "stage", "{{stage}}")
        ),
        panel(
            "Proving a subgraph",
            "Wall time of a worker, as it reports it.",
            "s",
            *quantiles("proofjob_subgraph_prove_seconds", "class", "class {{class}}"),
        ),
        panel(
            "Aggregating", "Wall time of aggregate, as it reports it.", "s", *quantiles("proofjob_aggregate_seconds")
        ),
        panel(
            "Waiting for admission",
            "From the making of a stage's Job to the moment its pods may start: a queue's wait.",
            "s",
            *quantiles("proofjob_admission_wait_seconds", "stage", "{{stage}}"),
        ),
        panel(
            "Memory of a worker",
            "Most resident memory of a worker, as it reports it.",
            "bytes",
            *quantiles("proofjob_peak_memory_bytes", "stage", "{{stage}}"),
        ),
        panel(
            "Attempts",
            "Attempts at subgraphs, per minute, by what came of them.",
            "short",
            (f"60 * sum by (result, reason) ({attempts})", "{{result}} {{reason}}"),
        ),
        panel("Size of a proof", "Bytes of finished proofs.", "bytes", *quantiles("proofjob_proof_bytes")),
        panel(
            "Starting pods",
            "From the making of a pod to the start of its container: scheduling, images, volumes.",
            "s",
            *quantiles("proofjob_pod_start_seconds", "stage", "{{stage}}"),
        ),
        panel(
            "Store",
            "Bytes per second that workers read from the artifact store and write to it, as they report them.",
            "Bps",
            ("sum by (stage, op) (rate(proofjob_artifact_bytes_total[$__rate_interval]))", "{{stage}} {{op}}"),
        ),
        panel(
            "GPUs",
            "Time that kernels ran on a GPU, per second, by family, as workers report it.",
            "percentunit",
            ("sum by (kernel) (rate(proofjob_gpu_kernel_seconds_total[$__rate_interval])) or vector(0)", "{{kernel}}"),
        ),
        panel(
            "Copies of GPUs",
            "Bytes per second that workers copy to a GPU and from it, as they report them.",
            "Bps",
            ("sum by (stage, op) (rate(proofjob_gpu_bytes_total[$__rate_interval])) or vector(0)", "{{stage}} {{op}}"),
        ),
    ]
    return board("job", "Job", "Where a job's time goes, stage by stage.", panels, namespaces=False)


def operator() -> dict:
    """Is the operator well? Traffic, errors, latency, saturation."""
    prefix = "proofjob_operator"
    requests = f"{prefix}_apiserver_requests_total"
    panels = [
        panel("Leader", "Which replica works.", "short", (f"max by (pod) ({prefix}_leader)", "{{pod}}")),
        panel(
            "Reconciles",
            "Per second, by outcome.",
            "ops",
            (
                f"sum by (controller, result) (rate({prefix}_reconciles_total[$__rate_interval]))",
                "{{controller}} {{result}}",
            ),
        ),
        panel(
            "Errors",
            "Reconciles that failed, per second, by error.",
            "ops",
            (f"sum by (error) (rate({prefix}_reconcile_errors_total[$__rate_interval])) or vector(0)", "{{error}}"),
        ),
        panel("Reconcile", "Duration of a reconcile.", "s", *quantiles(f"{prefix}_reconcile_duration_seconds")),
        panel(
            "Event to status",
            "From what happens to an object, to the status that tells of it.",
            "s",
            *quantiles(f"{prefix}_event_to_status_seconds"),
        ),
        panel("Queue", "From an event to the reconcile that it asks for.", "s", *quantiles(f"{prefix}_reconcile_queue_seconds")),
        panel(
            "In flight",
            "Reconciles under way, and objects that wait for one.",
            "short",
            (f"sum({prefix}_reconcile_inflight)", "in flight"),
            (f"sum({prefix}_reconcile_queue_depth)", "waiting"),
        ),
        panel(
            "API requests",
            "Per second, by verb and resource.",
            "reqps",
            (f"sum by (verb, resource) (rate({requests}[$__rate_interval]))", "{{verb}} {{resource}}"),
        ),
        panel(
            "API errors",
            "Share of requests that the API server refused or did not answer.",
            "percentunit",
            (
                f'(sum(rate({requests}{{code!~"2..|404|409"}}[$__rate_interval])) or vector(0)) / sum(rate({requests}[$__rate_interval]))',
                "errors",
            ),
        ),
        panel("API latency", "Duration of a request.", "s", *quantiles(f"{prefix}_apiserver_request_duration_seconds")),
        panel(
            "Watch",
            "Events from the API server, per second, by kind.",
            "ops",
            (f"sum by (kind) (rate({prefix}_watch_events_total[$__rate_interval]))", "{{kind}}"),
        ),
        panel(
            "Memory",
            "Memory in use by a replica, as its node measures it.",
            "bytes",
            ('container_memory_working_set_bytes{container="operator", pod=~".*proofmill-operator.*"}', "{{pod}}"),
        ),
        panel(
            "Processor",
            "Cores in use by a replica, as its node measures it.",
            "short",
            (
                'rate(container_cpu_usage_seconds_total{container="operator", pod=~".*proofmill-operator.*"}[$__rate_interval])',
                "{{pod}}",
            ),
        ),
    ]
    return board(
        "operator", "Operator", "The operator: traffic, errors, latency, saturation.", panels, namespaces=False
    )


def main() -> None:
    OUT.mkdir(exist_ok=True)
    for made in (fleet(), job(), operator()):
        path = OUT / f"{made['uid'].removeprefix('proofmill-')}.json"
        path.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
