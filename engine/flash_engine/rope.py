"""Rotary position embedding (Su et al., "RoFormer", 2021) and the ways in use to stretch it to longer contexts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Linear:
    """Position interpolation (Chen et al. 2023): positions are divided by `factor`."""

    factor: float

    def stretched(self, frequencies: Array, theta: float) -> Array:
        return frequencies / self.factor


@dataclass(frozen=True, slots=True)
class Llama3:
    """Llama 3.1: long wavelengths are stretched by `factor`, short ones kept, those between blended.

    The bounds are `original_positions` divided by `low_frequency_factor` and by `high_frequency_factor`.
    """

    factor: float
    low_frequency_factor: float
    high_frequency_factor: float
    original_positions: int

    def stretched(self, frequencies: Array, theta: float) -> Array:
        turns = self.original_positions * frequencies / (2 * math.pi)
        kept = (turns - self.low_frequency_factor) / (self.high_frequency_factor - self.low_frequency_factor)
        return _blend(frequencies, frequencies / self.factor, kept)


@dataclass(frozen=True, slots=True)
class Divisors:
    """Each frequency divided by its own number: Llama 3.1's stretching as GGUF files hold it."""

    divisors: tuple[float, ...]

    def stretched(self, frequencies: Array, theta: float) -> Array:
        stretched: Array = frequencies / np.array(self.divisors)
        return stretched


@dataclass(frozen=True, slots=True)
class Yarn:
    """YaRN (Peng et al. 2023): frequencies that turn more than `beta_fast` times within the original positions
    are kept, those below `beta_slow` turns stretched by `factor`, those between blended along the dimension."""

    factor: float
    original_positions: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    """Whether the bounds of the blend are whole dimensions."""

    def stretched(self, frequencies: Array, theta: float) -> Array:
        half = len(frequencies)

        def dimension(turns: float) -> float:
            return half * math.log(self.original_positions / (turns * 2 * math.pi)) / math.log(theta)

        low, high = dimension(self.beta_fast), dimension(self.beta_slow)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, 2 * half - 1)
        kept: Array = 1 - (np.arange(half, dtype=np.float64) - low) / max(high - low, 0.001)
        return _blend(frequencies, frequencies / self.factor, kept)


@dataclass(frozen=True, slots=True)
class Rope:
    """How far the pairs (i, i + dim / 2) of queries and keys turn from one position to the next."""

    theta: float = 10_000.0
    scaling: Linear | Llama3 | Divisors | Yarn | None = None
    magnitude: float = 1.0
    """Factor of the rotated queries and keys (YaRN's attention factor)."""

    def frequencies(self, dim: int) -> Array:
        """Radians per position of each pair of a head of `dim` values, float64 [dim / 2]."""
        frequencies: Array = self.theta ** (-np.arange(dim // 2) / (dim // 2))
        return frequencies if self.scaling is None else self.scaling.stretched(frequencies, self.theta)


def _blend(kept: Array, stretched: Array, share: Array) -> Array:
    share = np.clip(share, 0, 1)
    return share * kept + (1 - share) * stretched
