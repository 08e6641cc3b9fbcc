"""The native backend: int4 weights, int8 activations and int8 KV cache in C++ (engine/native), on the CPU."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Self

import numpy as np
import psutil
from numpy.typing import NDArray

from flash_engine import _native
from flash_engine.backend import KVCache, Logits
from flash_engine.checkpoint import Checkpoint, DenseMatrix, QuantizedMatrix
from flash_engine.config import ModelConfig
from flash_engine.errors import Cancelled, CapacityError, DeviceError, ModelError

ISA_VARIABLE = "FLASH_ISA"
"""Environment variable that forces an instruction set: one of `_native.supported_isas()`."""

_BLOCK = 16
_MOST_THREADS = 8
_ISA_NAMES = {
    "scalar": "plain C++",
    "avx2": "AVX2",
    "avxvnni": "AVX-VNNI",
    "avx512vnni": "AVX-512 VNNI",
    "amx": "AMX int8",
    "neon": "NEON dotprod",
}


class NativeCancel(threading.Event):
    """An event that the native backend sees within a forward, not only between two. Once set it stays set."""

    def __init__(self) -> None:
        super().__init__()
        self.flag = _native.Flag()

    def set(self) -> None:
        self.flag.set()
        super().set()

    def clear(self) -> None:
        raise RuntimeError("a cancel event stays set: make a new one for other work")


class NativeBackend:
    """Every instruction set, number of threads and way to cut tokens into passes gives the same logits."""

    def __init__(self, config: ModelConfig, model: _native.Model) -> None:
        self.config = config
        self._model = model

    @classmethod
    def load(cls, checkpoint: Checkpoint, *, capacity: int, threads: int | None = None) -> Self:
        """Repack the weights for the kernels: 4.5 bits a weight are resident afterwards, the files are not.

        threads: default one a physical core, at most 8. Raises DeviceError for an instruction set in FLASH_ISA
        that this machine lacks, ModelError for a shape that the kernels do not know.
        """
        config = checkpoint.config
        isa = os.environ.get(ISA_VARIABLE, "")
        if isa and isa not in _native.supported_isas():
            raise DeviceError(
                f"{ISA_VARIABLE}={isa}: this machine cannot run it, choose one of {', '.join(_native.supported_isas())}"
            )
        _refuse_unknown(checkpoint)
        try:
            packer = _Packer(checkpoint)
            embedding = packer.stack("model.embed_tokens")
            cosines, sines = rope_table(config, capacity)
            model = _native.Model(
                shape=_native.AttentionShape(config.num_heads, config.num_kv_heads, config.head_dim),
                epsilon=config.norm_eps,
                embedding=embedding,
                layers=[packer.layer(f"model.layers.{i}") for i in range(config.num_layers)],
                norm=packer.vector("model.norm.weight"),
                head=embedding if config.tie_embeddings else packer.stack("lm_head"),
                cosines=cosines.ravel().tolist(),
                sines=sines.ravel().tolist(),
                isa=isa,
                threads=default_threads() if threads is None else threads,
            )
        except ValueError as error:
            raise ModelError(
                f"{checkpoint.folder}: the native backend cannot run this model: {error}"
            ) from None
        return cls(config, model)

    @property
    def name(self) -> str:
        count = self._model.threads
        return f"native ({_ISA_NAMES[self._model.isa]}, {count} thread{'s' if count > 1 else ''})"

    @property
    def capacity(self) -> int:
        return self._model.capacity

    @property
    def isa(self) -> str:
        """The instruction set in use: one of `_native.supported_isas()`."""
        return self._model.isa

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights that a token reads."""
        return self._model.weight_bytes

    def new_cache(self) -> _native.KVCache:
        return self._model.new_cache()

    def forward(
        self, tokens: Sequence[int], cache: KVCache, *, logits: int, cancel: threading.Event | None = None
    ) -> Logits:
        assert isinstance(cache, _native.KVCache)
        if cache.length + len(tokens) > self.capacity:
            raise CapacityError(
                f"{len(tokens)} tokens after {cache.length} exceed the context of {self.capacity}"
            )
        rows = self._model.forward(
            tokens, cache, logits, cancel.flag if isinstance(cancel, NativeCancel) else None
        )
        if rows is None:
            raise Cancelled
        return rows


def _refuse_unknown(checkpoint: Checkpoint) -> None:
    """Raise DeviceError for what the kernels do not compute."""
    config = checkpoint.config
    window = min((size for size in config.sliding_windows if size is not None), default=config.max_positions)
    unknown = {
        "mixture of experts": config.moe is not None,
        "latent attention": config.mla is not None,
        "norm of queries and keys": config.qk_norm,
        "layer norm": config.norm != "rms",
        f"activation {config.activation}": config.activation != "silu" or not config.gated_mlp,
        "bias in feed-forward layers": config.mlp_bias,
        f"sliding window of {window} positions": window < config.max_positions,
        "embedding or attention multiplier": config.embedding_multiplier != 1
        or config.attention_multiplier is not None,
        "YaRN": config.rope.magnitude != 1,
    }
    for feature, present in unknown.items():
        if present:
            raise DeviceError(
                f"{checkpoint.folder}: the native backend cannot run this model: it has {feature}; "
                "give device mlx or reference"
            )


def default_threads() -> int:
    """One a physical core that this process may use, at most 8: more would wait for memory."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or 1, available, _MOST_THREADS))


def rope_table(config: ModelConfig, positions: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosines and sines of the rotary embedding (Su et al. 2021), each [positions, head_dim / 2]."""
    angles = np.outer(np.arange(positions), config.rope.frequencies(config.head_dim))
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


class _Packer:
    """Repacks a checkpoint's matrices, one behind the other in memory."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._arena = _native.Arena()

    def layer(self, prefix: str) -> _native.Layer:
        attention, mlp = f"{prefix}.self_attn", f"{prefix}.mlp"
        qkv = [f"{attention}.{part}_proj" for part in "qkv"]
        return _native.Layer(
            attention_norm=self.vector(f"{prefix}.input_layernorm.weight"),
            qkv=self.stack(*qkv),
            qkv_bias=[value for name in qkv for value in self._bias(name)],
            query_norm=[],
            key_norm=[],
            output=self.stack(f"{attention}.o_proj"),
            output_bias=self._bias(f"{attention}.o_proj"),
            feed_forward_norm=self.vector(f"{prefix}.post_attention_layernorm.weight"),
            gate_up=self._interleave(f"{mlp}.gate_proj", f"{mlp}.up_proj"),
            down=self.stack(f"{mlp}.down_proj"),
        )

    def vector(self, name: str) -> list[float]:
        values: list[float] = self._checkpoint.vector(name).tolist()
        return values

    def stack(self, *names: str) -> _native.Matrix:
        """The rows of the matrices one after the other; all but the last must have whole blocks of 16 rows."""
        parts = [self._int4(name) for name in names]
        matrix = self._empty(parts)
        block = 0
        for part in parts:
            _fill(matrix, part, block=block, step=1)
            block += len(part.scales) // _BLOCK
        return matrix

    def _interleave(self, *names: str) -> _native.Matrix:
        """16 rows of each matrix in turn."""
        parts = [self._int4(name) for name in names]
        matrix = self._empty(parts)
        for index, part in enumerate(parts):
            _fill(matrix, part, block=index, step=len(parts))
        return matrix

    def _bias(self, name: str) -> list[float]:
        if self._checkpoint.has(f"{name}.bias"):
            return self.vector(f"{name}.bias")
        return [0.0] * self._checkpoint.matrix(name).shape[0]

    def _int4(self, name: str) -> QuantizedMatrix:
        matrix = self._checkpoint.matrix(name)
        if isinstance(matrix, DenseMatrix) or matrix.bits != 4:
            raise DeviceError(
                f"{self._checkpoint.folder}: the native backend runs 4-bit weights only, {name} has others: "
                "quantize the model to 4 bit, or give device mlx or reference"
            )
        return matrix

    def _empty(self, parts: Sequence[QuantizedMatrix]) -> _native.Matrix:
        rows = sum(len(part.scales) for part in parts)
        columns = 8 * parts[0].weight.shape[1]
        group = columns // parts[0].scales.shape[1]
        return _native.Matrix(rows, columns, 4, group, self._arena)


def _fill(matrix: _native.Matrix, part: QuantizedMatrix, *, block: int, step: int) -> None:
    weight = np.require(part.weight, np.uint32, ["C", "A"])
    scales, biases = (np.require(values, np.float16, ["C", "A"]) for values in (part.scales, part.biases))
    matrix.fill(block, step, weight, scales.view(np.uint16), biases.view(np.uint16))
