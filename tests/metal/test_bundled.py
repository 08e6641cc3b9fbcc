"""The bundled model in fused launches, on the CPU, against the engine's float64 backend."""

from __future__ import annotations

from functools import partial

import mlx.core as mx
import numpy as np
import pytest

from flash_engine import bundled
from flash_engine.backends.reference import ReferenceBackend
from flash_engine.checkpoint import Checkpoint
from flash_metal.decoder import Decoder, Layer, Weights
from flash_metal.launches import Heads, Matrix, Tiling
from flash_metal.registry import Registry
from offmac import host

pytestmark = [
    pytest.mark.bundled,
    pytest.mark.skipif(bool(host.MISSING), reason=host.MISSING),
]
PROMPT = [1097, 262]


def fused(checkpoint: Checkpoint) -> Decoder:
    config = checkpoint.config
    heads = Heads(config.num_heads, config.num_kv_heads, config.head_dim)

    def matrix(*names: str) -> Matrix:
        parts = [checkpoint.matrix(name) for name in names]
        weight, scales, biases = (
            mx.array(np.concatenate([getattr(part, field) for part in parts]))
            for field in ("weight", "scales", "biases")
        )
        return Matrix(weight, scales, biases, 4, weight.shape[1] * 8 // scales.shape[1])

    def vector(name: str) -> mx.array:
        return mx.array(checkpoint.vector(f"{name}.weight")).astype(mx.float16)

    def layer(at: str) -> Layer:
        return Layer(
            attention_norm=vector(f"{at}.input_layernorm"),
            qkv=matrix(*(f"{at}.self_attn.{part}_proj" for part in "qkv")),
            output=matrix(f"{at}.self_attn.o_proj"),
            inner_norm=vector(f"{at}.post_attention_layernorm"),
            gate_up=matrix(f"{at}.mlp.gate_proj", f"{at}.mlp.up_proj"),
            down=matrix(f"{at}.mlp.down_proj"),
        )

    frequency = config.rope.frequencies(heads.size)
    embedding = matrix("model.embed_tokens")
    layers = tuple(layer(f"model.layers.{i}") for i in range(config.num_layers))
    return Decoder(
        Registry(partial(host.kernel, orders=1)),
        Tiling(),
        heads,
        Weights(embedding, layers, vector("model.norm"), embedding),
        frequency=mx.array(frequency.astype(np.float32)),
        eps=config.norm_eps,
    )


def test_greedy() -> None:
    checkpoint = Checkpoint(bundled.locate("flash-coder"))
    decoder = fused(checkpoint)
    reference = ReferenceBackend.load(checkpoint, capacity=64)
    cache, exact_cache = decoder.new_cache(64), reference.new_cache()
    tokens, position = PROMPT, 0
    for _ in range(2):
        exact = reference.forward(tokens, exact_cache, logits=1)[0]
        at = mx.array([position])
        logits, rows = decoder(mx.array(tokens), cache, at, logits=1)
        cache, _ = decoder.place(cache, rows, at)
        got = np.array(logits)[0]
        assert np.abs(got - exact).max() < 0.02 * np.abs(exact).max()
        assert got.argmax() == exact.argmax()
        position += len(tokens)
        tokens = [int(got.argmax())]
