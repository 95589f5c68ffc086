"""The operator as a process of this machine, as its Deployment would start it: its arguments, its service account, no more."""

import os
import re
import signal
import subprocess
import urllib.request
from pathlib import Path

from . import pki, processes
from .cluster import Cluster, free_port


class Operator:
    """One replica of an installed operator. It is started by `start`, and is not running before."""

    def __init__(self, cluster: Cluster, program: Path, namespace: str, release: str, name: str):
        self.cluster, self.program, self.name = cluster, program, name
        self.namespace = namespace
        self.log = cluster.folder / f"logs/operator-{namespace}-{name}.log"
        self.process: subprocess.Popen | None = None
        deployment = cluster.api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{release}-operator")
        pod = deployment["spec"]["template"]["spec"]
        self.arguments = [text for text in pod["containers"][0]["args"] if not text.startswith("--listen=")]
        account = f"/api/v1/namespaces/{namespace}/serviceaccounts/{pod['serviceAccountName']}/token"
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 7200},
        }
        token = cluster.api.create(account, request)["status"]["token"]
        self.kubeconfig = cluster.folder / f"operator-{namespace}.kubeconfig"
        pki.token_kubeconfig(self.kubeconfig, cluster.folder / "pki", token, cluster.server)
        self.port = free_port()

    def start(self) -> "Operator":
        """Starts it, and waits until it is ready: leading, or standing by."""
        names = {"POD_NAME": self.name, "POD_NAMESPACE": self.namespace, "KUBECONFIG": str(self.kubeconfig)}
        environment = {"RUST_LOG": os.environ.get("RUST_LOG", "info"), "RUST_BACKTRACE": "1"} | names
        arguments = [*self.arguments, f"--listen=127.0.0.1:{self.port}"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.program, *arguments], env=environment, stdout=log, stderr=log)
        processes.until(30, f"operator {self.name}", self.is_ready)
        return self

    def is_ready(self) -> bool:
        """Whether it says that it is."""
        return self._read("/readyz") is not None

    def metrics(self) -> dict[str, float]:
        """Its metrics: `name{labels}` as written, and values."""
        lines = [line for line in self._read("/metrics").splitlines() if line and not line.startswith("#")]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric over all series with these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        series = self.metrics().items()
        return sum(
            value for key, value in series if key.partition("{")[0] == name and all(label in key for label in wanted)
        )

    def writes(self) -> float:
        """The requests by which it has changed something, events included."""
        return sum(
            self.total("proofjob_operator_apiserver_requests_total", verb=verb)
            for verb in ("create", "patch", "delete")
        )

    def reads(self) -> float:
        """The requests by which it has looked something up, watches not counted."""
        return sum(self.total("proofjob_operator_apiserver_requests_total", verb=verb) for verb in ("get", "list"))

    def quantile(self, name: str, share: float) -> float:
        """A quantile of a histogram over all its series: the upper bound of the bucket that it falls into."""
        counts: dict[float, float] = {}
        for key, value in self.metrics().items():
            if key.startswith(f"{name}_bucket{{"):
                bound = float(re.search(r'le="([^"]+)"', key)[1].replace("+Inf", "inf"))
                counts[bound] = counts.get(bound, 0) + value
        wanted = share * max(counts.values(), default=0)
        return next((bound for bound, count in sorted(counts.items()) if count >= wanted), float("nan"))

    def memory(self) -> int:
        """Its resident memory in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def kill(self) -> None:
        """Ends it as a machine's loss would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self, seconds: float = 30) -> int:
        """Ends it as Kubernetes would; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(seconds)
        self.process = None
        return code

    def wait(self, seconds: float) -> int:
        """Waits until it has ended by itself; returns its exit code."""
        code = self.process.wait(seconds)
        self.process = None
        return code

    def _read(self, path: str) -> str | None:
        if self.process.poll() is not None:
            raise RuntimeError(
                f"the operator ended with code {self.process.returncode}; its log is {self.log}\n{self.tail()}"
            )
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return response.read().decode()
        except OSError:
            return None

    def tail(self, lines: int = 20) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
