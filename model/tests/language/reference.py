"""Writes fixtures/: tiny transformers, and what they compute in plain numpy, float64, loop by loop.

    python3 model/tests/language/reference.py

Written from the definitions (papers and the behaviour of Hugging Face transformers), not from Proofmill's code. Needs numpy.
Weights come from a hash of the tensor's name, so a fixture holds shapes and results only.
"""
import json, math, pathlib
import numpy as np


def weights(name, shape, scale, offset):
    seed = 2166136261
    for byte in name.encode():
        seed = ((seed ^ byte) * 16777619) & 0xFFFFFFFF
    index = np.arange(int(np.prod(shape)), dtype=np.uint64)
    h = (np.uint64(seed) ^ (index * np.uint64(0x9E3779B1))) & np.uint64(0xFFFFFFFF)
    h ^= h >> np.uint64(16)
    h = (h * np.uint64(0x85EBCA6B)) & np.uint64(0xFFFFFFFF)
    h ^= h >> np.uint64(13)
    uniform = h.astype(np.float64) / 2.0**32 - 0.5
    return (uniform * scale + offset).astype(np.float32).reshape(shape).astype(np.float64)


class Model:
    """Named tensors, made when first asked for."""

    def __init__(self):
        self.tensors = {}

    def get(self, name, shape, scale, offset=0.0):
        self.tensors[name] = {"shape": list(shape), "scale": scale, "offset": offset}
        return weights(name, shape, scale, offset)

    def matrix(self, name, out, inner):
        return self.get(name, (out, inner), 3.0 / math.sqrt(inner))

    def bias(self, name, n):
        return self.get(name, (n,), 0.2)

    def gain(self, name, n, offset=1.0):
        return self.get(name, (n,), 0.8, offset)


def softmax(row):
    e = np.exp(row - row.max())
    return e / e.sum()


def layer_norm(x, gain, bias, eps):
    mean = x.mean()
    return (x - mean) / math.sqrt(((x - mean) ** 2).mean() + eps) * gain + bias


def rms_norm(x, gain, eps):
    return x / math.sqrt((x * x).mean() + eps) * gain


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu(x):
    return np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x])


def silu(x):
    return x / (1 + np.exp(-x))


def rope(vector, position, base, factor=1.0):
    """Pairs (i, i + n/2), as Hugging Face's rotate_half."""
    half = len(vector) // 2
    out = np.empty_like(vector)
    for i in range(half):
        angle = position / factor * base ** (-2 * i / len(vector))
        a, b = vector[i], vector[i + half]
        out[i] = a * math.cos(angle) - b * math.sin(angle)
        out[i + half] = b * math.cos(angle) + a * math.sin(angle)
    return out


def attend(queries, keys, values, scale, sees):
    """[position][head][element]; several query heads share a key head."""
    share = len(queries[0]) // len(keys[0])
    out = []
    for q in range(len(queries)):
        heads = []
        for h in range(len(queries[0])):
            seen = [k for k in range(len(keys)) if sees(q, k)]
            p = softmax(np.array([queries[q][h] @ keys[k][h // share] * scale for k in seen]))
            heads.append(sum(w * values[k][h // share] for w, k in zip(p, seen)))
        out.append(np.concatenate(heads))
    return out


def heads(vector, count):
    return vector.reshape(count, -1)


def gpt2(tokens, c):
    m, d, out = Model(), c["n_embd"], []
    wte = m.get("transformer.wte.weight", (c["vocab_size"], d), 2.0)
    wpe = m.get("transformer.wpe.weight", (c["n_positions"], d), 0.5)
    x = [wte[t] + wpe[p] for p, t in enumerate(tokens)]
    conv = lambda name, n, k: (m.get(name + ".weight", (n, k), 3.0 / math.sqrt(n)), m.bias(name + ".bias", k))
    norm = lambda name: (m.gain(name + ".weight", d), m.bias(name + ".bias", d))
    for l in range(c["n_layer"]):
        p = f"transformer.h.{l}."
        g, b = norm(p + "ln_1")
        w, wb = conv(p + "attn.c_attn", d, 3 * d)
        qkv = [layer_norm(v, g, b, c["layer_norm_epsilon"]) @ w + wb for v in x]
        q, k, v = ([heads(r[i * d:(i + 1) * d], c["n_head"]) for r in qkv] for i in range(3))
        a = attend(q, k, v, 1 / math.sqrt(d // c["n_head"]), lambda i, j: j <= i)
        w, wb = conv(p + "attn.c_proj", d, d)
        x = [r + y @ w + wb for r, y in zip(x, a)]
        g, b = norm(p + "ln_2")
        w, wb = conv(p + "mlp.c_fc", d, 4 * d)
        w2, wb2 = conv(p + "mlp.c_proj", 4 * d, d)
        x = [r + gelu_tanh(layer_norm(r, g, b, c["layer_norm_epsilon"]) @ w + wb) @ w2 + wb2 for r in x]
    g, b = norm("transformer.ln_f")
    return m, [layer_norm(r, g, b, c["layer_norm_epsilon"]) @ wte.T for r in x]


def llama(tokens, c):
    m, d, eps = Model(), c["hidden_size"], c["rms_norm_eps"]
    n = d // c["num_attention_heads"]
    kv = n * c["num_key_value_heads"]
    embedding = m.get("model.embed_tokens.weight", (c["vocab_size"], d), 2.0)
    x = [embedding[t] for t in tokens]
    for l in range(c["num_hidden_layers"]):
        p = f"model.layers.{l}."
        g = m.gain(p + "input_layernorm.weight", d)
        wq, wk, wv = (m.matrix(p + f"self_attn.{s}_proj.weight", o, d) for s, o in (("q", d), ("k", kv), ("v", kv)))
        h = [rms_norm(r, g, eps) for r in x]
        turn = lambda w, count: [np.stack([rope(v, i, c["rope_theta"]) for v in heads(w @ r, count)]) for i, r in enumerate(h)]
        q, k = turn(wq, c["num_attention_heads"]), turn(wk, c["num_key_value_heads"])
        v = [heads(wv @ r, c["num_key_value_heads"]) for r in h]
        a = attend(q, k, v, 1 / math.sqrt(n), lambda i, j: j <= i)
        wo = m.matrix(p + "self_attn.o_proj.weight", d, d)
        x = [r + wo @ y for r, y in zip(x, a)]
        g = m.gain(p + "post_attention_layernorm.weight", d)
        gate, up, down = (m.matrix(p + f"mlp.{s}_proj.weight", *o) for s, o in (
            ("gate", (c["intermediate_size"], d)), ("up", (c["intermediate_size"], d)), ("down", (d, c["intermediate_size"]))))
        f = lambda y: down @ (silu(gate @ y) * (up @ y))
        x = [r + f(rms_norm(r, g, eps)) for r in x]
    g, head = m.gain("model.norm.weight", d), m.matrix("lm_head.weight", c["vocab_size"], d)
    return m, [head @ rms_norm(r, g, eps) for r in x]


def gemma3(tokens, c):
    m, d, eps, n = Model(), c["hidden_size"], c["rms_norm_eps"], c["head_dim"]
    embedding = m.get("model.embed_tokens.weight", (c["vocab_size"], d), 0.5)
    norm = lambda name, size: (lambda g: lambda r: rms_norm(r, 1 + g, eps))(m.gain(name + ".weight", size, 0.0))
    x = [embedding[t] * math.sqrt(d) for t in tokens]
    for l in range(c["num_hidden_layers"]):
        p = f"model.layers.{l}."
        local = c["layer_types"][l] == "sliding_attention"
        base = c["rope_local_base_freq"] if local else c["rope_theta"]
        before = norm(p + "input_layernorm", d)
        h = [before(r) for r in x]
        q_norm, k_norm = norm(p + "self_attn.q_norm", n), norm(p + "self_attn.k_norm", n)
        wq = m.matrix(p + "self_attn.q_proj.weight", c["num_attention_heads"] * n, d)
        wk, wv = (m.matrix(p + f"self_attn.{s}_proj.weight", c["num_key_value_heads"] * n, d) for s in "kv")
        turn = lambda w, f, count: [np.stack([rope(f(v), i, base) for v in heads(w @ r, count)]) for i, r in enumerate(h)]
        q, k = turn(wq, q_norm, c["num_attention_heads"]), turn(wk, k_norm, c["num_key_value_heads"])
        v = [heads(wv @ r, c["num_key_value_heads"]) for r in h]
        sees = lambda i, j: j <= i and (not local or i - j < c["sliding_window"])
        a = attend(q, k, v, c["query_pre_attn_scalar"] ** -0.5, sees)
        wo, after = m.matrix(p + "self_attn.o_proj.weight", d, c["num_attention_heads"] * n), norm(p + "post_attention_layernorm", d)
        x = [r + after(wo @ y) for r, y in zip(x, a)]
        before, after = norm(p + "pre_feedforward_layernorm", d), norm(p + "post_feedforward_layernorm", d)
        gate, up, down = (m.matrix(p + f"mlp.{s}_proj.weight", *o) for s, o in (
            ("gate", (c["intermediate_size"], d)), ("up", (c["intermediate_size"], d)), ("down", (d, c["intermediate_size"]))))
        f = lambda y: after(down @ (gelu_tanh(gate @ y) * (up @ y)))
        x = [r + f(before(r)) for r in x]
    last = norm("model.norm", d)
    return m, [embedding @ last(r) for r in x]


def bert(tokens, c):
    m, d, eps = Model(), c["hidden_size"], c["layer_norm_eps"]
    e = "embeddings."
    words = m.get(e + "word_embeddings.weight", (c["vocab_size"], d), 2.0)
    places = m.get(e + "position_embeddings.weight", (c["max_position_embeddings"], d), 0.5)
    kinds = m.get(e + "token_type_embeddings.weight", (c["type_vocab_size"], d), 0.5)
    norm = lambda name: (lambda g, b: lambda r: layer_norm(r, g, b, eps))(m.gain(name + ".weight", d), m.bias(name + ".bias", d))
    dense = lambda name, o, i: (lambda w, b: lambda r: w @ r + b)(m.matrix(name + ".weight", o, i), m.bias(name + ".bias", o))
    first = norm(e + "LayerNorm")
    x = [first(words[t] + places[p] + kinds[0]) for p, t in enumerate(tokens)]
    for l in range(c["num_hidden_layers"]):
        p = f"encoder.layer.{l}."
        q, k, v = ([heads(f(r), c["num_attention_heads"]) for r in x]
                   for f in (dense(p + f"attention.self.{s}", d, d) for s in ("query", "key", "value")))
        a = attend(q, k, v, 1 / math.sqrt(d // c["num_attention_heads"]), lambda i, j: True)
        out, after = dense(p + "attention.output.dense", d, d), norm(p + "attention.output.LayerNorm")
        x = [after(r + out(y)) for r, y in zip(x, a)]
        up, down = dense(p + "intermediate.dense", c["intermediate_size"], d), dense(p + "output.dense", d, c["intermediate_size"])
        after = norm(p + "output.LayerNorm")
        x = [after(r + down(gelu(up(r)))) for r in x]
    mean = sum(x) / len(x)
    return m, [mean / math.sqrt((mean * mean).sum())]


def main():
    folder = pathlib.Path(__file__).parent / "fixtures"
    folder.mkdir(exist_ok=True)
    cases = {
        "gpt2": (gpt2, {"model_type": "gpt2", "n_embd": 24, "n_head": 3, "n_layer": 2, "n_positions": 16, "vocab_size": 31,
                        "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new"}),
        # A vocabulary of more than one digit.
        "gpt2-digits": (gpt2, {"model_type": "gpt2", "n_embd": 16, "n_head": 2, "n_layer": 1, "n_positions": 8, "vocab_size": 300,
                               "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new"}),
        "llama": (llama, {"model_type": "llama", "hidden_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2,
                          "num_hidden_layers": 2, "intermediate_size": 40, "max_position_embeddings": 64, "vocab_size": 29,
                          "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": False}),
        "gemma3": (gemma3, {"model_type": "gemma3_text", "hidden_size": 20, "num_attention_heads": 4, "num_key_value_heads": 1,
                            "head_dim": 8, "num_hidden_layers": 3, "intermediate_size": 36, "max_position_embeddings": 64,
                            "vocab_size": 37, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0,
                            "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
                            "query_pre_attn_scalar": 16, "hidden_activation": "gelu_pytorch_tanh"}),
        "bert": (bert, {"model_type": "bert", "hidden_size": 24, "num_attention_heads": 3, "num_hidden_layers": 2,
                        "intermediate_size": 48, "max_position_embeddings": 32, "type_vocab_size": 2, "vocab_size": 33,
                        "layer_norm_eps": 1e-12, "hidden_act": "gelu"}),
    }
    for name, (function, config) in cases.items():
        tokens = [(7 * i * i + 3 * i + 5) % config["vocab_size"] for i in range(8)]
        model, rows = function(tokens, config)
        fixture = {"config": config, "tensors": model.tensors, "tokens": tokens,
                   "output": [[float(f"{v:.9g}") for v in row] for row in rows]}
        (folder / f"{name}.json").write_text(json.dumps(fixture) + "\n")


if __name__ == "__main__":
    main()
