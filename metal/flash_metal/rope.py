"""RoPE's angles a position, with the scalings of the llama family."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def frequencies(size: int, base: float, scaling: Mapping[str, Any] | None = None) -> NDArray[np.float32]:
    """float32 [size / 2]: radians a position of the pairs (i, i + size / 2) of a head.

    scaling is config.json's `rope_scaling`: none, `linear` (positions divided by a factor) or `llama3` (only slow
    pairs are slowed down, with a smooth passage; https://arxiv.org/abs/2407.21783). Raises ValueError for others.
    """
    plain = base ** (-np.arange(0, size, 2) / size)
    kind = "default" if not scaling else scaling.get("rope_type", scaling.get("type"))
    if kind == "default":
        return plain.astype(np.float32)
    if scaling is None or kind not in ("linear", "llama3"):
        raise ValueError(f"rope_scaling of type {kind!r} is not supported (supported: linear, llama3)")
    slowed = plain / scaling["factor"]
    if kind == "linear":
        return np.asarray(slowed, dtype=np.float32)
    turns = scaling["original_max_position_embeddings"] * plain / (2 * math.pi)
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return np.asarray(kept * plain + (1 - kept) * slowed, dtype=np.float32)
