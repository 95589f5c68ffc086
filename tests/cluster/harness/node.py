"""A node for a cluster: containerd, runc, a bridge for pods, kubelet and kube-proxy, beside the control plane.

All of it lives in one private network, mount and process namespace without a way out. Ending that namespace's first
process ends everything in it, containers too, and takes every mount and interface along. Needs root, no systemd.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import oci

from . import cluster, processes, tools

NAME = "node0"
ADDRESS = "10.77.0.1"
API_PORT = 6443
KUBELET_PORT = 10250
PODS = "10.77.1.0/24"
NVIDIA = "nvidia"  # The runtime handler that `nvidia.attach` brings to life.
PAUSE = "localhost/pause:1"
PAUSE_SOURCE = b"#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"
NEEDS = ["containerd", "ctr", "runc", "iptables", "ip", "unshare", "nsenter", "sysctl"]
CGROUPS = Path("/sys/fs/cgroup")

# Fixed paths that kubelet, containerd and CNI insist on: private tmpfs in the namespace, nothing is left on the machine.
PRIVATE = ["/var/lib/kubelet", "/var/lib/cni", "/run/containerd", "/run/netns"]

# kubelet writes these kernel settings, and they are the whole machine's. In the namespace it sees files in their place
# that hold what it wants already, and leaves the real ones alone.
SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def check() -> None:
    """Raises `Missing` where a node cannot be."""
    if os.geteuid() != 0:
        raise tools.Missing("a node needs root: namespaces, mounts, a bridge, cgroups")
    tools.cni()


def start(folder: Path) -> None:
    """Makes the namespaces and starts everything in them."""
    (folder / "pause").mkdir()
    compiler = ["cc", "-static", "-Os", "-s", "-x", "c", "-", "-o", folder / "pause/pause"]
    subprocess.run(compiler, input=PAUSE_SOURCE, check=True)
    oci.write(folder / "pause.tar", PAUSE, folder / "pause", ["/pause"])
    command = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--", sys.executable, "-m", __name__, folder]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    processes.start(folder, "namespaces", tools.debian("unshare"), *command, env=environment)
    processes.until(10, "the namespaces", lambda: init(folder))


def init(folder: Path) -> int | None:
    """The first process in the namespaces, as this machine numbers it."""
    parent = processes.pid(folder, "namespaces")
    if parent is None:
        return None
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return int(children[0]) if children else None


def enter(folder: Path) -> list[str]:
    """The beginning of a command that runs in the namespaces."""
    return [str(tools.debian("nsenter")), "--target", str(init(folder)), "--net", "--mount", "--pid", "--"]


def ctr(folder: Path) -> list[str]:
    """The beginning of a command of containerd's client."""
    return [str(tools.debian("ctr")), "--address", f"{folder}/containerd.sock", "--namespace", "k8s.io"]


def is_ready(api) -> bool:
    """Whether the node is ready for pods."""
    conditions = api.get(f"/api/v1/nodes/{NAME}")["status"]["conditions"]
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def stop(folder: Path) -> None:
    """Ends the namespaces with all that is in them, and removes the cgroups. Does nothing for a cluster without a node."""
    if processes.pid(folder, "namespaces") is None:
        return
    processes.kill(folder, "relay")
    processes.kill(folder, "namespaces")
    for _ in range(50):
        left = [path for root in _cgroup_roots(folder) if root.exists() for path in [root, *root.rglob("*/")]]
        for path in sorted((path for path in left if path.is_dir()), key=lambda path: -len(path.parts)):
            try:
                path.rmdir()
            except OSError:
                pass  # Its last process is still dying.
        if not any(root.exists() for root in _cgroup_roots(folder)):
            return
        time.sleep(0.1)


def _cgroup_name(folder: Path) -> str:
    return f"proofmill-{folder.name}"


def _cgroup_roots(folder: Path) -> list[Path]:
    """This cluster's cgroup: in every hierarchy of version 1, the named one too, or in the only one of version 2."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS / _cgroup_name(folder)]
    return [path / _cgroup_name(folder) for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()]


def _make_cgroups(folder: Path) -> None:
    for root in _cgroup_roots(folder):
        root.mkdir(exist_ok=True)
    cpuset = CGROUPS / "cpuset"
    for name in ("cpuset.cpus", "cpuset.mems"):  # Version 1 does not inherit them.
        if (cpuset / name).exists():
            (cpuset / _cgroup_name(folder) / name).write_text((cpuset / name).read_text())


def _prepare_namespaces(folder: Path) -> None:
    def run(*command) -> None:
        subprocess.run([str(part) for part in command], check=True)

    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "proc", "proc", "/proc")
    for path in PRIVATE:
        Path(path).mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "tmpfs", "tmpfs", path)
    # Where the kubelet's statistics look for it.
    Path("/run/containerd/containerd.sock").symlink_to(folder / "containerd.sock")
    (folder / "sysctl").mkdir()
    for name, value in SYSCTLS.items():
        shield = folder / "sysctl" / name.replace("/", ".")
        shield.write_text(f"{value}\n")
        run("mount", "--bind", shield, f"/proc/sys/{name}")
    run("mount", "--make-rshared", "/")
    ip = tools.debian("ip")
    run(ip, "link", "set", "lo", "up")
    # An empty bridge bears the node's address. The default route, which kubelet asks for, leads nowhere.
    run(ip, "link", "add", NAME, "type", "bridge")
    run(ip, "addr", "add", f"{ADDRESS}/32", "dev", NAME)
    run(ip, "link", "set", NAME, "up")
    run(ip, "route", "add", "default", "dev", NAME)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    bridged = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if bridged.exists():
        bridged.write_text("1")


def _write_configuration(folder: Path) -> None:
    (folder / "cni").mkdir()
    (folder / "cni/10-bridge.conflist").write_text(f"""{{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {{"type": "host-local", "dataDir": "{folder}/cni-ipam",
            "ranges": [[{{"subnet": "{PODS}"}}]], "routes": [{{"dst": "0.0.0.0/0"}}]}}}},
  {{"type": "portmap", "capabilities": {{"portMappings": true}}}}]}}
""")
    # containerd 2 reads this version too.
    (folder / "containerd.toml").write_text(f"""version = 2
root = "{folder}/containerd/root"
state = "{folder}/containerd/state"
[grpc]
  address = "{folder}/containerd.sock"
[ttrpc]
  address = "{folder}/containerd.ttrpc.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{tools.cni()}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "{tools.debian("runc")}"
        SystemdCgroup = false
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{NVIDIA}]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{NVIDIA}.options]
        BinaryName = "{folder}/nvidia/runtime"
        SystemdCgroup = false
""")
    (folder / "kubelet.yaml").write_text(f"""apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {ADDRESS}
port: {KUBELET_PORT}
healthzBindAddress: 127.0.0.1
tlsCertFile: {folder}/pki/kubelet-serving.crt
tlsPrivateKeyFile: {folder}/pki/kubelet-serving.key
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {folder}/pki/ca.crt}}}}
authorization: {{mode: Webhook}}
containerRuntimeEndpoint: unix://{folder}/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /{_cgroup_name(folder)}
failCgroupV1: false
failSwapOn: false
resolvConf: ""
podLogsDir: {folder}/podlogs
imageGCHighThresholdPercent: 100
evictionHard: {{memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}}
kubeAPIQPS: 500
kubeAPIBurst: 1000
nodeStatusUpdateFrequency: 2s
nodeLeaseDurationSeconds: 8
syncFrequency: 10s
crashLoopBackOff: {{maxContainerRestartPeriod: 2s}}
""")


def _run_inside(folder: Path) -> None:
    """What the first process in the namespaces does: starts everything, then reaps until it is killed."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    _prepare_namespaces(folder)
    _write_configuration(folder)
    etcd_port = 2379
    server = f"https://{ADDRESS}:{API_PORT}"
    environment = os.environ | {"PATH": f"{tools.debian('runc').parent}:{tools.PATH}"}
    processes.start(
        folder, "containerd", tools.debian("containerd"), "--config", folder / "containerd.toml", env=environment
    )
    cluster.start_etcd(folder, etcd_port, peer_port=2380)
    cluster.start_api_server(folder, ADDRESS, API_PORT, ADDRESS, etcd_port)
    _make_cgroups(folder)
    client = ctr(folder)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes.until(30, "containerd", lambda: subprocess.run([*client, "version"], **quiet).returncode == 0)
    subprocess.run([*client, "images", "import", str(folder / "pause.tar")], check=True)
    admin = ["--kubeconfig", str(folder / "local.kubeconfig"), "get", "--raw", "/readyz"]
    cluster.pki.kubeconfig(folder / "local.kubeconfig", folder / "pki", "admin", server)
    kubectl = str(tools.kubernetes() / "kubectl")
    processes.until(120, "the API server", lambda: subprocess.run([kubectl, *admin], **quiet).returncode == 0)
    cluster.start_controllers(folder, server, API_PORT + 1, API_PORT + 2)
    kubelet = {
        "kubeconfig": folder / "kubelet.kubeconfig",
        "config": folder / "kubelet.yaml",
        "root-dir": folder / "kubelet",
        "cert-dir": folder / "kubelet/pki",
        "hostname-override": NAME,
        "node-ip": ADDRESS,
    }
    proxy = {
        "kubeconfig": folder / "kube-proxy.kubeconfig",
        "hostname-override": NAME,
        "proxy-mode": "iptables",
        "cluster-cidr": PODS,
        "bind-address": ADDRESS,
        "healthz-bind-address": "127.0.0.1:10256",
        "metrics-bind-address": "127.0.0.1:10249",
        "conntrack-max-per-core": 0,
        "conntrack-tcp-timeout-established": "0s",
        "conntrack-tcp-timeout-close-wait": "0s",
    }
    for name, options in {"kubelet": kubelet, "kube-proxy": proxy}.items():
        arguments = [f"--{key}={value}" for key, value in options.items()]
        processes.start(folder, name, tools.kubernetes() / name, *arguments, env=environment)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(1)


if __name__ == "__main__":
    _run_inside(Path(sys.argv[1]))
