"""What fails around a job: the operator, the API server, a node, the store. On the control plane alone."""

import time

from harness.processes import until
from harness.s3 import ObjectStore
from harness.scenario import scenario
from harness.trial import JOBS, STAGES

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@scenario(timeout=120)
def operator_killed_in_every_stage(trial):
    """An operator that is killed and starts with empty memory goes on where the job is: no child is made twice."""
    operator = trial.operator().start()
    for stage in STAGES:
        held = trial.hold(stage)
        trial.submit(stage, partition={"subgraphs": 4})
        until(30, f"a pod of {stage}", lambda stage=stage: trial.pods(stage, stage))
        operator.kill()
        held.set()
        until(30, f"the end of {stage}'s pods", lambda stage=stage: _finished(trial.pods(stage, stage)))
        operator.start()
        trial.wait(stage, seconds=40)
        _each_stage_once(trial, stage)
    trial.check_proof("setup")


@scenario(timeout=120)
def operator_killed_again_and_again(trial):
    """An operator that is killed many times, at any moment, still ends in one proof and one child for every stage."""
    operator = trial.operator()
    trial.submit()
    for pause in (0.05, 0.3, 0.1, 0.6, 0.2, 0.9, 0.4, 1.2):
        operator.start()
        time.sleep(pause)
        operator.kill()
    operator.start()
    trial.wait("quickstart", seconds=60)
    _each_stage_once(trial, "quickstart")
    trial.check_proof("quickstart")


@scenario(timeout=90)
def two_operators(trial):
    """One of two leads; when it is told to stop the other takes over at once, when it is killed within the lease's time."""
    first, second = trial.operator("a").start(), trial.operator("b").start()
    until(
        20, "a leader", lambda: first.total("proofjob_operator_leader") + second.total("proofjob_operator_leader") == 1
    )
    leader, standby = (first, second) if first.total("proofjob_operator_leader") == 1 else (second, first)
    proving = trial.hold("prove")
    trial.submit()
    trial.wait("quickstart", kind="Executed")
    assert leader.stop() == 0
    start = time.monotonic()
    until(5, "a new leader at once", lambda: standby.total("proofjob_operator_leader") == 1)
    print(f"handed over in {time.monotonic() - start:.1f} s")
    leader.start()
    standby.kill()
    until(25, "a leader again", lambda: leader.total("proofjob_operator_leader") == 1)
    proving.set()
    trial.wait("quickstart")
    _each_stage_once(trial, "quickstart")


@scenario(timeout=90)
def unreadable_objects(trial):
    """Objects that were stored before the schema forbade them stop no other job, and whoever looks at them is told why."""
    path = f"{DEFINITIONS}/proofjobs.proofmill.dev"
    versions = trial.api.get(path)["spec"]["versions"]
    anything = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    loose = {key: value for key, value in versions[0].items() if key != "selectableFields"} | {"schema": anything}
    trial.api.patch(path, {"spec": {"versions": [loose]}})
    good = trial.manifest()["spec"]
    bad = {
        "bits": {"spec": good | {"securityBits": "many"}},
        "nothing": {},
        "list": {"spec": [good]},
        "status": {"spec": good, "status": {"conditions": "none"}},
    }
    try:
        for name, body in bad.items():
            metadata = {"name": name, "namespace": trial.namespace}
            body |= {"apiVersion": "proofmill.dev/v1alpha1", "kind": "ProofJob", "metadata": metadata}
            made = until(20, f"{name} to be stored", lambda body=body: trial.api.create(JOBS.format(trial.namespace), body))
            if "status" in body:
                trial.api.patch(f"{JOBS.format(trial.namespace)}/{name}/status", {"status": body["status"]})
            assert made.get("spec") == body.get("spec"), made
    finally:
        trial.api.patch(path, {"spec": {"versions": versions}})
    operator = trial.operator().start()
    trial.submit()
    trial.wait("quickstart")
    trial.check_proof("quickstart")
    events = trial.api.items(f"/apis/events.k8s.io/v1/namespaces/{trial.namespace}/events")
    told = {event["regarding"]["name"] for event in events if event["reason"] == "Unreadable"}
    assert told == set(bad), told
    operator.kill()
    operator.start()
    trial.submit("again", input={"url": "digits/digit-1-2.png"})
    trial.wait("again")
    for name in bad:
        trial.delete(name)


@scenario(timeout=90)
def api_server_restarted(trial):
    """While the API server is away nothing is lost: pods go on, and the job ends when it is back."""
    trial.operator().start()
    proving = trial.hold("prove")
    trial.submit()
    trial.wait("quickstart", kind="Executed")
    until(20, "pods that prove", lambda: len(trial.pods("quickstart", "prove")) == 4)

    def meanwhile():
        proving.set()
        time.sleep(3)

    trial.cluster.restart_api_server(meanwhile)
    trial.wait("quickstart", seconds=60)
    _each_stage_once(trial, "quickstart")
    trial.check_proof("quickstart")


@scenario(timeout=150)
def object_store_away(trial):
    """An object store, with credentials from a Secret, that is away for a while costs attempts, not the job."""
    store = ObjectStore(trial.session.work / "s3").start()
    try:
        secret = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "proofs"}, "data": store.credentials()}
        trial.api.create(f"/api/v1/namespaces/{trial.namespace}/secrets", secret)
        trial.operator().start()
        proving = trial.hold("prove")
        trial.submit(retries=6, store={"url": store.url, "secretRef": {"name": "proofs"}})
        trial.wait("quickstart", kind="Executed")
        store.kill()
        proving.set()
        until(60, "a failed attempt", lambda: any(_failed(pod) for pod in trial.pods("quickstart", "prove")))
        store.start()
        proof = trial.wait("quickstart", seconds=100)["proof"]
        assert store.read(proof["digest"]) == (trial.session.reference / "proof.bin").read_bytes()
    finally:
        store.kill()


@scenario(timeout=180, slow=True)
def node_lost(trial):
    """A node that is taken away without a word costs no retry: its subgraphs are proved elsewhere."""
    trial.operator().start()
    trial.kubelet.add_node("spot")
    selector = {"nodeSelector": {"kubernetes.io/hostname": "spot"}}
    proving = trial.hold("prove")
    trial.submit(retries=0, stages={"prove": selector})
    until(40, "pods on the node", lambda: len(trial.pods("quickstart", "prove")) == 4)
    trial.kubelet.lose_node("spot")
    proving.set()
    until(90, "the loss to be noticed", lambda: any(_failed(pod) for pod in trial.pods("quickstart", "prove")))
    trial.kubelet.add_node("spot")
    trial.wait("quickstart", seconds=90)
    trial.check_proof("quickstart")


@scenario(timeout=90)
def drained(trial):
    """Pods that are evicted by the API come back elsewhere, and cost no retry."""
    trial.operator().start()
    proving = trial.hold("prove")
    trial.submit(retries=0)
    pods = until(
        30, "pods that prove", lambda: len(trial.pods("quickstart", "prove")) == 4 and trial.pods("quickstart", "prove")
    )
    for pod in pods[:2]:
        metadata = {"name": pod["metadata"]["name"], "namespace": trial.namespace}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        trial.api.create(f"/api/v1/namespaces/{trial.namespace}/pods/{metadata['name']}/eviction", eviction)
    proving.set()
    trial.wait("quickstart", seconds=60)
    trial.check_proof("quickstart")


def _each_stage_once(trial, name: str) -> None:
    """Every stage of a job has exactly one child."""
    stages = [child["metadata"]["labels"]["proofmill.dev/stage"] for child in trial.children(name)]
    assert sorted(stages) == sorted(STAGES), stages


def _finished(pods: list[dict]) -> bool:
    return all(pod["status"].get("phase") in ("Succeeded", "Failed") for pod in pods)


def _failed(pod: dict) -> bool:
    return pod["status"].get("phase") == "Failed"
