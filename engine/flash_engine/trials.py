"""Conversions of one model that are measured, of which one is kept."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from flash_engine import backends
from flash_engine.checkpoint import Checkpoint
from flash_engine.conversion import Loss, Recipe, convert
from flash_engine.perplexity import WINDOW, perplexity
from flash_engine.scaling import Scaling

ORIGINAL = "original"


class Trials:
    """Trials lie beside `out`, which appears only with `finish`; leaving the context deletes what is left of them."""

    def __init__(
        self, folder: Path, out: Path, *, group_size: int, held_out: Sequence[list[int]], device: str
    ) -> None:
        self.perplexities: dict[str, float] = {}
        """By the name of the trial, on `held_out`."""
        self.kept = ""
        self._folder = folder
        self._out = out
        self._group_size = group_size
        self._held_out = held_out
        self._device = device
        self._trial, self._best = (out.with_name(f".{out.name}.{part}") for part in ("trial", "kept"))
        self._losses: dict[str, Loss] = {}

    def __enter__(self) -> Trials:
        return self

    def __exit__(self, *_: object) -> None:
        for folder in (self._trial, self._best):
            shutil.rmtree(folder, ignore_errors=True)

    def measure_original(self) -> float:
        """The perplexity of the model as it is."""
        return self._perplexity(ORIGINAL, self._folder)

    def measure(self, name: str, recipe: Recipe, scaling: Scaling) -> float:
        """The perplexity of a conversion."""
        shutil.rmtree(self._trial, ignore_errors=True)
        self._losses[name] = convert(
            self._folder,
            self._trial,
            recipe,
            group_size=self._group_size,
            progress=lambda *_: None,
            scaling=scaling,
        )
        return self._perplexity(name, self._trial)

    def keep(self, name: str) -> None:
        """Of all trials so far, the last one, `name`."""
        shutil.rmtree(self._best, ignore_errors=True)
        self._trial.rename(self._best)
        self.kept = name

    def finish(self) -> Loss:
        """Move what was kept to `out`. What it lost where columns are not scaled."""
        self._best.rename(self._out)
        return self._losses[self.kept]

    def _perplexity(self, name: str, folder: Path) -> float:
        backend = backends.load(self._device, Checkpoint(folder), capacity=WINDOW)
        self.perplexities[name] = perplexity(backend, self._held_out)
        return self.perplexities[name]
