"""How a job goes from its manifest to its proof, or to a reason why there is none. On the control plane alone."""

import threading

from harness import kueue, tools
from harness.kubelet import Fate
from harness.processes import until
from harness.scenario import scenario
from harness.trial import CHART, JOBS, STAGES, Trial


@scenario(timeout=60)
def quickstart(trial):
    """The answer is readable before proving begins, and the proof is the one that a single machine makes."""
    trial.operator().start()
    proving = trial.hold("prove")
    trial.cluster.kubectl("-n", trial.namespace, "apply", "-f", trial.quickstart_file)
    status = trial.wait("quickstart", kind="Executed")
    assert status["result"]["outputs"][0]["class"] == 7, status["result"]
    assert "proof" not in status
    proving.set()
    status = trial.wait("quickstart")
    assert status["subgraphs"] == {"total": 4, "active": 0, "succeeded": 4, "failed": 0}, status["subgraphs"]
    assert status["completedIndexes"] == "0-3"
    trial.check_proof("quickstart")


@scenario(timeout=90)
def eight_subgraphs(trial):
    """Every subgraph of a finer partition has a pod of its own."""
    trial.operator().start()
    trial.submit("eight", partition={"subgraphs": 8})
    status = trial.wait("eight", seconds=80)
    assert status["subgraphs"]["succeeded"] == 8, status["subgraphs"]
    assert len(trial.pods("eight", "prove")) == 8
    trial.check_accepted("eight")


@scenario(timeout=60)
def inline_input(trial):
    """Values that a manifest holds reach the model."""
    trial.operator().start()
    trial.submit("inline", input={"values": [[0.0] * 784]})
    status = trial.wait("inline")
    assert "class" in status["result"]["outputs"][0]


@scenario(timeout=60)
def prompt(trial):
    """A language model answers a prompt with a text, and its proof is accepted."""
    trial.operator().start()
    trial.cluster.kubectl("-n", trial.namespace, "apply", "-f", tools.REPOSITORY / "examples/adder.yaml")
    status = trial.wait("adder")
    assert status["result"]["outputs"][0]["text"] == "62", status["result"]
    assert status["model"]["tokenizerUri"].startswith("file:"), status["model"]
    trial.check_accepted("adder")


@scenario(timeout=60)
def several_inputs(trial):
    """A list of prompts is answered input by input, and one proof says all answers."""
    trial.operator().start()
    trial.cluster.kubectl("-n", trial.namespace, "apply", "-f", tools.REPOSITORY / "examples/batch.yaml")
    outputs = trial.wait("batch")["result"]["outputs"]
    assert [(output["input"], output["text"]) for output in outputs] == [(0, "62"), (1, "107"), (2, "3")], outputs
    trial.check_accepted("batch")


@scenario(timeout=60)
def applied_again(trial):
    """A job that was deleted and is applied again proves nothing twice: every artifact is found, and the proof is the same."""
    trial.operator().start()
    trial.submit()
    first = trial.wait("quickstart")["proof"]
    before = {path.name for path in (trial.store / "artifacts").iterdir()}
    trial.delete("quickstart")
    until(30, "the end of the first job", lambda: trial.job("quickstart") is None and not trial.children("quickstart"))
    trial.submit()
    assert trial.wait("quickstart")["proof"] == first
    assert {path.name for path in (trial.store / "artifacts").iterdir()} == before


@scenario(timeout=60)
def worker_killed(trial):
    """A worker that is killed while it proves is replaced, and nothing else is done again."""
    trial.operator().start()
    trial.let("prove", Fate(exit_code=137), times=1, subgraph=2)
    trial.submit()
    trial.wait("quickstart")
    pods = trial.pods("quickstart", "prove")
    assert len(pods) == 5, [pod["metadata"]["name"] for pod in pods]
    trial.check_proof("quickstart")


@scenario(timeout=60)
def evicted_without_retries(trial):
    """An eviction is not the job's fault: it costs no retry."""
    trial.operator().start()
    trial.let("prove", Fate(evicted=True), times=1, subgraph=1)
    trial.submit(retries=0)
    trial.wait("quickstart")
    trial.check_proof("quickstart")


@scenario(timeout=60)
def out_of_memory(trial):
    """A subgraph whose worker is killed for memory is tried again with the next memory class, and only that subgraph."""
    trial.operator().start()
    trial.let("prove", Fate(out_of_memory=True), times=1, subgraph=3)
    trial.submit(retries=0, stages={"prove": {"memoryClasses": ["128Mi", "512Mi"]}})
    trial.wait("quickstart")
    used = [
        (pod["metadata"]["labels"]["proofmill.dev/class"], _memory_limit(pod))
        for pod in trial.pods("quickstart", "prove")
    ]
    assert sorted(used) == [("0", "128Mi")] * 4 + [("1", "512Mi")], used
    trial.check_proof("quickstart")


@scenario(timeout=60)
def deterministic_failure(trial):
    """Exit code 42 fails the job without a second attempt, and says which stage."""
    trial.operator().start()
    trial.let("prove", Fate(exit_code=42), subgraph=0)
    trial.submit()
    summary = trial.wait_failed("quickstart")
    assert summary["reason"] == "DeterministicFailure", summary
    attempts = [pod for pod in trial.pods("quickstart", "prove") if _index(pod) == "0"]
    assert len(attempts) == 1, len(attempts)
    until(20, "the end of all pods", lambda: not trial.kubelet.running(proofmill_dev_job="quickstart"))


@scenario(timeout=60)
def wrong_version(trial):
    """Exit code 43 fails the job at once: no stage of it can succeed."""
    trial.operator().start()
    trial.let("execute", Fate(exit_code=43))
    trial.submit()
    summary = trial.wait_failed("quickstart")
    assert summary["reason"] == "WrongModelOrVersion", summary
    assert len(trial.pods("quickstart", "execute")) == 1


@scenario(timeout=60)
def model_that_does_not_exist(trial):
    """A wrong model fails fast, with a message that names it."""
    trial.operator().start()
    trial.submit(model={"source": "digits/no-such-model.onnx"})
    summary = trial.wait_failed("quickstart", seconds=20)
    assert summary["reason"] == "DeterministicFailure", summary
    assert "no-such-model.onnx" in summary["message"], summary


@scenario(timeout=60)
def wrong_model_digest(trial):
    """A model named by a digest that the store does not have fails, and the message has the digest."""
    trial.operator().start()
    digest = "0" * 64
    trial.submit(model={"source": f"artifact:{digest}"}, retries=0)
    summary = trial.wait_failed("quickstart", seconds=30)
    assert digest in summary["message"], summary


@scenario(timeout=60)
def retries_exhausted(trial):
    """A stage that keeps failing is tried as often as the job says, and then the job fails and says so."""
    trial.operator().start()
    trial.let("setup", Fate(exit_code=1))
    trial.submit(retries=1)
    summary = trial.wait_failed("quickstart", seconds=50)
    assert summary["reason"] == "RetriesExhausted", summary
    assert len(trial.pods("quickstart", "setup")) == 2


@scenario(timeout=60)
def corrupted_artifact(trial):
    """A subgraph's proof that was altered in the store is noticed, proved again, and the proof is the right one."""
    trial.operator().start()
    earlier: set[str] = set()

    def corrupt():
        proofs = [path for path in (trial.store / "artifacts").iterdir() if path.name not in earlier]
        for path in proofs[:1]:
            path.write_bytes(b"not a proof")

    trial.let(
        "prove",
        Fate(before=lambda: earlier.update(path.name for path in (trial.store / "artifacts").iterdir())),
        times=1,
    )
    trial.let("aggregate", Fate(before=corrupt), times=1)
    trial.submit(parallelism=1)
    trial.wait("quickstart")
    trial.check_proof("quickstart")


@scenario(timeout=60)
def deadline(trial):
    """A job that takes too long fails, and its pods end."""
    trial.operator().start()
    trial.hold("prove")
    trial.submit(activeDeadlineSeconds=8)
    summary = trial.wait_failed("quickstart", seconds=30)
    assert summary["reason"] == "DeadlineExceeded", summary
    until(20, "the end of all pods", lambda: not _active(trial, "quickstart"))


@scenario(timeout=60)
def suspend_and_resume(trial):
    """A suspended job has no pods; when it goes on, it keeps what it has done."""
    trial.operator().start()
    proving = trial.hold("prove")
    trial.submit()
    trial.wait("quickstart", kind="Executed")
    until(20, "pods that prove", lambda: trial.pods("quickstart", "prove"))
    trial.change("quickstart", suspend=True)
    trial.wait("quickstart", kind="Suspended")
    until(20, "the end of all pods", lambda: not _active(trial, "quickstart"))
    proving.set()
    assert trial.condition("quickstart", "Executed")["status"] == "True"
    trial.change("quickstart", suspend=False)
    trial.wait("quickstart")
    assert len(trial.pods("quickstart", "execute")) == 1
    trial.check_proof("quickstart")


@scenario(timeout=60)
def deleted_in_every_stage(trial):
    """A job that is deleted leaves nothing in the cluster, whatever it was doing."""
    trial.operator().start()
    for stage in STAGES:
        held = trial.hold(stage)
        trial.submit(stage)
        until(30, f"a pod of {stage}", lambda stage=stage: trial.pods(stage, stage))
        trial.delete(stage)
        until(30, f"the end of all that belongs to {stage}", lambda stage=stage: not _what_is_left(trial, stage))
        held.set()


@scenario(timeout=60)
def time_to_live(trial):
    """A finished job is deleted when its time is up, and not before; its proof stays in the store."""
    trial.operator().start()
    trial.submit(ttlSecondsAfterFinished=4)
    proof = trial.wait("quickstart")["proof"]
    until(20, "the job's end", lambda: trial.job("quickstart") is None)
    assert trial.artifact(proof["digest"]).exists()
    until(20, "the end of its children", lambda: not trial.children("quickstart"))


@scenario(timeout=90)
def parallelism_changed(trial):
    """Another parallelism holds for a job that is proving already: more pods are started, or those too many are ended."""
    trial.operator().start()
    proving = trial.hold("prove")
    trial.submit(parallelism=1, retries=0)
    for parallelism in (1, 3, 2):
        trial.change("quickstart", parallelism=parallelism)
        until(30, f"{parallelism} pods", lambda wanted=parallelism: len(_active(trial, "quickstart")) == wanted)
    proving.set()
    trial.wait("quickstart")
    trial.check_proof("quickstart")


@scenario(timeout=60)
def memory_as_expected(trial):
    """A subgraph that setup expects to need more than the smallest memory class begins in one that holds it."""
    trial.operator().start()
    trial.submit(stages={"prove": {"memoryClasses": ["4Mi", "1Gi"]}})
    expected = trial.wait("quickstart")["model"]["memory"]
    assert all(need["mebibytes"] > 4 for need in expected), expected
    used = [_memory_limit(pod) for pod in trial.pods("quickstart", "prove")]
    assert used == ["1Gi"] * 4, used
    trial.check_proof("quickstart")


@scenario(timeout=90)
def scarce_gpus(trial):
    """Each pod of a job on GPUs has one, and the image for it; no more pods than there are GPUs run at one time, others wait."""
    trial.operator().start()
    trial.kubelet.add_node("gpus", gpus=2)
    try:
        proving = threading.Event()
        for stage in STAGES:
            trial.let(stage, Fate(instead={"--device=cuda:0": "--device=cpu"}, wait=proving if stage == "prove" else None))
        selector = {"nodeSelector": {"kubernetes.io/hostname": "gpus"}}
        trial.submit(device="Gpu", stages={"prove": selector})
        trial.wait("quickstart", kind="Executed")
        waiting = until(30, "two pods that run and two that wait", lambda: _waiting(trial.pods("quickstart", "prove")))
        for pod in trial.pods("quickstart"):
            container = pod["spec"]["containers"][0]
            assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
            assert container["image"] == "localhost/proofmill-worker-cuda:0.1.0", container["image"]
        assert all("Insufficient nvidia.com/gpu" in message for message in waiting), waiting
        proving.set()
        trial.wait("quickstart")
        trial.check_proof("quickstart")
    finally:
        trial.kubelet.lose_node("gpus")


@scenario(timeout=90)
def every_namespace(trial):
    """An operator without a list of namespaces runs the jobs of all, each with its own namespace's store."""
    other = Trial(trial.session, f"{trial.namespace}-team", trial.kubelet)
    try:
        other.prepare()
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "proofmill-store"},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "storageClassName": "test",
                "volumeName": other.namespace,
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
        trial.api.create(f"/api/v1/namespaces/{other.namespace}/persistentvolumeclaims", claim)
        values = trial.values(operator={"replicas": 0}, rbac={"aggregate": False})
        trial.helm("upgrade", "proofmill", CHART, values=values)
        trial.operator().start()
        for place in (trial, other):
            place.submit()
        for place in (trial, other):
            place.wait("quickstart")
            place.check_proof("quickstart")
    finally:
        trial.helm("uninstall", "proofmill", "--ignore-not-found")
        other.end()


@scenario(timeout=90)
def two_jobs_of_one_model(trial):
    """A ProofModel is set up once; jobs that refer to it start with execute."""
    trial.operator().start()
    spec = {"model": trial.manifest()["spec"]["model"], "partition": {"subgraphs": 4}}
    metadata = {"name": "digits", "namespace": trial.namespace}
    model = {"apiVersion": "proofmill.dev/v1alpha1", "kind": "ProofModel", "metadata": metadata, "spec": spec}
    trial.api.create(JOBS.format(trial.namespace).replace("proofjobs", "proofmodels"), model)
    for name, picture in {"seven": "digit-0-7", "two": "digit-1-2"}.items():
        url = f"digits/{picture}.png"
        trial.submit(name, model=None, partition=None, modelRef={"name": "digits"}, input={"url": url})
    for name, label in {"seven": 7, "two": 2}.items():
        assert trial.wait(name)["result"]["outputs"][0]["class"] == label
        assert not trial.pods(name, "setup")
    trial.check_proof("seven")
    trial.check_accepted("two")


@scenario(timeout=300, slow=True)
def queued_by_kueue(trial):
    """Kueue starts a job's stages when there is quota, so many pods at a time as fit; a second job waits its turn."""
    kueue.start(trial.cluster)
    try:
        until(60, "a queue", lambda: kueue.make_queue(trial.cluster, trial.namespace, "provers", "4Gi") is None)
        trial.operator().start()
        proving = trial.hold("prove")
        trial.submit("first", queueName="provers")
        trial.wait("first", kind="Executed")
        until(30, "pods that prove", lambda: len(trial.pods("first", "prove")) == 4)
        # The four subgraphs take all of the quota.
        trial.submit("second", queueName="provers", input={"url": "digits/digit-1-2.png"})
        until(30, "a child of the second job", lambda: trial.children("second"))
        assert not trial.pods("second"), trial.pods("second")
        assert trial.children("second")[0]["spec"]["suspend"] is True
        proving.set()
        trial.wait("first")
        trial.wait("second")
        trial.check_proof("first")
        trial.check_accepted("second")
    finally:
        kueue.stop(trial.cluster)


def _what_is_left(trial, name: str) -> list:
    job = trial.job(name)
    return ([job] if job else []) + trial.children(name) + trial.pods(name)


def _active(trial, name: str) -> list[dict]:
    return [pod for pod in trial.pods(name) if pod["status"].get("phase") in ("Pending", "Running")]


def _waiting(pods: list[dict]) -> list[str] | None:
    """What the scheduler says of the two pods that it has no node for, once two others are running."""
    conditions = [condition for pod in pods for condition in pod["status"].get("conditions", [])]
    messages = [condition["message"] for condition in conditions if condition.get("reason") == "Unschedulable"]
    running = [pod for pod in pods if pod["status"].get("phase") == "Running"]
    return messages if (len(running), len(messages)) == (2, 2) else None


def _index(pod: dict) -> str:
    return pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]


def _memory_limit(pod: dict) -> str:
    return pod["spec"]["containers"][0]["resources"]["limits"]["memory"]
