"""What a scenario is given: a namespace with an installed chart and a store, and the verbs of a user."""

import contextlib
import copy
import dataclasses
import functools
import json
import shutil
import subprocess
import threading
from pathlib import Path

import build
import oci

from . import processes, tools
from .cluster import Cluster
from .kubelet import RUN, Fate, TestKubelet
from .operator import Operator
from .scenario import Scenario

CHART = tools.REPOSITORY / "charts/proofmill"
JOBS = "/apis/proofmill.dev/v1alpha1/namespaces/{}/proofjobs"
STAGES = ["setup", "execute", "prove", "aggregate"]


@dataclasses.dataclass(frozen=True)
class Session:
    """What all scenarios of a run share. `programs` is the folder of the built programs."""

    cluster: Cluster
    programs: Path
    work: Path

    @functools.cached_property
    def reference(self) -> Path:
        """A folder with proof.bin and model.key of the quickstart, made on this machine without a cluster."""
        out = self.work / "reference"
        manifest = tools.REPOSITORY / "examples/quickstart.yaml"
        command = [
            self.programs / "proofmill",
            "run",
            manifest,
            "--store",
            self.work / "reference-store",
            "--output",
            out,
        ]
        subprocess.run(command, check=True, capture_output=True)
        return out

    @functools.cached_property
    def quickstart(self) -> dict:
        """The manifest of the quickstart."""
        path = tools.REPOSITORY / "examples/quickstart.yaml"
        return json.loads(self.cluster.kubectl("create", "--dry-run=client", "-o", "json", "-f", path).stdout)


@dataclasses.dataclass
class Rule:
    """A fate for the next pods of a stage: so many of them, or all; of one subgraph, or of any."""

    stage: str
    fate: Fate
    times: int | None
    subgraph: int | None


class Trial:
    """A scenario's own namespace."""

    def __init__(self, session: Session, namespace: str, kubelet: TestKubelet | None = None):
        self.session, self.cluster, self.api = session, session.cluster, session.cluster.api
        self.namespace, self.kubelet = namespace, kubelet
        self.store = session.work / f"store-{namespace}"
        self.quickstart_file = tools.REPOSITORY / "examples/quickstart.yaml"
        self.operators: list[Operator] = []
        self.rules: list[Rule] = []
        self.lock = threading.Lock()

    # The test kubelet's script.

    def let(self, stage: str, fate: Fate, times: int | None = None, subgraph: int | None = None) -> None:
        """Decides how pods of a stage fare; earlier decisions come first."""
        self.rules.append(Rule(stage, fate, times, subgraph))

    def hold(self, stage: str) -> threading.Event:
        """Pods of a stage are running, but do nothing before the event is set."""
        event = threading.Event()
        self.let(stage, Fate(wait=event))
        return event

    def fate(self, pod: dict) -> Fate:
        """The script: what was decided for a pod."""
        metadata = pod["metadata"]
        if metadata["namespace"] != self.namespace:
            return RUN
        stage = metadata["labels"].get("proofmill.dev/stage")
        index = metadata.get("annotations", {}).get("batch.kubernetes.io/job-completion-index")
        with self.lock:
            for rule in self.rules:
                if rule.stage == stage and rule.times != 0 and rule.subgraph in (None, int(index or 0)):
                    if rule.times is not None:
                        rule.times -= 1
                    return rule.fate
        return RUN

    # The chart.

    def prepare(self) -> None:
        """Makes the namespace, where pods have to be restricted, and the volume behind its store's claim."""
        restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
        metadata = {"name": self.namespace, "labels": restricted}
        self.api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        self.store.mkdir()
        self.store.chmod(0o777)
        spec = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "test",
            "hostPath": {"path": str(self.store)},
            "claimRef": {"namespace": self.namespace, "name": "proofmill-store"},
        }
        volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": self.namespace}, "spec": spec}
        self.api.create("/api/v1/persistentvolumes", volume)

    def values(self, **changes) -> dict:
        """The values of the chart for this namespace: the store's claim, and what a scenario changes."""
        claim = {
            "storageClassName": "test",
            "accessModes": ["ReadWriteMany"],
            "volumeName": self.namespace,
            "size": "1Gi",
        }
        return {"store": {"claim": claim}, "crds": {"install": False}} | changes

    def helm(self, *arguments, values: dict | None = None) -> str:
        """Runs helm in the namespace."""
        given = ["--values", "-"] if values is not None else []
        text = json.dumps(values) if values is not None else None
        command = [*arguments, "--namespace", self.namespace, *given]
        return self.cluster.run(tools.helm(), *command, text=text).stdout

    def operator(self, name: str = "operator-0") -> Operator:
        """A replica of the installed operator, as a process; it is ended with the scenario."""
        program = self.session.programs / "proofmill-operator"
        made = Operator(self.cluster, program, self.namespace, "proofmill", name)
        self.operators.append(made)
        return made

    def install(self, **changes) -> None:
        """Installs the chart and waits until the operator is ready."""
        operator = {"watchNamespaces": [self.namespace], "replicas": 1} | changes.pop("operator", {})
        values = self.values(operator=operator, rbac={"aggregate": False}, **changes)
        self.helm("install", "proofmill", CHART, "--wait", "--timeout", "60s", values=values)

    # A user's verbs.

    def manifest(self, name: str = "quickstart", **spec) -> dict:
        """The quickstart under a name, with changes to its spec; None takes a field out."""
        made = copy.deepcopy(self.session.quickstart)
        made["metadata"] = {"name": name, "namespace": self.namespace}
        made["spec"] |= spec
        made["spec"] = {key: value for key, value in made["spec"].items() if value is not None}
        return made

    def submit(self, name: str = "quickstart", **spec) -> str:
        """Creates the quickstart with changes to its spec; returns its name."""
        self.api.create(JOBS.format(self.namespace), self.manifest(name, **spec))
        return name

    def change(self, name: str, **spec) -> None:
        """Changes fields of a job's spec."""
        self.api.patch(self._path(name), {"spec": spec})

    def delete(self, name: str) -> None:
        """Deletes a job, and does not wait."""
        self.api.delete(self._path(name))

    def job(self, name: str) -> dict | None:
        """A job as it is now."""
        return self.api.get(self._path(name))

    def status(self, name: str) -> dict:
        """A job's status; empty before there is one."""
        return (self.job(name) or {}).get("status", {})

    def condition(self, name: str, kind: str) -> dict:
        """One condition of a job; empty before there is one."""
        found = [condition for condition in self.status(name).get("conditions", []) if condition["type"] == kind]
        return found[0] if found else {}

    def wait(self, name: str, seconds: float = 60, kind: str = "Succeeded", status: str = "True") -> dict:
        """Waits for a condition, and returns the job's status. A job that has failed is an error at once."""

        def holds():
            summary = self.condition(name, "Succeeded")
            if summary.get("status") == "False" and (kind, status) != ("Succeeded", "False"):
                raise AssertionError(f"{name} failed: {summary['reason']}: {summary['message']}")
            return self.condition(name, kind).get("status") == status

        processes.until(seconds, f"{kind}={status} of {name}", holds, every=0.2)
        return self.status(name)

    def wait_failed(self, name: str, seconds: float = 60) -> dict:
        """Waits until a job has failed; returns its summary, with reason and message."""
        self.wait(name, seconds, status="False")
        return self.condition(name, "Succeeded")

    def children(self, name: str) -> list[dict]:
        """The batch jobs of a job."""
        selector = f"labelSelector=proofmill.dev/job={name}"
        return self.api.items(f"/apis/batch/v1/namespaces/{self.namespace}/jobs?{selector}")

    def pods(self, name: str, stage: str | None = None) -> list[dict]:
        """The pods of a job."""
        selector = f"proofmill.dev/job={name}" + (f",proofmill.dev/stage={stage}" if stage else "")
        return self.api.items(f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={selector}")

    def artifact(self, digest: str) -> Path:
        """Where the store keeps an artifact."""
        return self.store / "artifacts" / digest

    def proof(self, name: str) -> Path:
        """The file of a job's proof in the store."""
        proof = self.status(name)["proof"]
        path = self.artifact(proof["digest"])
        assert path.stat().st_size == proof["bytes"], f"{path} has {path.stat().st_size} bytes, not {proof['bytes']}"
        return path

    def check_accepted(self, name: str, key: Path | None = None) -> None:
        """`proofmill verify` accepts a job's proof, with the key that setup left in the store unless another is given."""
        verify = [self.session.programs / "proofmill", "verify", self.proof(name), "--model", key or self.key(name)]
        done = subprocess.run(verify, capture_output=True, text=True)
        assert done.returncode == 0, f"the proof of {name} is refused: {done.stdout}{done.stderr}"

    def check_proof(self, name: str) -> None:
        """A job of the quickstart has the proof that one machine makes without a cluster, and that machine's key accepts it."""
        reference = self.session.reference
        self.check_accepted(name, reference / "model.key")
        same = self.proof(name).read_bytes() == (reference / "proof.bin").read_bytes()
        assert same, "the cluster's proof is not the machine's"

    def key(self, name: str) -> Path:
        """The model key that setup left in the store."""
        return self.artifact(self.status(name)["model"]["keyDigest"])

    def describe(self) -> None:
        """Prints what is needed to see why a scenario failed."""
        shown = self.cluster.kubectl("-n", self.namespace, "get", "proofjobs,jobs,pods", "-o", "wide", check=False)
        print(shown.stdout, shown.stderr)
        events = self.cluster.kubectl("-n", self.namespace, "get", "events", "--sort-by=.lastTimestamp", check=False)
        print("\n".join(events.stdout.splitlines()[-15:]))
        for job in self.api.items(JOBS.format(self.namespace))[:3]:
            print(json.dumps(job.get("status", {}), indent=1)[:4000])
        for operator in self.operators:
            print(f"--- operator {operator.name}\n{operator.tail(30)}")

    def end(self) -> None:
        """Ends the operators and removes the namespace."""
        for operator in self.operators:
            operator.kill()
        self.api.delete(f"/api/v1/namespaces/{self.namespace}")
        self.api.delete(f"/api/v1/persistentvolumes/{self.namespace}")
        shutil.rmtree(self.store, ignore_errors=True)

    def _path(self, name: str) -> str:
        return f"{JOBS.format(self.namespace)}/{name}"


@contextlib.contextmanager
def control(session: Session, kubelet: TestKubelet, scene: Scenario):
    """A namespace on the control plane alone: the chart without replicas, and a kubelet without orders."""
    trial = Trial(session, scene.name.replace(" ", "-").replace(",", "")[:40], kubelet)
    kubelet.script, kubelet.remembered = trial.fate, None
    try:
        trial.prepare()
        watched = {"replicas": 0, "watchNamespaces": [trial.namespace]}
        trial.helm("install", "proofmill", CHART, values=trial.values(operator=watched, rbac={"aggregate": False}))
        yield trial
    finally:
        trial.end()


@contextlib.contextmanager
def node(session: Session, scene: Scenario):
    """A namespace on a cluster with a node, with nothing installed in it yet."""
    trial = Trial(session, scene.name.replace(" ", "-").replace(",", "")[:40])
    try:
        trial.prepare()
        yield trial
    finally:
        with contextlib.suppress(RuntimeError):
            trial.helm("uninstall", "proofmill", "--ignore-not-found")
        trial.end()


def load_images(session: Session) -> None:
    """Gives the node the images of operator, worker and kubectl, made on the spot: by the Dockerfile where buildah is."""
    make = build.build_with_buildah if shutil.which("buildah") else build.build
    for image in build.IMAGES:
        session.cluster.load(make(image, session.programs, session.work, f"localhost/{image}:0.1.0"))
    root = session.work / "kubectl"
    root.mkdir()
    shutil.copy(tools.kubernetes() / "kubectl", root)
    name = f"registry.k8s.io/kubectl:v{tools.KUBERNETES}"
    oci.write(session.work / "kubectl.tar", name, root, ["/kubectl"])
    session.cluster.load(session.work / "kubectl.tar")


class Alone:
    """The chart without a cluster."""

    def run(self, program, *arguments, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess:
        """Runs a program; an error shows what it wrote."""
        done = subprocess.run([str(program), *map(str, arguments)], input=text, capture_output=True, text=True)
        if check and done.returncode != 0:
            raise AssertionError(f"{program} {arguments}: code {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def helm(self, *arguments, values: dict, check: bool = True) -> subprocess.CompletedProcess:
        """Runs helm with values."""
        return self.run(tools.helm(), *arguments, "--values", "-", text=json.dumps(values), check=check)

    def objects(self, values: dict) -> list[dict]:
        """What the chart renders."""
        text = self.helm("template", "proofmill", CHART, "--namespace", "proofmill", values=values).stdout
        # Python has no YAML; kubectl turns it into JSON, one object after the other, and asks no server.
        read = self.run(
            tools.kubernetes() / "kubectl", "annotate", "--local", "-f", "-", "-o", "json", "read=", text=text
        ).stdout
        objects, decoder = [], json.JSONDecoder()
        while read:
            made, end = decoder.raw_decode(read)
            objects.append(made)
            read = read[end:].lstrip()
        return objects

    def describe(self) -> None:
        """There is nothing more to see."""


@contextlib.contextmanager
def alone():
    """A context for scenarios that need no cluster."""
    yield Alone()
