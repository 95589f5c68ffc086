"""A real Prometheus in the node's namespaces, which finds the operator's pods as a cluster's would."""

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
    """Scrapes the operators of one namespace, and answers queries."""

    def __init__(self, cluster: Cluster, namespace: str, rules: Path | None = None):
        self.cluster = cluster
        folder = cluster.folder / f"prometheus-{namespace}"
        folder.mkdir()
        keys = cluster.folder / "pki"
        rule_files = f"rule_files: [{rules}]" if rules else ""
        (folder / "prometheus.yml").write_text(f"""
global: {{scrape_interval: {INTERVAL}, evaluation_interval: {INTERVAL}}}
{rule_files}
scrape_configs:
  - job_name: proofmill-operator
    honor_labels: true
    kubernetes_sd_configs:
      - role: pod
        api_server: https://{node.ADDRESS}:{node.API_PORT}
        tls_config: {{ca_file: {keys}/ca.crt, cert_file: {keys}/admin.crt, key_file: {keys}/admin.key}}
        namespaces: {{names: [{namespace}]}}
        selectors: [{{role: pod, label: app.kubernetes.io/name=proofmill-operator}}]
    relabel_configs:
      - {{source_labels: [__meta_kubernetes_pod_container_port_name], regex: http, action: keep}}
      - {{source_labels: [__meta_kubernetes_pod_name], target_label: pod}}
""")
        storage = ["--storage.tsdb.path", folder / "data", f"--web.listen-address=127.0.0.1:{PORT}"]
        program = [tools.debian("prometheus"), f"--config.file={folder}/prometheus.yml", *storage]
        processes.start(cluster.folder, "prometheus", *node.enter(cluster.folder), *program)
        self.port = cluster.relay("prometheus-relay", "127.0.0.1", PORT)
        processes.until(30, "Prometheus", lambda: self.query("up") is not None)

    def query(self, expr: str) -> list[dict]:
        """The series of an instant query."""
        url = f"http://127.0.0.1:{self.port}/api/v1/query?{urllib.parse.urlencode({'query': expr})}"
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)["data"]["result"]

    def query_of_panel(self, expr: str) -> list[dict]:
        """The series of a dashboard's query, with Grafana's variables filled in as Grafana would."""
        values = {"__rate_interval": "1m", "__range": "10m", "namespace": ".*"}
        return self.query(re.sub(r"\$(\w+)", lambda match: values[match[1]], expr))
