"""Kueue's manager as a process of this machine: the real admission of Jobs by quota.

Its webhooks are not installed: they would suspend new Jobs that have a queue, which the operator does itself.
"""

import json
import shutil

from . import processes, tools
from .cluster import Cluster, free_port

GROUP = "kueue.x-k8s.io"
VERSION = f"{GROUP}/v1beta2"


def start(cluster: Cluster) -> None:
    """Installs the definitions and starts the manager, as the cluster's administrator."""
    for path in sorted(tools.kueue_definitions().glob("*.yaml")):
        cluster.kubectl("apply", "--server-side", "-f", path)
    folder = cluster.folder / "kueue"
    folder.mkdir()
    for end in ("crt", "key"):
        shutil.copy(cluster.folder / f"pki/apiserver.{end}", folder / f"tls.{end}")
    configuration = {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "namespace": "default",
        "health": {"healthProbeBindAddress": f"127.0.0.1:{free_port()}"},
        "metrics": {"bindAddress": "0"},
        "webhook": {"port": free_port(), "host": "127.0.0.1", "certDir": str(folder)},
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "integrations": {"frameworks": ["batch/job"]},
    }
    (folder / "config.yaml").write_text(json.dumps(configuration))
    gates = "--feature-gates=VisibilityOnDemand=false"
    environment = {"KUBECONFIG": str(cluster.kubeconfig)}
    processes.start(cluster.folder, "kueue", tools.kueue(), f"--config={folder}/config.yaml", gates, env=environment)


def stop(cluster: Cluster) -> None:
    """Ends the manager."""
    processes.kill(cluster.folder, "kueue")


def make_queue(cluster: Cluster, namespace: str, name: str, memory: str) -> None:
    """A queue of a namespace with a quota of memory."""
    flavor = {
        "name": name,
        "resources": [{"name": "cpu", "nominalQuota": 100}, {"name": "memory", "nominalQuota": memory}],
    }
    groups = [{"coveredResources": ["cpu", "memory"], "flavors": [flavor]}]
    _create(cluster, "resourceflavors", "ResourceFlavor", name, {})
    _create(cluster, "clusterqueues", "ClusterQueue", name, {"namespaceSelector": {}, "resourceGroups": groups})
    _create(cluster, f"namespaces/{namespace}/localqueues", "LocalQueue", name, {"clusterQueue": name})


def _create(cluster: Cluster, path: str, kind: str, name: str, spec: dict) -> None:
    body = {"apiVersion": VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
    cluster.api.patch(f"/apis/{VERSION}/{path}/{name}?fieldManager=tests", body, "apply")
