"""A llama in fused launches (flash_metal.decoder) on MLX's GPU.

What a token gets is the same bits however the tokens were cut into passes, so a prompt is simply passes of eight.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Self

import mlx.core as mx
import numpy as np

from flash_engine.backend import KVCache, Logits
from flash_engine.backends.metal import while_wired
from flash_engine.checkpoint import Checkpoint, QuantizedMatrix
from flash_engine.config import ModelConfig
from flash_engine.errors import CapacityError, DeviceError
from flash_metal import tilings, tuning, verdict
from flash_metal.decoder import Decoder, Layer, Weights
from flash_metal.launches import MAX_TOKENS, Heads, Matrix, Tiling
from flash_metal.registry import Registry, device_registry
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
        return f"{fields[0]} = {getattr(config, fields[0])}"
    for names in _matrices(config):
        kinds = {checkpoint.quantization(name) for name in names}
        if None in kinds:
            return f"{names[0]} is not quantized"
        if len(kinds) > 1:
            return f"{', '.join(names)} are not quantized alike"
    return ""


class FusedCache:
    """int8 keys and values: `rows` uint32 [layers, 2, kv_heads, capacity, row], as the launches write them."""

    def __init__(self, rows: mx.array) -> None:
        self.length = 0
        self.rows = rows
        self.position = mx.array([0], dtype=mx.int32)
        """`length` for the launches; it comes after the last pass's rows were placed."""

    def trim(self, length: int) -> None:
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot trim to {length} positions: the cache holds {self.length}")
        mx.eval(self.rows, self.position)
        self.length = length
        self.position = mx.array([length], dtype=mx.int32)

    def fork(self) -> FusedCache:
        mx.eval(self.rows, self.position)
        twin = FusedCache(_copy(self.rows))
        mx.eval(twin.rows)
        twin.length, twin.position = self.length, mx.array([self.length], dtype=mx.int32)
        return twin


class FusedBackend:
    """float16 activations, int8 cache, five launches a layer."""

    def __init__(self, config: ModelConfig, capacity: int, decoder: Decoder, kernels: Registry) -> None:
        self.config = config
        self.capacity = capacity
        self._decoder, self._kernels = decoder, kernels
        self._passes: dict[int, Callable[..., tuple[mx.array, mx.array]]] = {}

    @classmethod
    def load(
        cls,
        checkpoint: Checkpoint,
        *,
        capacity: int,
        kernels: Registry | None = None,
        tiling: Tiling | None = None,
        report: Callable[[str, float], None] = lambda stage, done: None,
    ) -> Self:
        """`kernels`: the device's unless given. `report` is called as long work begins, with the share done before.

        Raises DeviceError, naming what is in the way, if it can't.
        """
        reason = obstacle(checkpoint)
        if reason:
            raise DeviceError(
                f"{checkpoint.folder}: no fused launches for {reason}: use device=mlx or native"
            )
        config = checkpoint.config
        kernels = kernels or device_registry()
        decoder = make_decoder(config, weights(checkpoint), kernels, tiling or choose(checkpoint))
        if kernels.on_device:
            report("compiling the GPU's kernels", 1.0)
            _compile(decoder)
        return cls(config, capacity, decoder, kernels)

    @property
    def name(self) -> str:
        return f"mlx {version('mlx')} (fused int4 launches)"

    def new_cache(self) -> FusedCache:
        return FusedCache(self._decoder.new_cache(-(-self.capacity // 4) * 4))

    @while_wired
    def forward(
        self, tokens: Sequence[int], cache: KVCache, *, logits: int, cancel: threading.Event | None = None
    ) -> Logits:
        assert isinstance(cache, FusedCache)
        if cache.length + len(tokens) > self.capacity:
            raise CapacityError(
                f"{len(tokens)} tokens after {cache.length} exceed the context of {self.capacity}"
            )
        made = []
        for start in range(0, len(tokens), MAX_TOKENS):
            some = tokens[start : start + MAX_TOKENS]
            wanted = min(len(some), max(0, start + len(some) - (len(tokens) - logits)))
            made.append(self._one(some, cache, wanted))
        mx.eval(made, cache.position)
        if logits == 0:
            return np.zeros((0, self.config.vocab_size), np.float32)
        return np.concatenate([np.array(part) for part in made if part.size])

    def _one(self, tokens: Sequence[int], cache: FusedCache, wanted: int) -> mx.array:
        if wanted not in self._passes:
            one_pass = partial(self._decoder, logits=wanted)
            self._passes[wanted] = mx.compile(one_pass) if self._kernels.on_device else one_pass
        ids = mx.array(list(tokens), dtype=mx.int32)
        logits, rows = self._passes[wanted](ids, cache.rows, cache.position)
        if not self._kernels.in_order:
            mx.eval(logits, rows)
        cache.rows, cache.position = self._decoder.place(cache.rows, rows, cache.position)
        cache.length += len(tokens)
        return logits


def _compile(decoder: Decoder) -> None:
    """Run a pass of every size that has kernels of its own, so that none is compiled while somebody types."""
    for count in (1, 2, 4, MAX_TOKENS):
        ids, position = mx.zeros((count,), dtype=mx.int32), mx.array([0], dtype=mx.int32)
        mx.eval(decoder(ids, decoder.new_cache(2 * MAX_TOKENS), position, logits=1))


def make_decoder(config: ModelConfig, weights: Weights, kernels: Registry, tiling: Tiling) -> Decoder:
    """The decoder of a model that has no obstacle."""
    return Decoder(
        kernels,
        tiling,
        _heads(config),
        weights,
        frequency=_copy(mx.array(config.rope.frequencies(config.head_dim).astype(np.float32))),
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


def choose(checkpoint: Checkpoint) -> Tiling:
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


def weights(checkpoint: Checkpoint) -> Weights:
    """The matrices of each launch, stacked, on the device; the model must have no obstacle."""
    config = checkpoint.config
    matrices = {names: _stacked(checkpoint, names) for names in _matrices(config)}

    def vector(*names: str) -> mx.array:
        values = np.stack([checkpoint.vector(name) for name in names])
        return _copy(mx.array(values[0] if len(names) == 1 else values).astype(mx.float16))

    def layer(at: str) -> Layer:
        attention = f"{at}.self_attn"
        qkv = tuple(f"{attention}.{part}_proj" for part in "qkv")
        bias = None
        if config.qkv_bias:
            joined = np.concatenate([checkpoint.vector(f"{name}.bias") for name in qkv])
            bias = _copy(mx.array(joined).astype(mx.float16))
        head_norms = (f"{attention}.q_norm.weight", f"{attention}.k_norm.weight")
        return Layer(
            attention_norm=vector(f"{at}.input_layernorm.weight"),
            qkv=matrices[qkv],
            output=matrices[(f"{attention}.o_proj",)],
            inner_norm=vector(f"{at}.post_attention_layernorm.weight"),
            gate_up=matrices[(f"{at}.mlp.gate_proj", f"{at}.mlp.up_proj")],
            down=matrices[(f"{at}.mlp.down_proj",)],
            qkv_bias=bias,
            head_norm=vector(*head_norms) if config.qk_norm else None,
        )

    embedding = matrices[("model.embed_tokens",)]
    layers = tuple(layer(f"model.layers.{i}") for i in range(config.num_layers))
    head = embedding if config.tie_embeddings else matrices[("lm_head",)]
    return Weights(embedding, layers, vector("model.norm.weight"), head)


def _stacked(checkpoint: Checkpoint, names: Sequence[str]) -> Matrix:
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
    made = [_copy(mx.array(weight)), *(_copy(mx.array(x).astype(mx.float16)) for x in (scales, biases))]
    mx.eval(made)
    return Matrix(made[0], made[1], made[2], kind.bits, min(64, kind.group_size))


def _copy(x: mx.array) -> mx.array:
    """x in an array of its own, which on CUDA lies in the GPU's memory and not, as what numpy gave, in the host's."""
    copy = x + mx.zeros((1,), dtype=x.dtype)
    mx.eval(copy)
    return copy
