"""A kubelet for tests: makes nodes, takes the pods that the scheduler gives them, and runs their programs as processes.

Everything else of the cluster stays real: scheduler, Job controller, garbage collection, eviction. A script decides how a
pod fares: by default its container's program runs, with the volumes' paths replaced by folders of this machine; a pod
may instead end with an exit code, be killed for memory, be evicted, or wait. Needs no root, and no image.
"""

import base64
import dataclasses
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from . import tools
from .api import Api, ApiError

RECORD = "/dev/termination-log"
EXAMPLES = "/usr/share/proofmill/examples"
HEARTBEAT = 5.0
KILLED = 137


@dataclasses.dataclass(frozen=True)
class Fate:
    """How a pod fares. Without any field its program runs, and the pod ends as the program does."""

    exit_code: int | None = None
    """The container ends with this code, and no program runs."""
    out_of_memory: bool = False
    """The container is killed for memory."""
    evicted: bool = False
    """The node evicts the pod."""
    wait: threading.Event | None = None
    """The pod is running, but its program does not start before this is set."""
    before: Callable[[], None] | None = None
    """Called before the program starts."""
    instead: dict[str, str] = dataclasses.field(default_factory=dict)
    """Arguments that the program is given instead of others: a node of this kubelet has GPUs in name only."""


RUN = Fate()


class Node:
    """A node that this kubelet plays."""

    def __init__(self, api: Api, name: str, gpus: int):
        self.api, self.name = api, name
        self.beating = True
        self.path = f"/api/v1/nodes/{name}"
        self.lease = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}"
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
        api.create("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
        room = {"cpu": "4096", "memory": "16Ti", "pods": "10000"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
        self.beat({"capacity": room, "allocatable": room})

    def beat(self, more: dict | None = None) -> None:
        """Says that the node is ready."""
        condition = {"type": "Ready", "status": "True", "reason": "TestKubelet", "lastHeartbeatTime": _now()}
        self.api.patch(f"{self.path}/status", {"status": {"conditions": [condition]} | (more or {})}, "strategic")
        spec = {"holderIdentity": self.name, "leaseDurationSeconds": 40, "renewTime": _now(micro=True)}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self.name}, "spec": spec}
        self.api.patch(f"{self.lease}?fieldManager=kubelet&force=true", lease, "apply")


class TestKubelet:
    """The kubelet of one or more nodes. `script` is asked for the fate of every new pod. `api` should have patience."""

    def __init__(self, api: Api, programs: Path, processes: int = 2):
        self.api, self.programs = api, programs
        self.script: Callable[[dict], Fate] = lambda pod: RUN
        # Where this is a dictionary, a command line that has ended well is not run again: the pod ends in the same way.
        self.remembered: dict[tuple, tuple[int, str]] | None = None
        self.nodes: dict[str, Node] = {}
        self.pods: dict[str, Pod] = {}
        self.room = threading.Semaphore(processes)
        self.stopped = threading.Event()
        self.threads = [
            threading.Thread(target=self._watch, daemon=True),
            threading.Thread(target=self._beat, daemon=True),
        ]
        for thread in self.threads:
            thread.start()

    def add_node(self, name: str, gpus: int = 0) -> Node:
        """Makes a node that is ready for pods."""
        node = self.nodes[name] = Node(self.api, name, gpus)
        return node

    def lose_node(self, name: str) -> None:
        """The node and all processes on it are gone without a word, as when a spot machine is taken away."""
        self.nodes.pop(name).beating = False
        for pod in [pod for pod in self.pods.values() if pod.node == name]:
            pod.vanish()
        self.api.delete(f"/api/v1/nodes/{name}")

    def running(self, **labels: str) -> list["Pod"]:
        """The pods whose program has been started and has not ended, with these labels; `_` stands for `.`, `/` and `-`."""
        wanted = {re.sub(r"[./-]", "_", key): value for key, value in labels.items()}
        found = []
        for pod in list(self.pods.values()):
            has = {re.sub(r"[./-]", "_", key): value for key, value in pod.labels.items()}
            if pod.process is not None and pod.process.poll() is None and wanted.items() <= has.items():
                found.append(pod)
        return found

    def stop(self) -> None:
        """Ends every process."""
        self.stopped.set()
        for pod in list(self.pods.values()):
            pod.vanish()

    def _beat(self) -> None:
        while not self.stopped.wait(HEARTBEAT):
            for node in list(self.nodes.values()):
                try:
                    node.beat()
                except (ApiError, OSError):
                    pass  # The API server is away; a test may want that.

    def _watch(self) -> None:
        path = "/api/v1/pods?fieldSelector=spec.nodeName!="
        while not self.stopped.is_set():
            try:
                found = self.api.request("GET", path)
                alive = {pod["metadata"]["uid"] for pod in found["items"]}
                for uid in self.pods.keys() - alive:
                    self.pods.pop(uid).vanish()
                for pod in found["items"]:
                    self._see(pod)
                for kind, pod in self.api.watch(path, found["metadata"]["resourceVersion"]):
                    if kind in ("ADDED", "MODIFIED"):
                        self._see(pod)
                    elif kind == "DELETED" and pod["metadata"]["uid"] in self.pods:
                        self.pods.pop(pod["metadata"]["uid"]).vanish()
                    elif kind == "ERROR":
                        break
            except (ApiError, OSError, ValueError):
                self.stopped.wait(0.2)

    def _see(self, pod: dict) -> None:
        uid = pod["metadata"]["uid"]
        if pod["spec"]["nodeName"] not in self.nodes:
            return
        if uid not in self.pods and pod.get("status", {}).get("phase") in (None, "Pending"):
            self.pods[uid] = Pod(self, pod)
        if "deletionTimestamp" in pod["metadata"]:
            known = self.pods.get(uid)
            if known is not None:
                known.terminate()
            else:
                self.api.delete(_path(pod), {"gracePeriodSeconds": 0})


class Pod:
    """A pod on one of the nodes, and the thread that takes it through its life."""

    def __init__(self, kubelet: TestKubelet, pod: dict):
        self.kubelet, self.pod = kubelet, pod
        self.node = pod["spec"]["nodeName"]
        self.labels = pod["metadata"].get("labels", {})
        self.process: subprocess.Popen | None = None
        self.ended = threading.Event()
        self.deleted = False
        self.silent = False
        threading.Thread(target=self._live, daemon=True).start()

    def kill(self) -> None:
        """Ends the program as the kernel would."""
        if self.process is not None:
            self.process.kill()

    def terminate(self) -> None:
        """The pod is being deleted: its program ends, the status says so, and the object goes."""
        self.deleted = True
        self.ended.set()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            threading.Timer(5, self.kill).start()

    def vanish(self) -> None:
        """The program ends, and nobody is told."""
        self.silent = True
        self.ended.set()
        self.kill()

    def _live(self) -> None:
        fate = self.kubelet.script(self.pod)
        started = _now()
        try:
            self._report("Running", {"running": {"startedAt": started}})
            code, message = self._run(fate)
            if self.silent:
                return
            reason = "OOMKilled" if fate.out_of_memory else ("Completed" if code == 0 else "Error")
            ended = {"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": _now(), "message": message}
            phase = "Succeeded" if code == 0 else "Failed"
            self._report(phase, {"terminated": ended}, evicted=fate.evicted)
            if self.deleted:
                self.kubelet.api.delete(_path(self.pod), {"gracePeriodSeconds": 0})
        except ApiError as error:
            if error.code != 404:  # 404: it has been deleted by force meanwhile.
                raise

    def _run(self, fate: Fate) -> tuple[int, str]:
        if fate.wait is not None:
            while not (fate.wait.is_set() or self.ended.is_set()):
                self.ended.wait(0.05)
        if fate.before is not None:
            fate.before()
        if self.ended.is_set() or fate.out_of_memory or fate.evicted:
            return KILLED, ""
        if fate.exit_code is not None:
            return fate.exit_code, ""
        container = self.pod["spec"]["containers"][0]
        known = (*container["args"], *(self._value(entry) for entry in container.get("env", [])))
        if self.kubelet.remembered is not None and known in self.kubelet.remembered:
            return self.kubelet.remembered[known]
        with self.kubelet.room, tempfile.TemporaryDirectory() as scratch:
            record = Path(scratch, "record")
            record.touch()
            command, environment = self._command(Path(scratch), record)
            command = [fate.instead.get(argument, argument) for argument in command]
            if self.ended.is_set():
                return KILLED, ""
            with open(Path(scratch, "log"), "wb") as log:
                self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            code = self.process.wait()
            ended = (code if code >= 0 else 128 - code), record.read_text(errors="replace")[:4096]
            if self.kubelet.remembered is not None and code == 0:
                self.kubelet.remembered[known] = ended
            return ended

    def _command(self, scratch: Path, record: Path) -> tuple[list[str], dict[str, str]]:
        container = self.pod["spec"]["containers"][0]
        environment = self._secrets(container) | {
            entry["name"]: self._value(entry) for entry in container.get("env", [])
        }
        folders = {EXAMPLES: str(tools.REPOSITORY / "examples"), RECORD: str(record)}
        volumes = {volume["name"]: volume for volume in self.pod["spec"].get("volumes", [])}
        for mount in container.get("volumeMounts", []):
            folders[mount["mountPath"]] = str(self._volume(volumes[mount["name"]], scratch))
        paths = "|".join(re.escape(path) for path in folders)
        arguments = []
        for argument in container["args"]:
            argument = re.sub(r"\$\((\w+)\)", lambda match: environment.get(match[1], match[0]), argument)
            argument = re.sub(rf"(?<![^=:/])({paths})(?=/|$)", lambda match: folders[match[1]], argument)
            arguments.append(argument)
        # The pod's own environment, and a temporary folder that is its own too.
        return [str(self.kubelet.programs / "prover-worker"), *arguments], environment | {"TMPDIR": str(scratch)}

    def _secrets(self, container: dict) -> dict[str, str]:
        namespace = self.pod["metadata"]["namespace"]
        found = {}
        for source in container.get("envFrom", []):
            secret = self.kubelet.api.get(f"/api/v1/namespaces/{namespace}/secrets/{source['secretRef']['name']}")
            found |= {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
        return found

    def _value(self, entry: dict) -> str:
        if "value" in entry or "valueFrom" not in entry:
            return entry.get("value", "")
        path = entry["valueFrom"]["fieldRef"]["fieldPath"]
        match = re.fullmatch(r"metadata\.(annotations|labels)\['(.+)'\]", path)
        metadata = self.pod["metadata"]
        return metadata.get(match[1], {}).get(match[2], "") if match else metadata[path.removeprefix("metadata.")]

    def _volume(self, volume: dict, scratch: Path) -> Path:
        namespace = f"/api/v1/namespaces/{self.pod['metadata']['namespace']}"
        if claim := volume.get("persistentVolumeClaim"):
            bound = self.kubelet.api.get(f"{namespace}/persistentvolumeclaims/{claim['claimName']}")
            made = self.kubelet.api.get(f"/api/v1/persistentvolumes/{bound['spec']['volumeName']}")
            return Path(made["spec"]["hostPath"]["path"])
        folder = scratch / volume["name"]
        folder.mkdir()
        if source := volume.get("configMap"):
            data = self.kubelet.api.get(f"{namespace}/configmaps/{source['name']}")
            for name, text in data.get("data", {}).items():
                (folder / name).write_text(text)
        return folder

    def _report(self, phase: str, state: dict, evicted: bool = False) -> None:
        running = phase == "Running"
        conditions = [{"type": "Ready", "status": str(running), "lastTransitionTime": _now()}]
        if evicted or (self.deleted and not running):
            reason = "TerminationByKubelet" if evicted else "DeletedByTest"
            conditions.append(
                {"type": "DisruptionTarget", "status": "True", "reason": reason, "lastTransitionTime": _now()}
            )
        name = self.pod["spec"]["containers"][0]["name"]
        container = {
            "name": name,
            "ready": running,
            "started": running,
            "restartCount": 0,
            "image": "",
            "imageID": "",
            "state": state,
        }
        status = {"phase": phase, "conditions": conditions, "containerStatuses": [container]}
        if running:
            status["startTime"] = _now()
        if evicted:
            status |= {"reason": "Evicted", "message": "The node was low on resource: memory."}
        self.kubelet.api.patch(f"{_path(self.pod)}/status", {"status": status}, "strategic")


def _path(pod: dict) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _now(micro: bool = False) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + (".000000Z" if micro else "Z")
