#!/usr/bin/env python3
"""Makes the images from built programs, without a daemon: `images/build.py target/release OUT`."""

import argparse
import contextlib
import subprocess
import tempfile
from pathlib import Path

import oci

HERE = Path(__file__).resolve().parent
USER = "65532:65532"
# Image, its target in the Dockerfile, program, and folders that it carries.
IMAGES = {
    "proofmill-operator": ("operator", "proofmill-operator", []),
    "proofmill-worker": ("worker", "prover-worker", [f"{HERE.parent}/examples=/usr/share/proofmill/examples"]),
}


def build(image: str, programs: Path, out: Path, name: str) -> Path:
    """Writes OUT/IMAGE.tar, an OCI archive, and returns its path; NAME is what a node knows the image by."""
    archive = out / f"{image}.tar"
    with _build_stage(image, programs) as (root, _):
        oci.write(archive, name, root, [f"/usr/bin/{IMAGES[image][1]}"], USER)
    return archive


def build_with_buildah(image: str, programs: Path, out: Path, name: str) -> Path:
    """The same by the last stages of the Dockerfile, which are given these programs for what its first stage makes."""
    archive = out / f"{image}.tar"
    archive.unlink(missing_ok=True)
    with _build_stage(image, programs) as (_, stage), tempfile.TemporaryDirectory() as store:
        # A store of its own: what the user has built with buildah stays as it is.
        buildah = ["buildah", "--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", "vfs"]
        source = ["--file", HERE / "Dockerfile", "--target", IMAGES[image][0], "--build-context", f"build={stage}"]
        made = [*buildah, "build", "--quiet", "--timestamp", "0", "--tag", name, *source, stage]
        for command in (made, [*buildah, "push", "--quiet", "--disable-compression", name, f"oci-archive:{archive}:{name}"]):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return archive


@contextlib.contextmanager
def _build_stage(image: str, programs: Path):
    """What the Dockerfile's first stage leaves behind: the root filesystem of an image, and the folder that it is in."""
    target, program, folders = IMAGES[image]
    with tempfile.TemporaryDirectory() as stage:
        root = Path(stage) / "rootfs" / target
        subprocess.run([HERE / "rootfs.sh", root, programs / program, *folders], check=True)
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
