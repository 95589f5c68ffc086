"""Trains examples/adder: a small GPT-2 that adds numbers below 100, digit by digit: "27+35=" goes on with "62".

    pip install -r requirements.txt
    python adder.py

Two layers, width 48, 4 heads, GELU perceptron, layer norm first, 13 tokens; files as Hugging Face lays them out. A tenth of the
10,000 sums is held out of training.
"""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

import layers

SEED = 3
FOLDER = Path(__file__).parents[1] / "adder"
LAYERS, WIDTH, HEADS, LENGTH = 2, 48, 4, 9
TOKENS = [*"0123456789+=", "<end>"]
END = TOKENS.index("<end>")
STEPS, BATCH, RATE = 6000, 512, 3e-3


def sums() -> tuple[np.ndarray, np.ndarray]:
    """Every sum as [10,000, LENGTH + 1] tokens, padded with the end, and where its answer begins."""
    rows, starts = [], []
    for a in range(100):
        for b in range(100):
            prompt = f"{a}+{b}="
            tokens = [TOKENS.index(c) for c in f"{prompt}{a + b}"]
            rows.append(tokens + [END] * (LENGTH + 1 - len(tokens)))
            starts.append(len(prompt))
    return np.array(rows), np.array(starts)


def initial(rng: np.random.Generator) -> dict[str, jnp.ndarray]:
    """As GPT-2 begins: normal with deviation 0.02, less where layers add up."""
    weights = {}

    def normal(name, shape, deviation=0.02):
        weights[name] = jnp.asarray(rng.standard_normal(shape) * deviation, jnp.float32)

    def linear(name, inputs, outputs, deviation=0.02):
        normal(f"{name}.weight", (inputs, outputs), deviation)
        weights[f"{name}.bias"] = jnp.zeros(outputs, jnp.float32)

    normal("wte.weight", (len(TOKENS), WIDTH))
    normal("wpe.weight", (LENGTH, WIDTH))
    for layer in range(LAYERS):
        layers.identity_norm(weights, f"h.{layer}.ln_1", WIDTH)
        linear(f"h.{layer}.attn.c_attn", WIDTH, 3 * WIDTH)
        linear(f"h.{layer}.attn.c_proj", WIDTH, WIDTH, 0.02 / np.sqrt(2 * LAYERS))
        layers.identity_norm(weights, f"h.{layer}.ln_2", WIDTH)
        linear(f"h.{layer}.mlp.c_fc", WIDTH, 4 * WIDTH)
        linear(f"h.{layer}.mlp.c_proj", 4 * WIDTH, WIDTH, 0.02 / np.sqrt(2 * LAYERS))
    layers.identity_norm(weights, "ln_f", WIDTH)
    return weights


def forward(w, tokens):
    """Logits of the next token at every position."""

    linear, norm = partial(layers.linear, w), partial(layers.norm, w)

    n, length = tokens.shape
    seen = jnp.tril(jnp.ones((length, length), bool))
    x = w["wte.weight"][tokens] + w["wpe.weight"][:length]
    for layer in range(LAYERS):
        qkv = linear(f"h.{layer}.attn.c_attn", norm(f"h.{layer}.ln_1", x))
        q, k, v = qkv.reshape(n, length, 3, HEADS, WIDTH // HEADS).transpose(2, 0, 3, 1, 4)
        scores = q @ k.swapaxes(-1, -2) * (WIDTH // HEADS) ** -0.5
        mixed = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf)) @ v
        x = x + linear(f"h.{layer}.attn.c_proj", mixed.transpose(0, 2, 1, 3).reshape(n, length, WIDTH))
        hidden = jax.nn.gelu(linear(f"h.{layer}.mlp.c_fc", norm(f"h.{layer}.ln_2", x)), approximate=True)
        x = x + linear(f"h.{layer}.mlp.c_proj", hidden)
    return norm("ln_f", x) @ w["wte.weight"].T


def answered(starts):
    """Positions whose next token belongs to the answer, its end included: those of a sum of three digits at most."""
    positions = np.arange(LENGTH)
    return (positions >= starts[:, None] - 1) & (positions < starts[:, None] + 3)


@jax.jit
def step(weights, moments, rate, count, rows, mask):
    """One step of Adam."""

    def loss(w):
        logits = jax.nn.log_softmax(forward(w, rows[:, :-1]))
        return -(jnp.take_along_axis(logits, rows[:, 1:, None], -1)[..., 0] * mask).sum() / mask.sum()

    value, gradient = jax.value_and_grad(loss)(weights)
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], gradient)
    second = jax.tree.map(lambda m, g: 0.98 * m + 0.02 * g * g, moments[1], gradient)
    scale = rate * jnp.sqrt(1 - 0.98**count) / (1 - 0.9**count)
    weights = jax.tree.map(lambda w, m, s: w - scale * m / (jnp.sqrt(s) + 1e-8), weights, first, second)
    return weights, (first, second), value


def accuracy(weights, rows, starts) -> float:
    """Share of the sums whose every token is the most likely one."""
    chosen = np.asarray(forward(weights, rows[:, :-1]).argmax(-1))
    return float(((chosen == rows[:, 1:]) | ~answered(starts)).all(1).mean())


def train(rows, starts, training) -> dict[str, jnp.ndarray]:
    rng = np.random.default_rng(SEED)
    weights = initial(rng)
    zeros = jax.tree.map(jnp.zeros_like, weights)
    moments = (zeros, zeros)
    mask = answered(starts)
    for count in range(1, STEPS + 1):
        batch = rng.choice(training, BATCH)
        rate = RATE * min(1.0, count / 200) * 0.5 * (1 + np.cos(np.pi * count / STEPS))
        weights, moments, value = step(weights, moments, rate, count, rows[batch], mask[batch])
        if count % 500 == 0:
            print(f"step {count}: loss {value:.5f}", flush=True)
    return weights


def export(weights) -> None:
    """`config.json`, `model.safetensors`, `tokenizer.json`."""
    FOLDER.mkdir(exist_ok=True)
    config = {
        "model_type": "gpt2", "vocab_size": len(TOKENS), "n_positions": LENGTH, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS,
        "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True, "eos_token_id": END,
    }
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "pre_tokenizer": None, "post_processor": None,
        "added_tokens": [{"id": END, "content": "<end>", "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True}],
        "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {token: index for index, token in enumerate(TOKENS)}, "merges": []},
    }
    for name, value in [("config", config), ("tokenizer", tokenizer)]:
        (FOLDER / f"{name}.json").write_text(json.dumps(value, indent=1) + "\n")
    save_file({name: np.ascontiguousarray(value) for name, value in weights.items()}, FOLDER / "model.safetensors")


def calibration(rows) -> None:
    """Sums as one text, each as long as the sequences that the model is set up for."""
    text = "".join("".join(TOKENS[token] for token in row[:LENGTH]) for row in rows)
    (FOLDER / "calibration.txt").write_text(text + "\n")


def main() -> None:
    rows, starts = sums()
    order = np.random.default_rng(SEED).permutation(len(rows))
    training, held_out = order[1000:], order[:1000]
    weights = train(rows, starts, training)
    export(weights)
    calibration(rows[training[:32]])
    for name, part in [("9,000 sums of training", training), ("1,000 sums held out", held_out)]:
        print(f"accuracy on the {name}: {accuracy(weights, rows[part], starts[part]):.2%}")


if __name__ == "__main__":
    main()
