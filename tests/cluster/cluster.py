#!/usr/bin/env python3
"""Brings a real Kubernetes up on this machine, for tests, and takes it down: no registry, no daemon, no systemd.

tests/cluster/cluster.py up control       the control plane alone, on 127.0.0.1; needs no root
tests/cluster/cluster.py up node          and a node that runs pods, in namespaces of its own; needs root
tests/cluster/cluster.py down             ends exactly what `up` started
tests/cluster/cluster.py kubectl ARGS..   the cluster's administrator
tests/cluster/cluster.py load IMAGE.tar   imports an OCI archive into the node
tests/cluster/cluster.py inside CMD..     runs a program in the node's namespaces
tests/cluster/cluster.py logs             the end of every log
tests/cluster/cluster.py build            builds what clusters are made of, as the others do when it is not there
"""

import argparse
import os
import sys
import time
from pathlib import Path

from harness import cluster, node, nvidia, tools

DEFAULT = Path(f"/tmp/proofmill-cluster-{os.getuid()}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DEFAULT, help=f"where the cluster lives, {DEFAULT} by default")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up").add_argument("kind", choices=["control", "node"])
    commands.add_parser("build")
    commands.add_parser("down")
    commands.add_parser("logs")
    commands.add_parser("kubectl").add_argument("arguments", nargs=argparse.REMAINDER)
    commands.add_parser("load").add_argument("archive", type=Path)
    commands.add_parser("inside").add_argument("arguments", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()

    try:
        if arguments.command == "build":
            for made in (tools.helm, tools.kubernetes, tools.nvidia_container_runtime, nvidia.driver):
                print(made())
            return 0
        if arguments.command == "up":
            if folder.exists():
                parser.error(f"{folder} exists: a cluster is up there, or `down` was never called")
            start = time.monotonic()
            made = cluster.up(folder, arguments.kind)
            print(f"up in {time.monotonic() - start:.1f} s; export KUBECONFIG={made.kubeconfig}")
            return 0
    except tools.Missing as missing:
        parser.error(str(missing))
    if arguments.command == "down":
        cluster.down(folder)
        return 0
    if not folder.exists():
        parser.error(f"no cluster in {folder}")
    if arguments.command == "logs":
        cluster.show_logs(folder, lines=40)
    elif arguments.command == "kubectl":
        kubectl = str(tools.kubernetes() / "kubectl")
        os.execve(
            kubectl, [kubectl, *arguments.arguments], os.environ | {"KUBECONFIG": str(cluster.find(folder).kubeconfig)}
        )
    elif arguments.command == "load":
        cluster.find(folder).load(arguments.archive)
    else:
        command = [*node.enter(folder), *arguments.arguments]
        os.execv(command[0], command)
    return 0


if __name__ == "__main__":
    sys.exit(main())
