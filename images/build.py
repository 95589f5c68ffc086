#!/usr/bin/env python3
"""Makes the images from built programs, without a daemon: `images/build.py target/release OUT`."""

import argparse
import subprocess
import tempfile
from pathlib import Path

import oci

HERE = Path(__file__).resolve().parent
USER = "65532:65532"
# Image, program, and folders that it carries.
IMAGES = {
    "proofmill-operator": ("proofmill-operator", []),
    "proofmill-worker": ("prover-worker", [f"{HERE.parent}/examples=/usr/share/proofmill/examples"]),
}


def build(image: str, programs: Path, out: Path, name: str) -> Path:
    """Writes OUT/IMAGE.tar and returns its path; NAME is what a node knows the image by."""
    program, folders = IMAGES[image]
    archive = out / f"{image}.tar"
    with tempfile.TemporaryDirectory() as root:
        subprocess.run([HERE / "rootfs.sh", root, programs / program, *folders], check=True)
        oci.write(archive, name, Path(root), [f"/usr/bin/{program}"], USER)
    return archive


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", type=Path, help="folder of the built programs")
    parser.add_argument("out", type=Path, help="folder for the archives")
    parser.add_argument("--registry", default="localhost")
    parser.add_argument("--tag", default="0.1.0")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for image in IMAGES:
        print(build(image, arguments.programs, arguments.out, f"{arguments.registry}/{image}:{arguments.tag}"))


if __name__ == "__main__":
    main()
