"""Models of known shapes with random weights: speed does not depend on the values."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flash_engine import Checkpoint, ModelConfig
from flash_engine.config import MixtureOfExperts
from flash_engine.matrices import Quantization, QuantizedMatrix
from flash_engine.rope import Linear, Rope
from flash_engine.shapes import matrix_shapes, vector_shapes

FORMAT = Quantization(bits=4, group_size=64)


def _deepseek_coder(hidden: int, intermediate: int, layers: int, heads: int) -> ModelConfig:
    return ModelConfig(
        model_type="llama",
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=heads,
        head_dim=hidden // heads,
        vocab_size=32256,
        max_positions=16384,
        tie_embeddings=False,
        eos_ids=(32014,),
        rope=Rope(100_000.0, Linear(4.0)),
        norm_eps=1e-6,
    )


def _qwen3_moe(layers: int) -> ModelConfig:
    """Layers of Qwen3-Coder-30B-A3B, which has 48 and a larger vocabulary."""
    return ModelConfig(
        model_type="qwen3_moe",
        hidden_size=2048,
        intermediate_size=6144,
        num_layers=layers,
        num_heads=32,
        num_kv_heads=4,
        head_dim=128,
        vocab_size=8192,
        max_positions=16384,
        tie_embeddings=False,
        eos_ids=(0,),
        rope=Rope(1e7),
        norm_eps=1e-6,
        qk_norm=True,
        moe=MixtureOfExperts(
            layers=tuple(range(layers)),
            experts=128,
            experts_per_token=8,
            intermediate_size=768,
            normalize=True,
        ),
    )


SHAPES = {
    "deepseek-1.3b": _deepseek_coder(2048, 5504, 24, 16),
    "deepseek-6.7b": _deepseek_coder(4096, 11008, 32, 32),
    "qwen3-moe": _qwen3_moe(layers=2),
}


class RandomCheckpoint(Checkpoint):
    """A checkpoint that is on no disk: uniform 4-bit integers in groups of 64, norms of ones."""

    def __init__(self, name: str, config: ModelConfig) -> None:
        self.folder = Path(name)
        self.config = config
        self._matrices = matrix_shapes(config)
        self._vectors = vector_shapes(config)

    def has(self, name: str) -> bool:
        return name in self._matrices or name.rpartition(".")[0] in self._vectors or name in self._vectors

    def quantization(self, name: str) -> Quantization:
        return FORMAT

    def vector(self, name: str) -> NDArray[np.float32]:
        return np.ones(self._vectors[name], np.float32)

    def matrix(self, name: str) -> QuantizedMatrix:
        """Scaled so that a product keeps the variance of its input."""
        rows, columns = self._matrices[name]
        words = np.random.default_rng(zlib.crc32(name.encode())).integers(
            1 << 32, size=(rows, columns * FORMAT.bits // 32), dtype=np.uint32
        )
        step = (21.25 * columns) ** -0.5  # 21.25: the variance of uniform integers of 4 bits
        scales = np.full((rows, columns // FORMAT.group_size), step, np.float16)
        return QuantizedMatrix(words, scales, (-7.5 * scales).astype(np.float16), FORMAT.bits)
