"""The tunables of each generation of GPUs, reasoned and not measured: docs/metal.md says how. `tuning` measures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from flash_metal.launches import Heads, Tiling, splits_fit
from flash_metal.registry import MAX_TOKENS

_FEW_HEADS = 16
"""Heads of keys with which 8 splits still are one block a multiprocessor of an NVIDIA GPU (H100: 132)."""

Size = Literal["base", "large"]
"""Base and Pro chips, or Max and Ultra."""

TABLE: dict[tuple[int, Size], Tiling] = {
    (13, "base"): Tiling(rows=4, split=2),
    (13, "large"): Tiling(rows=4, split=4, splits=8),
    (15, "base"): Tiling(rows=4, split=2),
    (15, "large"): Tiling(rows=4, split=4, splits=8),
    (17, "base"): Tiling(rows=8, split=4),
    (17, "large"): Tiling(rows=8, split=8, splits=8),
}
"""By Apple's GPU generation, up to the next one named (13 M1, 14 M2, 15 M3, 16 M4, 17 M5), and size."""

SMALLEST = Tiling(rows=4, split=4, splits=1)
"""Fits every model that the launches can compute."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What of a model decides whether a tiling fits it, and how fast it is."""

    heads: Heads
    hidden: int
    inner: int
    vocabulary: int
    layers: int
    bits: int = 4
    group: int = 64

    def fit(self, tiling: Tiling) -> bool:
        """Whether all launches, of 1 to 8 tokens, can be cut so."""
        if tiling.simdgroups % tiling.split:
            return False
        product = tiling.rows * tiling.simdgroups // tiling.split
        whole = self.hidden % product == 0 and self.vocabulary % product == 0
        paired = self.inner % (max(1, tiling.rows // 2) * tiling.simdgroups) == 0
        return whole and paired and splits_fit(tiling.splits, self.heads, MAX_TOKENS)


def of_chip(device: Mapping[str, object]) -> Tiling:
    """The table's tiling for what mx.device_info says: its architecture, as "applegpu_g15s"; else the default."""
    found = re.fullmatch(r"applegpu_g(\d+)([a-z])", str(device.get("architecture", "")))
    if not found:
        return Tiling()
    generation = max(13, int(found[1]))
    size: Size = "base" if found[2] in "pg" else "large"
    return TABLE[max(known for known, _ in TABLE if known <= generation), size]


def default(device: Mapping[str, object], sizes: Sizes) -> Tiling:
    """The device's tiling, or one that fits the model."""
    cuda = "compute_capability_major" in device
    first = Tiling(splits=8) if cuda and sizes.heads.kv <= _FEW_HEADS else of_chip(device)
    return next((tiling for tiling in (first, Tiling()) if sizes.fit(tiling)), SMALLEST)
