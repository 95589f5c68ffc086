"""Proofmill's models in floating point against PyTorch and Hugging Face transformers.

    pip install torch transformers accelerate gguf safetensors numpy
    python3 tests/language/transformers.py                                    # tiny models of every architecture
    python3 tests/language/transformers.py --onnx                             # the same models as PyTorch exports them, proved
    python3 tests/language/transformers.py MODEL TEXT --windows 4 --context 512 [--tokenizer FILE]

The first form gives transformers the weights of model/tests/language/fixtures and compares the outputs that those files hold, which Proofmill's tests
compare with too, to 1e-4. The second exports them to ONNX (onnx and onnxscript besides), has `proofmill run` answer and prove each, and compares the answers, which are
of integers, with PyTorch's to a hundredth of their largest number. The third runs `proofmill eval` (target/release/proofmill, or $PROOFMILL) on a model and text, transformers on the
same windows, and compares the perplexities to 1e-4 of them. GGUF files are dequantised by transformers on its own.
"""

import argparse
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# This file has the name of the package.
sys.path = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).resolve().parent]

import torch  # noqa: E402
import transformers  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-4
INTEGER_TOLERANCE = 1e-2
PROGRAM = os.environ.get("PROOFMILL", str(ROOT / "target/release/proofmill"))


def hashed_weights():
    path = ROOT / "model/tests/language/reference.py"
    spec = importlib.util.spec_from_file_location("reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.weights


def build(fixture, weights):
    """The fixture's model, and whether it is an encoder."""
    config = transformers.AutoConfig.for_model(**fixture["config"], attn_implementation="eager")
    encoder = fixture["config"]["model_type"] == "bert"
    kind = transformers.AutoModel if encoder else transformers.AutoModelForCausalLM
    model = kind.from_config(config).double().eval()
    state = {name: torch.tensor(weights(name, t["shape"], t["scale"], t["offset"])) for name, t in fixture["tensors"].items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [name for name in missing if name != "lm_head.weight" and not name.startswith("pooler.")]
    assert not missing and not unexpected, (path.name, missing, unexpected)
    model.tie_weights()
    return model, encoder


def embedding(model, tokens, padding):
    """The mean of an encoder's last layer over the tokens, of length 1."""
    mask = torch.tensor([[1] * len(tokens) + [0] * padding])
    padded = torch.nn.functional.pad(tokens, (0, padding))[None]
    mean = model(input_ids=padded, attention_mask=mask).last_hidden_state[0, : len(tokens)].mean(0)
    return mean / mean.norm()


def tiny(path, weights):
    """The largest difference between a fixture's output and what transformers computes."""
    fixture = json.loads(path.read_text())
    model, encoder = build(fixture, weights)
    tokens = torch.tensor([fixture["tokens"]])
    with torch.no_grad():
        if encoder:
            # Alone, and with padding behind it.
            output = torch.stack([embedding(model, tokens[0], padding) for padding in (0, 3)])
        else:
            output = model(input_ids=tokens).logits[0]
    return (output - torch.tensor(fixture["output"], dtype=torch.float64)).abs().max().item()


class Exported(torch.nn.Module):
    """Tokens to logits, or to the last layer of an encoder, without caches."""

    def __init__(self, model, encoder):
        super().__init__()
        self.model, self.encoder = model, encoder

    def forward(self, tokens):
        return self.model(input_ids=tokens).last_hidden_state if self.encoder else self.model(input_ids=tokens, use_cache=False).logits


def exported(path, weights):
    """The largest difference between PyTorch's output and that of a proof of its ONNX export, over the largest number."""
    fixture = json.loads(path.read_text())
    model = Exported(*build(fixture, weights)).float()
    tokens = torch.tensor([fixture["tokens"]])
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        expected = model(tokens).flatten().double()
        torch.onnx.export(model, (tokens,), f"{folder}/model.onnx", input_names=["tokens"], opset_version=18, dynamo=True, external_data=False, verbose=False)
        Path(folder, "tokens.json").write_text(json.dumps({"input_data": tokens.tolist()}))
        spec = {"model": {"source": "model.onnx", "calibration": ["tokens.json"]}, "input": {"url": "tokens.json"}, "partition": {"subgraphs": 2}}
        job = {"apiVersion": "proofmill.dev/v1alpha1", "kind": "ProofJob", "metadata": {"name": "tiny"}, "spec": spec}
        Path(folder, "job.yaml").write_text(json.dumps(job))
        run = [PROGRAM, "run", f"{folder}/job.yaml", "--store", f"{folder}/store", "--output", f"{folder}/out", "--json"]
        subprocess.run(run, check=True, capture_output=True)
        verify = [PROGRAM, "verify", f"{folder}/out/proof.bin", "--model", f"{folder}/out/model.key", "--json"]
        output = json.loads(subprocess.run(verify, check=True, capture_output=True, text=True).stdout)["inferences"][0]["outputs"][0]
    proved = torch.tensor(output["integers"], dtype=torch.float64) / 2 ** output["exponent"]
    return ((proved - expected).abs().max() / expected.abs().max()).item()


def load(model):
    if model.suffix == ".gguf":
        where = {"pretrained_model_name_or_path": str(model.parent), "gguf_file": model.name}
    else:
        where = {"pretrained_model_name_or_path": str(model)}
    return transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32, attn_implementation="eager").eval(), where


def real(given):
    command = [PROGRAM, "eval", str(given.model), "--text", str(given.text), "--context", str(given.context), "--windows", str(given.windows), "--json"]
    command += ["--tokenizer", str(given.tokenizer)] if given.tokenizer else []
    ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    model, where = load(given.model)
    if given.tokenizer or (given.model / "tokenizer.json").is_file():
        library = Tokenizer.from_file(str(given.tokenizer or given.model / "tokenizer.json"))
        library.no_truncation()
        tokens = library.encode(given.text.read_bytes().decode(), add_special_tokens=False).ids
        bos = model.config.bos_token_id if "bos_token_id" in (json.loads((given.model / "config.json").read_text())) else None
    else:
        library = transformers.AutoTokenizer.from_pretrained(**where)
        tokens, bos = library.encode(given.text.read_bytes().decode(), add_special_tokens=False), library.bos_token_id
    begin = [] if bos is None else [bos]
    fresh = given.context - len(begin)
    lost, count = 0.0, 0
    for n in range(given.windows):
        window = torch.tensor(begin + tokens[n * fresh : (n + 1) * fresh])
        with torch.no_grad():
            logits = model(input_ids=window[None, :-1]).logits[0].double()
        lost += torch.nn.functional.cross_entropy(logits, window[1:], reduction="sum").item()
        count += len(window) - 1
    theirs = math.exp(lost / count)
    difference = abs(ours["perplexity"]["float"] / theirs - 1)
    print(f"{given.model}: {count} tokens, transformers {theirs:.5f}, proofmill {ours['perplexity']['float']:.5f} (integers {ours['perplexity']['integer']:.5f})")
    assert count == ours["perplexity"]["tokens"]
    return difference


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", type=Path, nargs="?")
    arguments.add_argument("text", type=Path, nargs="?")
    arguments.add_argument("--onnx", action="store_true")
    arguments.add_argument("--windows", type=int, default=4)
    arguments.add_argument("--context", type=int, default=512)
    arguments.add_argument("--tokenizer", type=Path)
    given = arguments.parse_args()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    fixtures = sorted((ROOT / "model/tests/language/fixtures").glob("*.json"))
    if given.model:
        differences = {str(given.model): real(given)}
    else:
        weights, compare = hashed_weights(), exported if given.onnx else tiny
        differences = {path.stem: compare(path, weights) for path in fixtures}
    for name, difference in differences.items():
        print(f"{name}: {difference:.1e}")
    tolerance = INTEGER_TOLERANCE if given.onnx else TOLERANCE
    sys.exit(any(not difference <= tolerance for difference in differences.values()))
