"""Layers that the transformers of the examples share: weights by name, matrices `[inputs, outputs]`."""

import jax.numpy as jnp


def linear(weights, name, x):
    return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]


def norm(weights, name, x):
    centred = x - x.mean(-1, keepdims=True)
    deviation = jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def identity_norm(weights, name, width):
    """A norm as training begins."""
    weights[f"{name}.weight"] = jnp.ones(width, jnp.float32)
    weights[f"{name}.bias"] = jnp.zeros(width, jnp.float32)
