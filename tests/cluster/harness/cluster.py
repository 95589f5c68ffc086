"""A Kubernetes cluster in a folder: `control`, the control plane alone, or `node`, with a node that runs pods.

The control plane needs no root: etcd, API server, controller manager and scheduler on 127.0.0.1, as anybody. Pods stay
pending unless somebody plays the node. A node needs root, and lives in namespaces of its own; see `node`.
"""

import dataclasses
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from . import node, pki, processes, relay, tools
from .api import Api

SERVICES = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A cluster that is up."""

    folder: Path
    kind: str
    port: int
    etcd_port: int

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.folder / "admin.kubeconfig"

    @property
    def server(self) -> str:
        """The API server's URL on this machine."""
        return f"https://127.0.0.1:{self.port}"

    @functools.cached_property
    def api(self) -> Api:
        """The API server, asked as the administrator."""
        return self.api_as()

    def api_as(self, user: str | None = None, patience: float = 0) -> Api:
        """The API server, asked as the administrator who impersonates a user."""
        keys = self.folder / "pki"
        return Api(self.port, keys / "ca.crt", (keys / "admin.crt", keys / "admin.key"), user, patience)

    def kubectl(self, *arguments, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess:
        """Runs kubectl as the administrator; `text` is its standard input."""
        return self.run(tools.kubernetes() / "kubectl", *arguments, text=text, check=check)

    def run(self, program, *arguments, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess:
        """Runs a program with the administrator's KUBECONFIG. An error shows what the program wrote."""
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        command = [str(program), *map(str, arguments)]
        done = subprocess.run(command, input=text, capture_output=True, text=True, env=environment)
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: code {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def inside(self, *command, **options) -> subprocess.CompletedProcess:
        """Runs a program in the node's namespaces."""
        return subprocess.run([*node.enter(self.folder), *map(str, command)], check=True, **options)

    def load(self, archive: Path) -> None:
        """Imports an OCI archive into the node's containerd."""
        self.inside(*node.ctr(self.folder), "images", "import", archive.resolve(), stdout=subprocess.DEVNULL)

    def relay(self, name: str, address: str, target: int) -> int:
        """Opens a port on 127.0.0.1 that leads to an address inside the node's namespaces."""
        port = free_port()
        processes.start(
            self.folder, name, sys.executable, relay.__file__, node.init(self.folder), port, address, target
        )
        return port

    def restart_api_server(self, pause) -> None:
        """Ends the API server as a crash would, calls `pause`, and starts it again; `control` only."""
        processes.kill(self.folder, "kube-apiserver")
        pause()
        start_api_server(self.folder, "127.0.0.1", self.port, "127.0.0.1", self.etcd_port)
        processes.until(120, "the API server", self.api.ready)


def up(folder: Path, kind: str) -> Cluster:
    """Brings a cluster up in a folder that does not exist yet."""
    needed = ["etcd", "openssl"]
    if kind == "node":
        needed += node.NEEDS
        node.check()
    for name in needed:
        tools.debian(name)
    tools.kubernetes()
    folder.mkdir(parents=True)
    cluster = Cluster(folder, kind, free_port(), free_port())
    (folder / "cluster.json").write_text(
        json.dumps({"kind": kind, "port": cluster.port, "etcd_port": cluster.etcd_port})
    )
    pki.make(folder / "pki", node.NAME, node.ADDRESS, SERVICE_ADDRESS)
    pki.kubeconfig(cluster.kubeconfig, folder / "pki", "admin", cluster.server)
    try:
        if kind == "control":
            start_etcd(folder, cluster.etcd_port)
            start_api_server(folder, "127.0.0.1", cluster.port, "127.0.0.1", cluster.etcd_port)
        else:
            node.start(folder)
            processes.start(
                folder,
                "relay",
                sys.executable,
                relay.__file__,
                node.init(folder),
                cluster.port,
                node.ADDRESS,
                node.API_PORT,
            )
        api = cluster.api
        processes.until(120, "the API server", api.ready)
        if kind == "control":
            start_controllers(folder, cluster.server, free_port(), free_port())
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        processes.until(60, "the default service account", lambda: api.get(account))
        if kind == "node":
            processes.until(90, "the node", lambda: node.is_ready(api))
    except BaseException:
        show_logs(folder)
        down(folder)
        raise
    return cluster


def find(folder: Path) -> Cluster:
    """The cluster that is up in a folder."""
    description = json.loads((folder / "cluster.json").read_text())
    return Cluster(folder, **description)


def down(folder: Path) -> None:
    """Ends what `up` started, and removes the folder."""
    if not folder.exists():
        return
    # The API server before etcd, and without ceremony: on TERM it drains, and without etcd it does so for ever.
    names = [path.name for path in (folder / "pids").glob("*")] if (folder / "pids").exists() else []
    node.stop(folder)
    for name in sorted(names, key=lambda name: name == "etcd"):
        processes.kill(folder, name)
    shutil.rmtree(folder)


def show_logs(folder: Path, lines: int = 8) -> None:
    """Prints the end of every log."""
    for log in sorted((folder / "logs").glob("*.log")):
        tail = log.read_text(errors="replace").splitlines()[-lines:]
        print(f"--- {log.name}", *tail, sep="\n", file=sys.stderr)


def start_etcd(folder: Path, port: int, peer_port: int | None = None) -> None:
    """Starts etcd on loopback, without fsync: its data is thrown away."""
    peer = f"http://127.0.0.1:{peer_port or free_port()}"
    client = f"http://127.0.0.1:{port}"
    urls = ["--listen-client-urls", client, "--advertise-client-urls", client]
    peers = ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"test={peer}"]
    options = ["--name", "test", "--data-dir", folder / "etcd", "--unsafe-no-fsync", "--log-level", "warn"]
    processes.start(folder, "etcd", tools.debian("etcd"), *options, *urls, *peers)


def start_api_server(folder: Path, bind: str, port: int, advertise: str, etcd_port: int) -> None:
    """Starts the API server, with RBAC, node authorization and the default admission plugins."""
    keys = folder / "pki"
    options = {
        "etcd-servers": f"http://127.0.0.1:{etcd_port}",
        "bind-address": bind,
        "secure-port": port,
        "advertise-address": advertise,
        "endpoint-reconciler-type": "none" if bind == "127.0.0.1" else "lease",
        "tls-cert-file": keys / "apiserver.crt",
        "tls-private-key-file": keys / "apiserver.key",
        "client-ca-file": keys / "ca.crt",
        "kubelet-client-certificate": keys / "apiserver-kubelet-client.crt",
        "kubelet-client-key": keys / "apiserver-kubelet-client.key",
        "kubelet-certificate-authority": keys / "ca.crt",
        "kubelet-preferred-address-types": "InternalIP",
        "service-cluster-ip-range": SERVICES,
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": keys / "service-accounts.pub",
        "service-account-signing-key-file": keys / "service-accounts.key",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "profiling": "false",
    }
    _start_component(folder, "kube-apiserver", options)


def start_controllers(folder: Path, server: str, manager_port: int, scheduler_port: int) -> None:
    """Starts controller manager and scheduler; before the API server is ready they would back off for seconds."""
    keys = folder / "pki"
    for name in ("kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"):
        pki.kubeconfig(folder / f"{name}.kubeconfig", keys, name, server)
    # The default of 20 requests a second takes five seconds for the accounts of the controllers alone.
    common = {
        "bind-address": "127.0.0.1",
        "leader-elect": "false",
        "profiling": "false",
        "kube-api-qps": 500,
        "kube-api-burst": 1000,
    }
    manager = {
        "kubeconfig": folder / "kube-controller-manager.kubeconfig",
        "secure-port": manager_port,
        "use-service-account-credentials": "true",
        "service-account-private-key-file": keys / "service-accounts.key",
        "root-ca-file": keys / "ca.crt",
        "allocate-node-cidrs": "false",
        "pvclaimbinder-sync-period": "1s",
        "node-monitor-period": "1s",
        "node-monitor-grace-period": "20s",
    }
    scheduler = {"kubeconfig": folder / "kube-scheduler.kubeconfig", "secure-port": scheduler_port}
    _start_component(folder, "kube-controller-manager", common | manager)
    _start_component(folder, "kube-scheduler", common | scheduler)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _start_component(folder: Path, name: str, options: dict) -> None:
    processes.start(folder, name, tools.kubernetes() / name, *[f"--{key}={value}" for key, value in options.items()])
