"""What the chart's NetworkPolicies do, where something enforces them: who reaches whom on the node."""

from harness import policies, tools
from harness.processes import until
from harness.scenario import scenario

# Both answer with the files of their image.
STORE, OTHER = 8001, 8002


@scenario(timeout=240, slow=True)
def policies_are_enforced(trial):
    """A worker reaches a store's port, no other port and no API server; nobody reaches a worker; and jobs end well."""
    policies.enforce(trial.cluster)
    trial.install(networkPolicy={"workerPorts": [STORE]})
    pods = {"worker": {"app.kubernetes.io/name": "proofmill-worker"}, "stranger": {"app": "stranger"}}
    addresses = {name: start(trial, name, labels) for name, labels in pods.items()}
    api_server = f"https://{trial.api.get('/api/v1/namespaces/default/services/kubernetes')['spec']['clusterIP']}:443"

    def reaches(name: str, server: str) -> bool:
        probe = ["/kubectl", "--insecure-skip-tls-verify", "--request-timeout=3s", "--token=nobody's"]
        asked = [*probe, f"--server={server}", "get", "--raw", "/static/"]
        done = trial.cluster.kubectl("-n", trial.namespace, "exec", name, "--", *asked, check=False)
        # The API server answers that it does not know whoever asks.
        return done.returncode == 0 or "Unauthorized" in done.stderr

    def of(name: str, port: int) -> str:
        return f"http://{addresses[name]}:{port}"

    # A pod is let through until the firewall has seen it.
    until(60, "the firewall", lambda: not reaches("worker", of("stranger", OTHER)), every=1)
    assert reaches("worker", of("stranger", STORE))
    assert not reaches("worker", api_server)
    for port in (STORE, OTHER):
        assert not reaches("stranger", of("worker", port))
    # Where no policy speaks all of it is open.
    assert reaches("stranger", of("stranger", OTHER))
    assert reaches("stranger", api_server)
    trial.submit()
    trial.wait("quickstart", seconds=100)
    trial.check_proof("quickstart")


def start(trial, name: str, labels: dict) -> str:
    """Starts a pod that listens on both ports and can ask others; returns its address."""
    closed = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    containers = [
        {
            "name": f"port-{port}",
            "image": f"registry.k8s.io/kubectl:v{tools.KUBERNETES}",
            "imagePullPolicy": "Never",
            "args": ["proxy", "--server=http://127.0.0.1:9", "--address=0.0.0.0", f"--port={port}", "--accept-hosts=.*"]
            + ["--www=/", "--www-prefix=/static/"],
            "securityContext": closed,
        }
        for port in (STORE, OTHER)
    ]
    user = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": containers, "securityContext": user, "automountServiceAccountToken": False}
    pods = f"/api/v1/namespaces/{trial.namespace}/pods"
    metadata = {"name": name, "labels": labels}
    trial.api.create(pods, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def address() -> str | None:
        status = trial.api.get(f"{pods}/{name}")["status"]
        ready = [container["ready"] for container in status.get("containerStatuses", [])]
        return status.get("podIP") if ready == [True, True] else None

    return until(60, f"the pod {name}", address)
