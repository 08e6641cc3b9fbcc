"""Keys and queries balanced against each other, so that keys lose less when the cache rounds them to 8 bit.

Models with biases of keys (Qwen2) have a few key channels many times larger than the rest, and a head's keys share one
scale in the cache. A score does not change if a channel of the keys is divided by a factor and the queries' multiplied
by it, nor does the rotation if both channels of a pair take the same factor. The factors are those of SmoothQuant (Xiao
et al. 2023) with equal shares, from sizes that the weights alone tell, rounded to powers of two: so nothing is rounded
in the weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash_engine.config import ModelConfig
from flash_engine.matrices import Matrix, row_slices

Array = NDArray[np.float64]


def channel_sizes(matrix: Matrix, bias: NDArray[Any], norm: NDArray[Any]) -> Array:
    """Expected size of each output [n] of a projection ([n, k] and bias [n]) behind a norm of weight [k]."""
    squares = [
        np.square(matrix.rows(rows).dequantize() * norm).sum(axis=1) for rows in row_slices(*matrix.shape)
    ]
    sizes: Array = np.sqrt(np.concatenate(squares) + np.square(bias))
    return sizes


def key_factors(config: ModelConfig, queries: Array, keys: Array) -> Array:
    """What to divide key channels by, and multiply queries' by: float64 [kv_heads, head_dim].

    queries [heads * head_dim], keys [kv_heads * head_dim]: sizes of the channels.
    """
    shape = (config.num_kv_heads, -1, 2, config.head_dim // 2)
    of_queries = queries.reshape(shape).max(axis=(1, 2))
    of_keys = keys.reshape(shape).max(axis=(1, 2))
    tiny = np.finfo(np.float32).tiny
    ratio = np.log2(np.maximum(of_keys, tiny) / np.maximum(of_queries, tiny)) / 2
    exponents = np.rint(ratio - np.median(ratio, axis=1, keepdims=True))
    factors: Array = np.tile(np.exp2(np.clip(exponents, -6, 6)), 2)
    return factors
