#!/usr/bin/env python3
"""Makes the images from built programs, without a daemon: `images/build.py target/release OUT`."""

import argparse
import contextlib
import dataclasses
import subprocess
import tempfile
from pathlib import Path

import oci

HERE = Path(__file__).resolve().parent
USER = "65532:65532"
EXAMPLES = f"{HERE.parent}/examples=/usr/share/proofmill/examples"


@dataclasses.dataclass(frozen=True)
class Image:
    """An image: target in the Dockerfile, program, what rootfs.sh is told besides, and environment, as the Dockerfile has it."""

    target: str
    program: str
    options: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()


NVIDIA = (
    "NVIDIA_VISIBLE_DEVICES=all",
    "NVIDIA_DRIVER_CAPABILITIES=compute,utility",
    "NVIDIA_REQUIRE_CUDA=cuda>=12.0",
    "LD_LIBRARY_PATH=/usr/local/nvidia/lib64:/usr/lib64",
)
IMAGES = {
    "proofmill-operator": Image("operator", "proofmill-operator"),
    "proofmill-worker": Image("worker", "prover-worker", (), (EXAMPLES,)),
    "proofmill-worker-cuda": Image("worker-cuda", "prover-worker", ("--nvidia",), (EXAMPLES,), NVIDIA),
}


def build(image: str, programs: Path, out: Path, name: str) -> Path:
    """Writes OUT/IMAGE.tar, an OCI archive, and returns its path; NAME is what a node knows the image by."""
    archive = out / f"{image}.tar"
    with _build_stage(image, programs) as (root, _):
        made = IMAGES[image]
        oci.write(archive, name, root, [f"/usr/bin/{made.program}"], USER, made.environment)
    return archive


def build_with_buildah(image: str, programs: Path, out: Path, name: str) -> Path:
    """The same by the last stages of the Dockerfile, which are given these programs for what its first stage makes."""
    archive = out / f"{image}.tar"
    archive.unlink(missing_ok=True)
    with _build_stage(image, programs) as (_, stage), tempfile.TemporaryDirectory() as store:
        # A store of its own: what the user has built with buildah stays as it is.
        buildah = ["buildah", "--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", "vfs"]
        source = ["--file", HERE / "Dockerfile", "--target", IMAGES[image].target, "--build-context", f"build={stage}"]
        made = [*buildah, "build", "--quiet", "--timestamp", "0", "--tag", name, *source, stage]
        for command in (made, [*buildah, "push", "--quiet", "--disable-compression", name, f"oci-archive:{archive}:{name}"]):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return archive


@contextlib.contextmanager
def _build_stage(image: str, programs: Path):
    """What the Dockerfile's first stage leaves behind: the root filesystem of an image, and the folder that it is in."""
    made = IMAGES[image]
    with tempfile.TemporaryDirectory() as stage:
        root = Path(stage) / "rootfs" / made.target
        subprocess.run([HERE / "rootfs.sh", *made.options, root, programs / made.program, *made.folders], check=True)
        yield root, Path(stage)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", type=Path, help="folder of the built programs")
    parser.add_argument("out", type=Path, help="folder for the archives")
    parser.add_argument("--registry", default="localhost")
    parser.add_argument("--tag", default="0.1.0")
    parser.add_argument("--buildah", action="store_true", help="by the last stages of the Dockerfile; needs buildah")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    make = build_with_buildah if arguments.buildah else build
    for image in IMAGES:
        print(make(image, arguments.programs, arguments.out, f"{arguments.registry}/{image}:{arguments.tag}"))


if __name__ == "__main__":
    main()
