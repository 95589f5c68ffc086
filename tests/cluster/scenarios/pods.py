"""The same jobs in real pods, from `helm install` on: kubelet, containerd and runc, on a node of this machine."""

import contextlib
import json

import build
import oci

from harness import host, nvidia, tools
from harness.processes import until
from harness.prometheus import Prometheus
from harness.scenario import scenario
from harness.trial import CHART, STAGES


@scenario(timeout=120)
def quickstart_in_pods(trial):
    """helm install, kubectl apply: the answer comes before the proof, the proof is the one that a single machine makes."""
    trial.install()
    trial.cluster.kubectl("-n", trial.namespace, "apply", "-f", trial.quickstart_file)
    seen = []
    until(90, "the proof", lambda: seen.append(trial.status("quickstart")) or "proof" in seen[-1], every=0.05)
    answered = [status for status in seen if "result" in status and "proof" not in status]
    assert answered, "the result and the proof came at the same time"
    assert answered[0]["result"]["outputs"][0]["class"] == 7
    trial.cluster.kubectl(
        "-n", trial.namespace, "wait", "proofjob/quickstart", "--for=condition=Succeeded", "--timeout=10s"
    )
    trial.check_proof("quickstart")
    prover = trial.pods("quickstart", "prove")[0]["metadata"]["name"]
    log = trial.cluster.kubectl("-n", trial.namespace, "logs", prover).stdout
    assert "proves subgraph" in log and "ends with code 0" in log, log
    for pod in trial.pods("quickstart"):
        mounts = [mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]]
        assert not any("serviceaccount" in mount for mount in mounts), mounts


@scenario(timeout=60)
def images_are_reproducible(trial):
    """The same programs give the same image, byte for byte."""
    assert images(trial, build.build, "one") == images(trial, build.build, "two")


@scenario(timeout=120)
def images_of_the_dockerfile(trial):
    """The node's images come from the Dockerfile's last stages: again the same, and with the files of those made without it."""
    tools.debian("buildah")
    made = {f"{name}.tar": oci.read(trial.session.work / f"{name}.tar") for name in build.IMAGES}
    assert made == images(trial, build.build_with_buildah, "one")
    for name, (_, config, files) in images(trial, build.build, "two").items():
        _, by_dockerfile, held = made[name]
        assert held == files, {path for path in held.keys() | files.keys() if held.get(path) != files.get(path)}
        assert [by_dockerfile[key] for key in ("User", "Entrypoint")] == [config[key] for key in ("User", "Entrypoint")]
        # Who builds decides on PATH, which nothing in the images reads.
        variables = [
            {text for text in given["Env"] if not text.startswith("PATH=")} for given in (by_dockerfile, config)
        ]
        assert variables[0] == variables[1], variables


def images(trial, make, folder: str) -> dict:
    """Digest, configuration and files of every image, made in a folder of its own."""
    out = trial.session.work / f"images-{trial.namespace}-{folder}"
    out.mkdir()
    made = [make(name, trial.session.programs, out, f"localhost/{name}:test") for name in build.IMAGES]
    return {archive.name: oci.read(archive) for archive in made}


@scenario(timeout=240)
def gpu_in_its_pod(trial):
    """NVIDIA's container runtime puts the driver into the image for GPUs; all stages compute on it, and make the CPU's proof."""
    nvidia.attach(trial.cluster)
    trial.install()
    # The other image asks for no driver, and gets none.
    without = {"runtimeClassName": nvidia.RUNTIME_CLASS, "image": "localhost/proofmill-worker:0.1.0"}
    trial.submit("without", device="Gpu", retries=0, stages={"setup": without})
    summary = trial.wait_failed("without", seconds=60)
    assert "driver" in summary["message"], summary
    trial.submit("with", device="Gpu", stages={stage: {"runtimeClassName": nvidia.RUNTIME_CLASS} for stage in STAGES})
    trial.wait("with", seconds=120)
    for pod in trial.pods("with"):
        container, [status] = pod["spec"]["containers"][0], pod["status"]["containerStatuses"]
        assert container["image"] == "localhost/proofmill-worker-cuda:0.1.0", container
        assert container["resources"]["limits"][nvidia.RESOURCE] == "1", container
        record = json.loads(status["state"]["terminated"]["message"])
        assert record["usage"]["device"] == "GPU 0 (emulator)", record
    trial.check_proof("with")


@scenario(timeout=120)
def helm_test(trial):
    """helm test runs the quickstart, and succeeds."""
    trial.install()
    assert "Succeeded" in trial.helm("test", "proofmill", "--timeout", "90s")


@scenario(timeout=120)
def worker_killed_in_its_pod(trial):
    """A worker's process that the kernel ends is replaced by another pod; the job ends in the same proof."""
    trial.install()
    # So little processor time that there is something to kill.
    trial.submit(stages={"prove": {"resources": {"limits": {"cpu": "50m"}}}})
    killed = until(
        60,
        "a worker that proves",
        lambda: [pod for pod in trial.pods("quickstart", "prove") if host.kill(pod, "prover-worker")],
        0.02,
    )
    trial.wait("quickstart", seconds=80)
    failed = [pod["metadata"]["uid"] for pod in trial.pods("quickstart", "prove") if pod["status"]["phase"] == "Failed"]
    assert killed[0]["metadata"]["uid"] in failed
    trial.check_proof("quickstart")


@scenario(timeout=150)
def out_of_memory_in_its_pod(trial):
    """A worker that the kernel kills for memory in the largest class fails the job, which says so; with a larger class it goes on."""
    trial.install()
    model = trial.manifest()["spec"]["model"] | {"source": "transformer/transformer.onnx"}
    trial.submit("small", model=model, retries=0, stages={"prove": {"memoryClasses": ["16Mi"]}})
    summary = trial.wait_failed("small", seconds=60)
    assert summary["reason"] == "OutOfMemory" and "spec.stages.prove.memoryClasses" in summary["message"], summary
    ended = [pod["status"]["containerStatuses"][0]["state"] for pod in trial.pods("small", "prove")]
    assert "OOMKilled" in [state["terminated"]["reason"] for state in ended if "terminated" in state], ended
    trial.submit("larger", model=model, retries=0, stages={"prove": {"memoryClasses": ["16Mi", "512Mi"]}})
    trial.wait("larger", seconds=60)
    ended = [pod["status"]["containerStatuses"][0]["state"]["terminated"] for pod in trial.pods("larger", "prove")]
    assert [state["reason"] for state in ended] == ["Completed"] * 4, ended
    trial.check_accepted("larger")


@scenario(timeout=180)
def operator_pod_killed_in_every_stage(trial):
    """An operator's process that is killed comes back in its pod, and every job goes on; every stage has one child."""
    trial.install()
    for stage in STAGES:
        trial.submit(stage)
        until(60, f"a pod of {stage}", lambda stage=stage: trial.pods(stage, stage), 0.05)
        assert host.kill(_operator_pods(trial)[0], "proofmill-operator")
    for stage in STAGES:
        trial.wait(stage, seconds=100)
        children = [child["metadata"]["labels"]["proofmill.dev/stage"] for child in trial.children(stage)]
        assert sorted(children) == sorted(STAGES), children


@scenario(timeout=180)
def node_drained(trial):
    """A drain ends workers and operator; once the node takes pods again the job goes on, and has lost no retry."""
    trial.install()
    trial.submit(retries=0)
    until(60, "a pod that proves", lambda: trial.pods("quickstart", "prove"), 0.05)
    trial.cluster.kubectl("drain", "node0", "--force", "--delete-emptydir-data", "--timeout=60s")
    trial.cluster.kubectl("uncordon", "node0")
    trial.wait("quickstart", seconds=100)
    trial.check_proof("quickstart")


@scenario(timeout=180)
def upgraded_in_flight(trial):
    """helm upgrade replaces the operator while a job runs, one replica after the other; the job does not notice."""
    trial.install(operator={"replicas": 2})
    trial.submit()
    until(60, "a pod of execute", lambda: trial.pods("quickstart", "execute"), 0.05)
    operator = {"watchNamespaces": [trial.namespace], "replicas": 2, "podAnnotations": {"upgraded": "true"}}
    values = trial.values(operator=operator, rbac={"aggregate": False})
    trial.helm("upgrade", "proofmill", CHART, "--wait", "--timeout", "90s", values=values)
    trial.wait("quickstart", seconds=80)
    assert all("upgraded" in pod["metadata"]["annotations"] for pod in _operator_pods(trial))
    trial.check_proof("quickstart")


@scenario(timeout=120)
def uninstalled(trial):
    """helm uninstall leaves definitions, jobs, proofs and the store's claim."""
    trial.install()
    trial.submit()
    trial.wait("quickstart", seconds=80)
    trial.helm("uninstall", "proofmill", "--wait", "--timeout", "60s")
    until(40, "the operator's end", lambda: not _operator_pods(trial))
    trial.check_proof("quickstart")
    claim = trial.api.get(f"/api/v1/namespaces/{trial.namespace}/persistentvolumeclaims/proofmill-store")
    assert claim["status"]["phase"] == "Bound"


def _operator_pods(trial) -> list[dict]:
    selector = "labelSelector=app.kubernetes.io/name=proofmill-operator"
    found = trial.api.items(f"/api/v1/namespaces/{trial.namespace}/pods?{selector}")
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


@scenario(timeout=180)
def observed(trial):
    """Every query of every dashboard returns data from a Prometheus that scraped a run, and no alert fires in it."""
    trial.install()
    prometheus = Prometheus(trial.cluster, trial.namespace, _operator_pods(trial), CHART / "files/rules.yaml")
    boards = [json.loads(path.read_text()) for path in sorted((CHART / "files/dashboards").glob("*.json"))]
    queries = {
        (board["title"], panel["title"], target["expr"])
        for board in boards
        for panel in board["panels"]
        for target in panel["targets"]
    }
    silent = set(queries)

    def all_have_answered() -> bool:
        # Some have data only while jobs run.
        for query in list(silent):
            if any(_is_number(series) for series in prometheus.query_of_panel(query[2])):
                silent.remove(query)
        return not silent

    trial.submit("first")
    trial.submit("refused", model={"source": "digits/no-such-model.onnx"})
    trial.wait("first")
    # An increase is seen from what was scraped before it: jobs that end between two scrapes are none.
    trial.submit("second", input={"url": "digits/digit-1-2.png"})
    with contextlib.suppress(TimeoutError):
        until(90, "answers", all_have_answered, every=0.5)
    print(f"{len(queries) - len(silent)} of {len(queries)} queries of dashboards return data")
    assert not silent, "\n".join(map(str, silent))
    trial.wait("second")
    trial.wait_failed("refused")
    firing = prometheus.query('ALERTS{alertstate="firing"}')
    assert not firing, firing


def _is_number(series: dict) -> bool:
    return series["value"][1] != "NaN"
