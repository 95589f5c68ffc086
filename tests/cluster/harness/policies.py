"""kube-router's firewall on the node: from then on NetworkPolicies hold, which the bridge alone does not see to."""

import os

from . import node, processes, tools
from .cluster import SERVICES, Cluster


def enforce(cluster: Cluster) -> None:
    """Starts it in the node's namespaces, with whose end it ends."""
    tools.debian("ipset")
    options = {
        "kubeconfig": cluster.folder / "local.kubeconfig",
        "hostname-override": node.NAME,
        "service-cluster-ip-range": SERVICES,
        "run-firewall": "true",
        "run-router": "false",
        "run-service-proxy": "false",
        "enable-cni": "false",
        "health-port": 0,
        "metrics-port": 0,
    }
    command = [tools.kube_router(), *(f"--{name}={value}" for name, value in options.items())]
    environment = os.environ | {"PATH": tools.PATH}
    processes.start(cluster.folder, "kube-router", *node.enter(cluster.folder), *command, env=environment)
