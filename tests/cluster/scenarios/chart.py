"""What the chart installs: rights that suffice and no others, definitions that stay. On the control plane alone."""

import filecmp
import json

from harness import tools
from harness.api import ApiError
from harness.processes import until
from harness.scenario import scenario
from harness.trial import CHART, JOBS

PODS = "/api/v1/namespaces/{}/pods"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@scenario(timeout=60)
def rights_of_the_operator(trial):
    """The operator's service account may do what it needs, in its namespaces; everything else is refused."""
    user = f"system:serviceaccount:{trial.namespace}:proofmill-operator"
    mine, other = trial.namespace, "default"
    jobs = "/apis/batch/v1/namespaces/{}/jobs"
    lease = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"
    objects = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "x"}}
    allowed = [
        ("GET", JOBS.format(mine), None),
        ("DELETE", f"{JOBS.format(mine)}/x", None),
        ("PATCH", f"{JOBS.format(mine)}/x/status", {}),
        ("GET", JOBS.format(mine).replace("proofjobs", "proofmodels"), None),
        ("GET", jobs.format(mine), None),
        ("DELETE", f"{jobs.format(mine)}/x", None),
        ("PATCH", f"{jobs.format(mine)}/x", {}),
        ("GET", PODS.format(mine), None),
        ("POST", f"/api/v1/namespaces/{mine}/configmaps", objects),
        ("GET", f"{lease.format(mine)}/proofmill-operator", None),
    ]
    refused = [
        ("GET", f"/api/v1/namespaces/{mine}/secrets", None),
        ("GET", f"/api/v1/namespaces/{mine}/secrets/x", None),
        ("GET", "/api/v1/secrets", None),
        ("POST", PODS.format(mine), {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x"}}),
        ("DELETE", f"{PODS.format(mine)}/x", None),
        ("POST", f"{PODS.format(mine)}/x/exec", None),
        ("PATCH", f"{JOBS.format(mine)}/x", {}),
        ("POST", JOBS.format(mine), {}),
        ("GET", f"/api/v1/namespaces/{mine}/configmaps", None),
        ("DELETE", f"/api/v1/namespaces/{mine}/configmaps/x", None),
        ("GET", f"{lease.format(mine)}/another", None),
        ("GET", "/apis/proofmill.dev/v1alpha1/proofjobs", None),
        ("GET", JOBS.format(other), None),
        ("POST", jobs.format(other), {}),
        ("GET", PODS.format(other), None),
        ("GET", f"{lease.format(other)}/proofmill-operator", None),
        ("GET", "/api/v1/nodes", None),
        ("GET", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{mine}/roles", None),
        ("POST", f"/api/v1/namespaces/{mine}/serviceaccounts/default/token", {}),
        ("PATCH", f"{DEFINITIONS}/proofjobs.proofmill.dev", {}),
    ]
    api = trial.cluster.api_as(user)
    wrong = [f"{method} {path} is refused" for method, path, body in allowed if _forbidden(api, method, path, body)]
    wrong += [
        f"{method} {path} is allowed" for method, path, body in refused if not _forbidden(api, method, path, body)
    ]
    assert not wrong, wrong


@scenario(timeout=60)
def rights_without_namespaces(trial):
    """An operator for all namespaces has the same rights everywhere, and no more; its lease stays in its own."""
    values = trial.values(operator={"replicas": 0}, rbac={"aggregate": False})
    trial.helm("upgrade", "proofmill", CHART, values=values)
    api = trial.cluster.api_as(f"system:serviceaccount:{trial.namespace}:proofmill-operator")
    assert not _forbidden(api, "GET", "/apis/proofmill.dev/v1alpha1/proofjobs")
    assert not _forbidden(api, "GET", PODS.format("default"))
    assert _forbidden(api, "GET", "/api/v1/secrets")
    assert _forbidden(api, "GET", "/apis/coordination.k8s.io/v1/namespaces/default/leases/proofmill-operator")
    assert _forbidden(
        api, "POST", PODS.format("default"), {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x"}}
    )
    # Roles of the cluster do not go with the namespace.
    trial.helm("uninstall", "proofmill")


@scenario(timeout=60)
def roles_of_users(trial):
    """Whoever may view a namespace sees its jobs; whoever may edit it makes and deletes them; nobody else does either."""
    values = trial.values(operator={"replicas": 0, "watchNamespaces": [trial.namespace]}, rbac={"aggregate": True})
    trial.helm("upgrade", "proofmill", CHART, values=values)
    for role in ("view", "edit"):
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "name": role}],
        }
        trial.api.create(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{trial.namespace}/rolebindings", binding)
    path = JOBS.format(trial.namespace)
    make = (f"{path}?dryRun=All", trial.manifest("made"))
    as_user = {name: trial.cluster.api_as(name) for name in ("view", "edit", "nobody")}
    until(20, "the aggregation of roles", lambda: not _forbidden(as_user["edit"], "POST", *make))
    assert not _forbidden(as_user["view"], "GET", path)
    assert _forbidden(as_user["view"], "POST", *make)
    assert _forbidden(as_user["nobody"], "GET", path)
    assert _forbidden(as_user["edit"], "PATCH", f"{path}/made/status", {})


@scenario(timeout=60)
def definitions_are_those_of_the_types(trial):
    """The chart's definitions are those that the types generate, the server takes them as they are, and apply has room for them."""
    for path in sorted((tools.REPOSITORY / "crds").glob("*.yaml")):
        copy = CHART / "files/crds" / path.name
        assert copy.exists() and filecmp.cmp(path, copy, shallow=False), f"cp {path} {copy}"
        # What kubectl keeps in an annotation.
        read = trial.cluster.kubectl("create", "--dry-run=client", "-o", "json", "-f", path).stdout
        assert len(json.dumps(json.loads(read))) < 262144, path
        trial.cluster.kubectl("diff", "--server-side", "--field-manager=helm", "--force-conflicts", "-f", path)
    assert filecmp.cmp(trial.quickstart_file, CHART / "files/quickstart.yaml", shallow=False)


@scenario(timeout=60)
def definitions_stay(trial):
    """Uninstalling the chart leaves the definitions and every job; installing it again takes them over."""
    trial.submit("kept")
    values = trial.values(operator={"replicas": 0, "watchNamespaces": [trial.namespace]}, rbac={"aggregate": False})
    trial.helm("uninstall", "proofmill", "--wait")
    assert trial.api.get(f"{DEFINITIONS}/proofjobs.proofmill.dev")
    assert trial.job("kept")
    trial.helm("install", "proofmill", CHART, values=values)
    assert trial.job("kept")


@scenario(timeout=90)
def resources_of_others(trial):
    """What the chart and the examples make for the Prometheus operator and for Kueue fits the definitions of both, to the field."""
    kinds = {"servicemonitors", "podmonitors", "prometheusrules"}
    for kind in sorted(kinds):
        path = tools.monitoring_definitions() / f"monitoring.coreos.com_{kind}.yaml"
        trial.cluster.kubectl("apply", "--server-side", "-f", path)
        _wait_for_definition(trial, f"{kind}.monitoring.coreos.com")
    for monitor in ("ServiceMonitor", "PodMonitor"):
        values = trial.values(
            metrics={"monitor": monitor}, prometheusRule={"enabled": True}, dashboards={"enabled": True}
        )
        rendered = trial.helm("template", "proofmill", CHART, "--skip-tests", values=values)
        validate = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"]
        done = trial.cluster.kubectl("-n", trial.namespace, *validate, text=rendered)
        assert f"{monitor.lower()}.monitoring.coreos.com/proofmill-operator created" in done.stdout, done.stdout
        assert "prometheusrule.monitoring.coreos.com/proofmill created" in done.stdout, done.stdout
    for path in sorted(tools.kueue_definitions().glob("*.yaml")):
        trial.cluster.kubectl("apply", "--server-side", "-f", path)
    for kind in ("resourceflavors", "clusterqueues", "localqueues"):
        _wait_for_definition(trial, f"{kind}.kueue.x-k8s.io")
    example = tools.REPOSITORY / "examples/kueue.yaml"
    trial.cluster.kubectl("-n", trial.namespace, "apply", "--dry-run=server", "--validate=strict", "-f", example)


def _wait_for_definition(trial, name: str) -> None:
    def established() -> bool:
        conditions = trial.api.get(f"{DEFINITIONS}/{name}")["status"]["conditions"]
        return any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)

    until(20, name, established)


def _forbidden(api, method: str, path: str, body: dict | None = None) -> bool:
    headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else None
    try:
        api.request(method, path, body, headers)
    except ApiError as error:
        return error.code == 403
    return False
