#!/usr/bin/env python3
"""Compiles the kernels beside this file into images/, without CUDA and without a GPU.

    build.py            compiles what has changed, writes images/ and its manifest
    build.py --check    compiles everything; fails if it is not bit for bit what is committed
    build.py --fetch    fetches the compiler, unless it is there
    build.py --report   registers, shared memory and stack of every kernel, from the manifest

Fails on register spills. The compiler, a wheel of 86 MB, is fetched from PyPI by its hash into ~/.cache/proofmill; exit code 3 says
that it cannot be had.
"""

import ctypes
import glob
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import zlib

HERE = pathlib.Path(__file__).resolve().parent
IMAGES = HERE / "images"
MANIFEST = IMAGES / "manifest.json"
REQUIREMENTS = HERE / "requirements.txt"
# 80: A100 and what followed it until Hopper; 90: H100, H200; 100: B200, B300; 120: RTX 50. PTX is for whatever comes later.
TARGETS = ["sm_80", "sm_90", "sm_100", "sm_120", "compute_80"]
OPTIONS = ["--std=c++17", "--ptxas-options=-v"]
UNAVAILABLE = 3


class Compiler:
    """NVRTC through ctypes."""

    def __init__(self, library):
        self.library = ctypes.CDLL(library)
        self.library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def version(self):
        major, minor = ctypes.c_int(), ctypes.c_int()
        self.library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        return f"nvrtc {major.value}.{minor.value}"

    def compile(self, path, target):
        """The image of a source for a target, and the compiler's log."""
        program = ctypes.c_void_p()
        options = [f"--gpu-architecture={target}", f"--include-path={HERE}", *OPTIONS]
        encoded = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
        create = self.library.nvrtcCreateProgram
        create(ctypes.byref(program), path.read_bytes(), path.name.encode(), 0, None, None)
        code = self.library.nvrtcCompileProgram(program, len(options), encoded)
        log = self.output(program, "ProgramLog").rstrip(b"\0").decode()
        if code:
            sys.exit(f"{path.name} for {target}: {self.library.nvrtcGetErrorString(code).decode()}\n{log}")
        # The driver takes PTX as a string that ends with one zero.
        image = self.output(program, "CUBIN") if target.startswith("sm_") else self.output(program, "PTX").rstrip(b"\0") + b"\0"
        self.library.nvrtcDestroyProgram(ctypes.byref(program))
        return image, log

    def output(self, program, kind):
        size = ctypes.c_size_t()
        getattr(self.library, f"nvrtcGet{kind}Size")(program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        getattr(self.library, f"nvrtcGet{kind}")(program, buffer)
        return buffer.raw


def fetch():
    """The compiler's library, installed on first use."""
    key = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    place = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "proofmill" / f"nvrtc-{key}"
    pattern = str(place / "nvidia/cuda_nvrtc/lib/libnvrtc.so.*")
    if not glob.glob(pattern):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]
        pip += ["--root-user-action=ignore", "--require-hashes", "--target", str(place), "--requirement", str(REQUIREMENTS)]
        if subprocess.run(pip).returncode or not glob.glob(pattern):
            print("the compiler of requirements.txt cannot be installed here", file=sys.stderr)
            sys.exit(UNAVAILABLE)
    return Compiler(glob.glob(pattern)[0])


def digest(path):
    """Of a source and of every header: a change of any changes the image."""
    sha = hashlib.sha256()
    for part in [path, *sorted(HERE.glob("*.cuh"))]:
        sha.update(part.name.encode() + b"\0" + part.read_bytes() + b"\0")
    return sha.hexdigest()


def resources(log):
    """What each kernel takes, from the assembler's log."""
    kernels, current = {}, None
    for line in log.splitlines():
        if match := re.search(r"Compiling entry function '(\w+)'", line):
            current = kernels.setdefault(match[1], {})
        elif current is None:
            continue
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            current["stack"], current["spilled"] = int(match[1]), int(match[2]) + int(match[3])
        elif match := re.search(r"Used (\d+) registers", line):
            current["registers"] = int(match[1])
            shared = re.search(r"(\d+) bytes smem", line)
            current["shared"] = int(shared[1]) if shared else 0
    return dict(sorted(kernels.items()))


def build(compiler, path):
    """A module's entry in the manifest, and its images by file name."""
    entry, files = {"source": digest(path), "images": {}, "kernels": {}}, {}
    for target in TARGETS:
        image, log = compiler.compile(path, target)
        files[f"{path.stem}.{target}.z"] = image
        entry["images"][target] = hashlib.sha256(image).hexdigest()
        if target.startswith("sm_"):
            entry["kernels"][target] = resources(log)
    return entry, files


def report(manifest):
    spilled = []
    for name, module in manifest["modules"].items():
        for target, kernels in module["kernels"].items():
            for kernel, used in kernels.items():
                if "--report" in sys.argv:
                    print(f"{name:10} {target:7} {kernel:24} {used['registers']:3} registers, {used['shared']:5} shared, {used['stack']:4} stack")
                if used["spilled"]:
                    spilled.append(f"{kernel} for {target} spills {used['spilled']} bytes")
    if spilled:
        sys.exit("\n".join(spilled))


def stored(name):
    path = IMAGES / name
    return zlib.decompress(path.read_bytes()) if path.exists() else None


def main():
    old = json.loads(MANIFEST.read_text()) if MANIFEST.exists() else {"modules": {}}
    if "--report" in sys.argv:
        return report(old)
    compiler, check = fetch(), "--check" in sys.argv
    if "--fetch" in sys.argv:
        return None
    manifest = {"compiler": compiler.version(), "options": OPTIONS, "modules": {}}
    current = all(old.get(key) == manifest[key] for key in ("compiler", "options"))
    differing, kept = [], {MANIFEST.name}
    for path in sorted(HERE.glob("*.cu")):
        names = [f"{path.stem}.{target}.z" for target in TARGETS]
        entry, files = old["modules"].get(path.stem), {}
        if check or not current or not entry or entry["source"] != digest(path) or any(stored(name) is None for name in names):
            entry, files = build(compiler, path)
        manifest["modules"][path.stem] = entry
        kept.update(names)
        for name, image in files.items():
            if stored(name) != image:
                differing.append(name)
                if not check:
                    IMAGES.mkdir(exist_ok=True)
                    (IMAGES / name).write_bytes(zlib.compress(image, 9))
    strangers = [path for path in IMAGES.glob("*") if path.name not in kept]
    if check:
        if manifest != old:
            differing.append(MANIFEST.name)
        differing += [path.name for path in strangers]
        if differing:
            sys.exit("not what the sources compile to: " + ", ".join(differing) + "; run kernels/cuda/build.py")
        print(f"{len(kept) - 1} images are what the sources compile to")
    else:
        MANIFEST.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        for path in strangers:
            path.unlink()
        print(f"{len(differing)} images changed; {sum(path.stat().st_size for path in IMAGES.iterdir())} bytes in all")
    report(manifest)


main()
