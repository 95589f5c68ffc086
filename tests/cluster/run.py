#!/usr/bin/env python3
"""Plays the scenarios of the cluster tests: `tests/cluster/run.py [--tier TIER].. [--slow] [WORDS]`.

    chart     the chart alone: templates, schema, alerts, dashboards; needs helm and promtool
    control   the control plane and the test kubelet; needs etcd, no root
    node      a node with real pods; needs root, containerd, runc

WORDS select the scenarios whose name contains them. A tier that this machine cannot play is left out, with the reason.
Programs are taken from --programs, target/release by default:

    cargo build --release
"""

import argparse
import functools
import shutil
import sys
import tempfile
import time
from pathlib import Path

from harness import cluster, scenario, tools, trial
from harness.kubelet import TestKubelet

TIERS = ["chart", "control", "node"]
PROGRAMS = ["proofmill", "proofmill-operator", "prover-worker"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tier", choices=TIERS, action="append", help="all, when absent")
    parser.add_argument("--slow", action="store_true", help="also the scenarios that take minutes")
    parser.add_argument("--list", action="store_true", help="print names and properties, and play nothing")
    parser.add_argument("--programs", type=Path, default=tools.REPOSITORY / "target/release")
    parser.add_argument("words", nargs="*")
    arguments = parser.parse_args()
    outcome = scenario.Outcome()
    for tier in arguments.tier or TIERS:
        scenes = [scene for module in modules(tier) for scene in scenario.of(module)]
        chosen = [scene for scene in scenes if " ".join(arguments.words) in scene.name]
        if arguments.list:
            for scene in chosen:
                print(f"{tier}: {scene.name}{' (slow)' if scene.slow else ''}: {scene.property}")
            continue
        played = [scene for scene in chosen if arguments.slow or arguments.words or not scene.slow]
        if slow := [scene.name for scene in chosen if scene not in played]:
            outcome.left_out.append(f"{tier}: {', '.join(slow)}: take minutes, --slow plays them")
        if not played:
            continue
        try:
            PLAYERS[tier](played, arguments.programs.resolve(), outcome)
        except tools.Missing as missing:
            outcome.left_out.append(f"{tier}: {len(played)} scenarios: {missing}")
    for line in outcome.left_out:
        print(f"left out: {line}")
    for scene in outcome.failed:
        print(f"FAILED: {scene.name}: {scene.property}")
    return 1 if outcome.failed else 0


def modules(tier: str) -> list:
    """The modules whose scenarios make up a tier."""
    from scenarios import chart, failures, jobs, network, pods, scale, templates

    return {"chart": [templates], "control": [chart, jobs, failures, scale], "node": [pods, network]}[tier]


def play_chart(scenes: list, programs: Path, outcome: scenario.Outcome) -> None:
    """Needs no cluster."""
    for program in (tools.helm, tools.kubernetes):
        program()
    scenario.play(scenes, lambda scene: trial.alone(), outcome)


def play_control(scenes: list, programs: Path, outcome: scenario.Outcome) -> None:
    """A control plane for all scenarios, a namespace for each."""
    with session("control", programs) as shared:
        for path in sorted((tools.REPOSITORY / "crds").glob("*.yaml")):
            shared.cluster.kubectl("apply", "-f", path)
        kubelet = TestKubelet(shared.cluster.api_as(patience=60), programs)
        kubelet.add_node("node-0", gpus=8)
        try:
            scenario.play(scenes, functools.partial(trial.control, shared, kubelet), outcome)
        finally:
            kubelet.stop()


def play_node(scenes: list, programs: Path, outcome: scenario.Outcome) -> None:
    """A cluster with a node, and the images of the programs."""
    with session("node", programs) as shared:
        trial.load_images(shared)
        for path in sorted((tools.REPOSITORY / "crds").glob("*.yaml")):
            shared.cluster.kubectl("apply", "-f", path)
        scenario.play(scenes, functools.partial(trial.node, shared), outcome)


PLAYERS = {"chart": play_chart, "control": play_control, "node": play_node}


class session:
    """A cluster, and what all scenarios of a tier share, for the length of a `with`."""

    def __init__(self, kind: str, programs: Path):
        absent = [name for name in PROGRAMS if not (programs / name).exists()]
        if absent:
            raise tools.Missing(f"{programs} has no {', '.join(absent)}: build the programs first")
        self.kind, self.programs = kind, programs

    def __enter__(self) -> trial.Session:
        tools.helm()
        self.work = Path(tempfile.mkdtemp(prefix="proofmill-"))
        self.work.chmod(0o755)  # Pods that are not root read the store below.
        start = time.monotonic()
        made = cluster.up(self.work / f"cluster-{self.work.name[-8:]}", self.kind)
        print(f"the cluster is up, {time.monotonic() - start:.1f} s", flush=True)
        return trial.Session(made, self.programs, self.work)

    def __exit__(self, *_) -> None:
        for folder in self.work.glob("cluster-*"):
            cluster.down(folder)
        shutil.rmtree(self.work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
