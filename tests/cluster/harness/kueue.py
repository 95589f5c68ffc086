"""Kueue's manager as a process of this machine: the real admission of Jobs by quota.

Its webhooks are not installed: they would suspend new Jobs that have a queue, which the operator does itself.
"""

import json
import shutil
import time

from . import processes, tools
from .cluster import Cluster, free_port

GROUP = "kueue.x-k8s.io"
VERSION = f"{GROUP}/v1beta2"
# Certificates of its metrics are looked for in one place only: this process alone has an /etc with them.
WITH_CERTIFICATES = """
mount -t tmpfs tmpfs /etc && mkdir -p /etc/kueue/metrics/certs && cp "$0"/tls.* /etc/kueue/metrics/certs && exec "$@"
"""


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
    environment = {"KUBECONFIG": str(cluster.kubeconfig), "PATH": tools.PATH, "HOME": str(folder), "USER": "kueue"}
    command = [tools.kueue(), f"--config={folder}/config.yaml", gates]
    private = [tools.debian("unshare"), "--map-root-user", "--mount", "sh", "-c", WITH_CERTIFICATES, folder]

    def is_running() -> bool:
        # It ends when the API server has not noticed all definitions yet, and is started again, as a Deployment would.
        if processes.pid(cluster.folder, "kueue") is None:
            processes.start(cluster.folder, "kueue", *private, *command, env=environment)
            time.sleep(3)
        return processes.pid(cluster.folder, "kueue") is not None

    processes.until(60, "Kueue's manager", is_running)


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
