"""A checkpoint as the fused decoder (flash_metal.decoder): whether it can be one, its weights, sizes and tiling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass
from functools import partial

import mlx.core as mx
import numpy as np

from flash_engine.checkpoint import Checkpoint, QuantizedMatrix
from flash_engine.config import ModelConfig
from flash_metal import tilings, tuning, verdict
from flash_metal.decoder import Decoder, Layer, Weights
from flash_metal.launches import Heads, Matrix, Tiling
from flash_metal.registry import Registry, Tile
from flash_metal.tilings import Sizes

_MULTIPLE = 16
"""The rows of every matrix are shared by threadgroups that make so many."""


def obstacle(checkpoint: Checkpoint) -> str:
    """Why the fused decoder cannot compute this model: the field or tensor; empty if it can."""
    config = checkpoint.config
    wrong = {
        "norm": config.norm != "rms",
        "activation": config.activation != "silu",
        "gated_mlp": not config.gated_mlp,
        "output_bias": config.output_bias,
        "mlp_bias": config.mlp_bias,
        "moe": config.moe is not None,
        "mla": config.mla is not None,
        "sliding_windows": any(config.sliding_windows),
        "embedding_multiplier": config.embedding_multiplier != 1,
        "rope": config.rope.magnitude != 1,
        "attention_multiplier": config.attention_scale != config.head_dim**-0.5,
        "head_dim": config.head_dim not in (64, 96, 128),
        "vocab_size": config.vocab_size % _MULTIPLE != 0,
        "hidden_size": config.hidden_size % _MULTIPLE != 0,
        "intermediate_size": config.intermediate_size % _MULTIPLE != 0,
    }
    fields = [field for field, is_wrong in wrong.items() if is_wrong]
    if fields:
        value = getattr(config, fields[0])
        return type(value).__name__ if is_dataclass(value) else f"{fields[0]} = {value}"
    for names in _matrices(config):
        kinds = {checkpoint.quantization(name) for name in names}
        if None in kinds:
            return f"{names[0]} is not quantized"
        if len(kinds) > 1:
            return f"{', '.join(names)} are not quantized alike"
    return ""


def make_decoder(config: ModelConfig, weights: Weights, kernels: Registry, tiling: Tiling) -> Decoder:
    """The decoder of a model that has no obstacle."""
    return Decoder(
        kernels,
        tiling,
        _heads(config),
        weights,
        frequency=copied(mx.array(config.rope.frequencies(config.head_dim).astype(np.float32))),
        eps=config.norm_eps,
    )


def _heads(config: ModelConfig) -> Heads:
    return Heads(config.num_heads, config.num_kv_heads, config.head_dim)


def sizes(checkpoint: Checkpoint) -> Sizes:
    """Those of a model that has no obstacle."""
    config = checkpoint.config
    kind = checkpoint.quantization("model.layers.0.mlp.down_proj")
    assert kind is not None
    return Sizes(
        _heads(config),
        config.hidden_size,
        config.intermediate_size,
        config.vocab_size,
        config.num_layers,
        kind.bits,
        kind.group_size,
    )


def choose_tiling(checkpoint: Checkpoint) -> Tiling:
    """What `flash-lsp tune` found for the model, else the chip's tiling."""
    info, its_sizes = mx.device_info(mx.gpu), sizes(checkpoint)
    found = tuning.remembered(str(info["device_name"]), its_sizes)
    return found or tilings.default(info, its_sizes)


def fault(tiling: Tiling, report: Callable[[str, float], None] = lambda stage, done: None) -> str:
    """What the device's self-test found wrong, of this version of the kernels; empty if nothing. Runs it once, and
    then says so to `report`."""
    if not verdict.remembered(mx.float16, tiling):
        report("testing the GPU's kernels, once on this machine", 0.0)
    found = verdict.faults(mx.float16, tiling)
    return "; ".join(f"{kernel}: {problem}" for kernel, problem in found.items())


def _matrices(config: ModelConfig) -> list[tuple[str, ...]]:
    """The matrices by launch: those of one launch are stacked."""
    found: list[tuple[str, ...]] = [("model.embed_tokens",)]
    if not config.tie_embeddings:
        found.append(("lm_head",))
    for layer in range(config.num_layers):
        at = f"model.layers.{layer}"
        found += [
            tuple(f"{at}.self_attn.{part}_proj" for part in "qkv"),
            (f"{at}.self_attn.o_proj",),
            (f"{at}.mlp.gate_proj", f"{at}.mlp.up_proj"),
            (f"{at}.mlp.down_proj",),
        ]
    return found


def weights(checkpoint: Checkpoint, tile: Tile) -> Weights:
    """The matrices of each launch, stacked, on the device; the model must have no obstacle. tile: of the registry."""
    config = checkpoint.config
    matrix = partial(_stacked, checkpoint)

    def vector(*names: str) -> mx.array:
        values = np.stack([checkpoint.vector(name) for name in names])
        return copied(mx.array(values[0] if len(names) == 1 else values).astype(mx.float16))

    def layer(at: str) -> Layer:
        attention = f"{at}.self_attn"
        qkv = tuple(f"{attention}.{part}_proj" for part in "qkv")
        bias = None
        if config.qkv_bias:
            joined = np.concatenate([checkpoint.vector(f"{name}.bias") for name in qkv])
            bias = copied(mx.array(joined).astype(mx.float16))
        head_norms = (f"{attention}.q_norm.weight", f"{attention}.k_norm.weight")
        return Layer(
            attention_norm=vector(f"{at}.input_layernorm.weight"),
            qkv=matrix(*qkv),
            output=matrix(f"{attention}.o_proj"),
            inner_norm=vector(f"{at}.post_attention_layernorm.weight"),
            gate_up=matrix(f"{at}.mlp.gate_proj", f"{at}.mlp.up_proj"),
            down=matrix(f"{at}.mlp.down_proj"),
            qkv_bias=bias,
            head_norm=vector(*head_norms) if config.qk_norm else None,
        ).tiled(tile)

    embedding = matrix("model.embed_tokens")
    layers = tuple(layer(f"model.layers.{i}") for i in range(config.num_layers))
    head = embedding if config.tie_embeddings else matrix("lm_head")
    return Weights(embedding, layers, vector("model.norm.weight"), tile(head))


def _stacked(checkpoint: Checkpoint, *names: str) -> Matrix:
    parts = [checkpoint.matrix(name) for name in names]
    quantized = [part for part in parts if isinstance(part, QuantizedMatrix)]
    assert len(quantized) == len(parts)
    kind = quantized[0].quantization
    weight = np.concatenate([part.weight for part in quantized])
    scales, biases = (
        np.concatenate([getattr(part, field) for part in quantized]) for field in ("scales", "biases")
    )
    if kind.group_size == 128:
        scales, biases = np.repeat(scales, 2, axis=1), np.repeat(biases, 2, axis=1)
    made = [copied(mx.array(weight)), *(copied(mx.array(x).astype(mx.float16)) for x in (scales, biases))]
    mx.eval(made)
    return Matrix(made[0], made[1], made[2], kind.bits, min(64, kind.group_size))


def copied(x: mx.array) -> mx.array:
    """x in an array of its own, which on CUDA lies in the GPU's memory and not, as what numpy gave, in the host's."""
    copy = x + mx.zeros((1,), dtype=x.dtype)
    mx.eval(copy)
    return copy
