"""What reading a model changes in its weights, measured on a sample as they are read."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash_engine.matrices import Matrix

SAMPLE_ROWS = 16
"""The first rows of each matrix are compared."""


@dataclass(slots=True)
class _Change:
    matrices: int = 0
    changed: float = 0.0
    """Sum of squared differences."""
    total: float = 0.0
    """Sum of squares."""


class Changes:
    """By what the weights were stored as, and what they have become."""

    def __init__(self) -> None:
        self._found: defaultdict[tuple[str, int], _Change] = defaultdict(_Change)

    def add(self, kind: str, bits: int, exact: NDArray[Any], given: Matrix) -> None:
        """Rows `exact` [n, k] of a matrix stored as `kind`, which has become `given` [n, k] of `bits` bits."""
        values = exact.astype(np.float64)
        change = self._found[kind, bits]
        change.matrices += 1
        change.changed += float(np.square(given.dequantize() - values).sum())
        change.total += float(np.square(values).sum())

    def __str__(self) -> str:
        """`12 matrices Q6_K to 8 bit (0.47 % off)`: relative root mean square error; empty if all is as stored."""
        return ", ".join(
            f"{change.matrices} matrices {kind} to {bits} bit ({(change.changed / change.total) ** 0.5:.2%} off)"
            for (kind, bits), change in sorted(self._found.items())
            if change.changed
        )
