"""A real Prometheus in the node's namespaces, with the labels that the chart's monitor gives to series."""

import json
import re
import urllib.parse
import urllib.request
from pathlib import Path

from . import node, processes, tools
from .cluster import Cluster

PORT = 9090
INTERVAL = "1s"


class Prometheus:
    """Scrapes the operator's pods of one namespace, evaluates rules, and answers queries."""

    def __init__(self, cluster: Cluster, namespace: str, pods: list[dict], rules: Path):
        self.cluster = cluster
        folder = cluster.folder / f"prometheus-{namespace}"
        folder.mkdir()
        keys = cluster.folder / "pki"
        # Debian's build cannot discover pods by itself.
        targets = [
            {"targets": [f"{pod['status']['podIP']}:8080"], "labels": {"pod": pod["metadata"]["name"]}} for pod in pods
        ]
        (folder / "prometheus.yml").write_text(f"""
global: {{scrape_interval: {INTERVAL}, evaluation_interval: {INTERVAL}}}
rule_files: [{rules}]
scrape_configs:
  - job_name: proofmill-operator
    honor_labels: true
    static_configs: {json.dumps(targets)}
  - job_name: cadvisor
    scheme: https
    metrics_path: /metrics/cadvisor
    tls_config: {{ca_file: {keys}/ca.crt, cert_file: {keys}/admin.crt, key_file: {keys}/admin.key}}
    static_configs: [{{targets: ["{node.ADDRESS}:{node.KUBELET_PORT}"]}}]
""")
        storage = ["--storage.tsdb.path", folder / "data", f"--web.listen-address=127.0.0.1:{PORT}"]
        program = [tools.debian("prometheus"), f"--config.file={folder}/prometheus.yml", *storage]
        processes.start(cluster.folder, "prometheus", *node.enter(cluster.folder), *program)
        self.port = cluster.relay("prometheus-relay", "127.0.0.1", PORT)
        processes.until(30, "Prometheus", lambda: self.query("up"))

    def query(self, expr: str) -> list[dict]:
        """The series of an instant query."""
        url = f"http://127.0.0.1:{self.port}/api/v1/query?{urllib.parse.urlencode({'query': expr})}"
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)["data"]["result"]

    def query_of_panel(self, expr: str) -> list[dict]:
        """The series of a dashboard's query, with Grafana's variables filled in as Grafana would."""
        values = {"__rate_interval": "1m", "__range": "10m", "namespace": ".*"}
        return self.query(re.sub(r"\$(\w+)", lambda match: values[match[1]], expr))
