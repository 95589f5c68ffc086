"""The chart by itself: what it renders, what it refuses, its alerts and dashboards. Needs no cluster."""

import ipaddress
import json
import re
import sys
import tempfile
from pathlib import Path

from harness import tools
from harness.scenario import scenario
from harness.trial import CHART

# Sets of values that users have; every template is rendered by one of them.
USERS = {
    "default": {},
    "observed": {
        "metrics": {"monitor": "ServiceMonitor", "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True},
        "dashboards": {"enabled": True},
    },
    "pods observed": {"metrics": {"monitor": "PodMonitor"}},
    "two namespaces": {"operator": {"watchNamespaces": ["a", "b"], "replicas": 1}},
    "object store": {"store": {"url": "s3://proofs/here", "secretName": "credentials"}},
    "private registry": {
        "image": {"registry": "registry.example.com/team", "pullSecrets": ["pull"]},
        "operator": {"image": {"digest": f"sha256:{'0' * 64}"}},
        "worker": {"image": {"tag": "1.2.3"}, "serviceAccountName": "workload-identity"},
    },
    "bare": {
        "crds": {"install": False},
        "rbac": {"create": False, "aggregate": False},
        "networkPolicy": {"enabled": False},
        "operator": {"serviceAccount": {"create": False, "name": "mine"}, "podDisruptionBudget": {"enabled": False}},
        "store": {"claim": {"name": ""}},
        "worker": {"gpuImage": {"repository": ""}},
        "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}}],
    },
}

REFUSED = [
    {"operator": {"replica": 1}},
    {"operator": {"replicas": -1}},
    {"operator": {"replicas": "two"}},
    {"operator": {"image": {"digest": "sha256:short"}}},
    {"operator": {"logFormat": "xml"}},
    {"worker": {"sourceBase": "examples"}},
    {"worker": {"gpuImage": {"pullPolicy": "Always"}}},
    {"worker": {"gpuImage": {"digest": "sha256:short"}}},
    {"store": {"url": "proofs"}},
    {"metrics": {"monitor": "Both"}},
    {"networkPolicy": {"workerExcept": ["169.254.169.254"]}},
    {"unknown": True},
]


@scenario(timeout=60)
def lint(alone):
    """helm lint finds nothing, with any set of values."""
    for values in USERS.values():
        alone.helm("lint", "--strict", "--quiet", CHART, values=values)


@scenario(timeout=60)
def values_that_are_refused(alone):
    """A value that the chart does not have, or that cannot be, is an error that names it."""
    for values in REFUSED:
        done = alone.helm("template", "proofmill", CHART, values=values, check=False)
        assert done.returncode != 0, values
        field = next(iter(values))
        assert "schema" in done.stderr and field in done.stderr, (values, done.stderr)


@scenario(timeout=60)
def values_are_documented(alone):
    """Every value that the schema knows is in values.yaml, with a comment of its own above it."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    documented, path = set(), []
    for above, line in zip(lines, lines[1:], strict=False):
        match = re.match(r"^( *)(\w+):", line)
        if match:
            path = [*path[: len(match[1]) // 2], match[2]]
            if above.lstrip().startswith("#"):
                documented.add(".".join(path))
    missing = {".".join(path) for path in _leaves(json.loads((CHART / "values.schema.json").read_text()))} - documented
    assert not missing, missing


@scenario(timeout=60)
def images_of_workers(alone):
    """Pods with a GPU have an image of their own, by default of the other's tag; where it has no name they have the other."""
    registry = {"registry": "registry.example.com/team"}
    digest = f"sha256:{'0' * 64}"
    version = re.search(r'^appVersion: "?([^"\n]+)', (CHART / "Chart.yaml").read_text(), re.MULTILINE)[1]
    table = [
        ({}, (f"localhost/proofmill-worker:{version}", f"localhost/proofmill-worker-cuda:{version}")),
        ({"gpuImage": {"repository": ""}}, (f"localhost/proofmill-worker:{version}", None)),
        # What `helm upgrade --reuse-values` gives, from a chart that did not have it.
        ({"gpuImage": None}, (f"localhost/proofmill-worker:{version}", None)),
        ({"image": {"tag": "1.2.3"}}, ("localhost/proofmill-worker:1.2.3", "localhost/proofmill-worker-cuda:1.2.3")),
        ({"gpuImage": {"tag": "1.2.3"}}, (f"localhost/proofmill-worker:{version}", "localhost/proofmill-worker-cuda:1.2.3")),
        (
            {"image": {"digest": digest}, "gpuImage": {"repository": "gpu", "digest": digest}},
            (f"localhost/proofmill-worker@{digest}", f"localhost/gpu@{digest}"),
        ),
    ]
    for worker, images in table:
        assert _images_of_workers(alone, {"worker": worker}) == images, worker
    own = _images_of_workers(alone, {"image": registry})
    assert all(image.startswith("registry.example.com/team/") for image in own), own


def _images_of_workers(alone, values: dict) -> tuple[str | None, str | None]:
    """What the operator is told: the image of pods without a GPU, and that of the others."""
    [deployment] = [made for made in alone.objects(values) if made["kind"] == "Deployment"]
    told = dict(text.split("=", 1) for text in deployment["spec"]["template"]["spec"]["containers"][0]["args"])
    return told["--worker-image"], told.get("--worker-gpu-image")


@scenario(timeout=60)
def names_with_namespaces(alone):
    """With namespaces to watch there is no ClusterRole for the operator; without, there is one and no wildcard in it."""
    spread = alone.objects(USERS["two namespaces"])
    roles = [made for made in spread if made["kind"] == "ClusterRole"]
    assert all("operator" not in role["metadata"]["name"] for role in roles), roles
    assert {made["metadata"]["namespace"] for made in spread if made["kind"] == "RoleBinding"} >= {"a", "b"}
    assert {made["metadata"]["namespace"] for made in spread if made["metadata"]["name"] == "proofmill-worker"} == {
        "a",
        "b",
    }
    everywhere = [made for made in alone.objects({}) if made["kind"] in ("Role", "ClusterRole")]
    rules = [rule for role in everywhere for rule in role["rules"]]
    assert not any("*" in rule[part] for rule in rules for part in ("apiGroups", "resources", "verbs")), rules
    assert not any("secrets" in rule["resources"] for rule in rules), rules


@scenario(timeout=60)
def policies(alone):
    """Workers reach stores and sources, no API server and no metadata service, and nobody reaches them; the operator reaches API servers."""
    made = {made["metadata"]["name"]: made["spec"] for made in alone.objects({}) if made["kind"] == "NetworkPolicy"}
    worker, operator = made["proofmill-worker"], made["proofmill-operator"]
    assert worker["ingress"] == [] and set(worker["policyTypes"]) == {"Ingress", "Egress"}
    assert [rule["ports"] for rule in operator["ingress"]] == [[{"port": "http"}]]
    reached = {
        (address, port)
        for address in ("10.1.2.3", "203.0.113.9", "169.254.169.254", "2001:db8::9", "fd00:ec2::254")
        for port in (53, 80, 443, 6443, 10250)
        if _lets_out(worker, address, port)
    }
    stores = {(address, port) for address in ("10.1.2.3", "203.0.113.9", "2001:db8::9") for port in (53, 80, 443)}
    assert reached == stores | {("169.254.169.254", 53), ("fd00:ec2::254", 53)}, reached
    assert [port for port in (53, 80, 443, 6443, 8080) if _lets_out(operator, "10.1.2.3", port)] == [53, 443, 6443]


@scenario(timeout=60)
def pods_are_restricted(alone):
    """Every container that the chart makes is what the Pod Security Standard `restricted` asks for, and has no writable root."""
    for values in USERS.values():
        for made in alone.objects(values):
            spec = made["spec"] if made["kind"] == "Pod" else made.get("spec", {}).get("template", {}).get("spec")
            if not spec:
                continue
            assert spec["securityContext"]["runAsNonRoot"] is True
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            for container in spec["containers"] + spec.get("initContainers", []):
                context = container["securityContext"]
                assert context["allowPrivilegeEscalation"] is False and context["capabilities"] == {"drop": ["ALL"]}
                assert context["readOnlyRootFilesystem"] is True
                assert "limits" in container["resources"], container["name"]


@scenario(timeout=60)
def definitions_are_kept(alone):
    """Definitions stay when the release goes, unless the user says otherwise, and are left out when asked."""
    keep = "helm.sh/resource-policy"
    kept, gone, loose = (
        [made["metadata"] for made in alone.objects(values) if made["kind"] == "CustomResourceDefinition"]
        for values in ({}, {"crds": {"install": False}}, {"crds": {"keep": False}})
    )
    assert kept and all(made["annotations"][keep] == "keep" for made in kept)
    assert not gone
    assert loose and not any(keep in made.get("annotations", {}) for made in loose)


@scenario(timeout=120)
def alerts(alone):
    """Every alert fires on the series that it is for, is silent on those that it is not, and its runbook exists."""
    promtool = tools.debian("promtool")
    rules = CHART / "files/rules.yaml"
    alone.run(promtool, "check", "rules", rules)
    tests = tools.REPOSITORY / "tests/cluster/rules_test.yaml"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "rules_test.yaml")
        copy.write_text(tests.read_text())
        # promtool compares annotations word by word; what they say is not the point here.
        bare = re.sub(r"^ {8}annotations:\n(?: {10}.*\n)+", "", rules.read_text(), flags=re.MULTILINE)
        Path(folder, "rules.yaml").write_text(bare)
        alone.run(promtool, "test", "rules", copy)
    names = re.findall(r"^ *- alert: (\w+)", rules.read_text(), re.MULTILINE)
    tested = set(re.findall(r"alertname: (\w+)", tests.read_text()))
    assert names and tested == set(names), set(names) ^ tested
    anchors = re.findall(r"RUNBOOK_BASE#(\w+)", rules.read_text())
    assert anchors == [name.lower() for name in names], anchors
    headings = re.findall(r"^#+ (\w+)$", (tools.REPOSITORY / "docs/operations.md").read_text(), re.MULTILINE)
    assert set(names) <= set(headings), set(names) - set(headings)


@scenario(timeout=60)
def dashboards(alone):
    """Dashboards are JSON of the shape that Grafana imports: titles, a data source to choose, no two panels of one place."""
    files = sorted((CHART / "files/dashboards").glob("*.json"))
    written = {path: path.read_text() for path in files}
    alone.run(sys.executable, CHART.parent / "dashboards.py")
    assert written == {path: path.read_text() for path in files}, "charts/dashboards.py had not been run"
    assert [path.stem for path in files] == ["fleet", "job", "operator"]
    for path in files:
        board = json.loads(path.read_text())
        assert board["uid"] == f"proofmill-{path.stem}" and board["title"]
        assert any(variable["type"] == "datasource" for variable in board["templating"]["list"])
        panels = [panel for panel in board["panels"] if panel["type"] != "row"]
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
        assert len(places) == len(set(places))
        for panel in panels:
            assert panel["title"] and panel["description"], panel
            assert panel["datasource"]["uid"] == "${datasource}"
            assert all(target["expr"] for target in panel["targets"])


def _lets_out(policy: dict, address: str, port: int) -> bool:
    """Whether a policy lets its pods open a TCP connection, as the API reference defines it."""
    wanted = ipaddress.ip_address(address)

    def covers(peer: dict) -> bool:
        block = peer["ipBlock"]
        inside, out = ipaddress.ip_network(block["cidr"]), map(ipaddress.ip_network, block.get("except", []))
        return wanted in inside and not any(wanted in network for network in out)

    return "Egress" in policy["policyTypes"] and any(
        any(entry["port"] == port and entry.get("protocol", "TCP") == "TCP" for entry in rule["ports"])
        and ("to" not in rule or any(covers(peer) for peer in rule["to"]))
        for rule in policy["egress"]
    )


def _leaves(schema: dict, path: tuple = ()) -> list[tuple]:
    """The paths of all values that the schema names."""
    found = []
    for name, value in schema.get("properties", {}).items():
        if name == "global":
            continue
        found += _leaves(value, (*path, name)) if "properties" in value else [(*path, name)]
    return found
