"""A GPU for the node: NVIDIA's own container runtime, and in the driver's place the emulator that kernels are tested on."""

import concurrent.futures
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from . import node, tools
from .cluster import Cluster

RESOURCE = "nvidia.com/gpu"
RUNTIME_CLASS = "nvidia"
VERSION = "525.60.13"  # The first driver of CUDA 12.0, which is the emulator's version too.
# Where nodes of the Red Hat family have the driver, so that containers get it there: Debian's glibc does not look there by itself.
LIBRARIES = "/usr/lib64"


def attach(cluster: Cluster) -> None:
    """From then on the node has a GPU, which containers of the runtime class get that ask for one in their environment."""
    _configure(cluster.folder / "nvidia", tools.nvidia_container_runtime(), driver())
    kind = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": RUNTIME_CLASS}}
    cluster.api.create("/apis/node.k8s.io/v1/runtimeclasses", kind | {"handler": node.NVIDIA})
    # What a device plugin would have the kubelet say.
    cluster.api.patch(f"/api/v1/nodes/{node.NAME}/status", {"status": {"capacity": {RESOURCE: "1"}}}, "strategic")


def driver() -> Path:
    """The emulator as a library that needs what the driver's needs and no more; kept under the digest of its sources."""
    kernels = tools.REPOSITORY / "kernels/cuda"
    emulator = kernels / "emulator"
    sources = sorted([*emulator.glob("*.cpp"), *kernels.glob("*.cu")])
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        raise tools.Missing("the stand-in for a GPU's driver needs a C++ compiler: apt-get install g++")
    compile_ = [compiler, "-std=c++17", "-O2", "-fPIC", "-include", "cuda.h", "-I.", "-c", "-x", "c++"]
    names = [f"-l:{name}" for name in ("libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1")]
    link = [compiler, "-shared", "-s", "-static-libstdc++", "-static-libgcc", "-Wl,-soname,libcuda.so.1", "-Wl,--no-as-needed"]
    digest = hashlib.sha256(repr((compile_, link, names)).encode())
    for path in [*sources, *sorted([*emulator.glob("*.h"), *kernels.glob("*.cuh")])]:
        digest.update(path.read_bytes())
    library = tools.CACHE / f"emulator-{digest.hexdigest()[:16]}" / f"libcuda.so.{VERSION}"
    if library.exists():
        return library
    partial = library.parent.with_suffix(f".partial.{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        objects = [partial / f"{source.stem}.o" for source in sources]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            made = [
                pool.submit(subprocess.run, [*compile_, source, "-o", out], cwd=emulator, check=True)
                for source, out in zip(sources, objects, strict=True)
            ]
            for each in made:
                each.result()
        subprocess.run([*link, *objects, *names, "-o", partial / library.name], check=True)
        for path in objects:
            path.unlink()
        if not library.exists():  # Another run may have been faster.
            partial.rename(library.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return library


def _configure(folder: Path, programs: Path, library: Path) -> None:
    """The runtime's configuration, and what `nvidia-ctk cdi generate` would say of a node with such a driver."""
    folder.mkdir(exist_ok=True)

    def hook(*arguments: str) -> dict:
        program = "nvidia-cdi-hook"
        return {"hookName": "createContainer", "path": str(programs / program), "args": [program, *arguments]}

    mount = {
        "hostPath": str(library),
        "containerPath": f"{LIBRARIES}/{library.name}",
        "options": ["ro", "nosuid", "nodev", "rbind", "rprivate"],
    }
    hooks = [
        hook("create-symlinks", "--link", f"libcuda.so.1::{LIBRARIES}/libcuda.so"),
        hook("update-ldcache", "--folder", LIBRARIES),
    ]
    specification = {
        "cdiVersion": "0.5.0",
        "kind": RESOURCE,
        "devices": [{"name": "all", "containerEdits": {"env": ["PROOFMILL_EMULATOR_DEVICES=1"]}}],
        "containerEdits": {"env": ["NVIDIA_VISIBLE_DEVICES=void"], "mounts": [mount], "hooks": hooks},
    }
    (folder / "cdi").mkdir(exist_ok=True)
    (folder / "cdi/nvidia.json").write_text(json.dumps(specification))
    (folder / "nvidia-container-runtime").mkdir(exist_ok=True)
    (folder / "nvidia-container-runtime/config.toml").write_text(f"""[nvidia-container-runtime]
debug = "{folder}/runtime.log"
mode = "cdi"
runtimes = ["{tools.debian("runc")}"]
[nvidia-container-runtime.modes.cdi]
default-kind = "{RESOURCE}"
spec-dirs = ["{folder}/cdi"]
""")
    start = folder / "runtime"
    start.write_text(f"""#!/bin/sh
XDG_CONFIG_HOME={folder} exec {programs}/nvidia-container-runtime "$@"
""")
    start.chmod(0o755)
