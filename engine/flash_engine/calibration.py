"""Quantization with what a sample of code tells, kept only where it was measured to help."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flash_engine import backends, provenance
from flash_engine.activations import computable
from flash_engine.checkpoint import Checkpoint
from flash_engine.conversion import Loss, Progress, Recipe, convert, quantization_for
from flash_engine.errors import ModelError
from flash_engine.matrices import Quantization
from flash_engine.perplexity import WINDOW, perplexity
from flash_engine.scaling import Scaling, find

Texts = Sequence[list[int]]

PLAIN = "round to nearest"


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What was tried, and what was kept."""

    perplexities: dict[str, float]
    """By the way of quantizing, on text that the factors were not found on."""
    kept: str
    loss: Loss
    """Of round to nearest."""

    def __str__(self) -> str:
        measured = ", ".join(f"{name} {value:.4f}" for name, value in self.perplexities.items())
        return f"perplexity: {measured}; kept: {self.kept}"


def convert_calibrated(
    folder: Path,
    out: Path,
    recipe: Recipe,
    *,
    group_size: int,
    sample: Texts,
    held_out: Texts,
    device: str = "auto",
    progress: Progress,
) -> Calibrated:
    """`conversion.convert` in each way, of which the one with the lowest perplexity on `held_out` becomes `out`.

    sample: tokens of texts that activations are measured on. Takes the disk space of two results. Raises ModelError
    for an architecture whose activations cannot be measured.
    """
    checkpoint = Checkpoint(folder)
    if not computable(checkpoint):
        raise ModelError(
            f"{folder}: activations of a {checkpoint.config.model_type} model cannot be measured here (those of llama, "
            "mistral, qwen2 and qwen3 can): convert it without calibration"
        )

    def choice(name: str, columns: int) -> Quantization | None:
        return quantization_for(recipe(name), group_size, columns)

    scaling = find(checkpoint, sample, choice, lambda share: progress("activations", share / 4))
    ways = {
        PLAIN: Scaling(),
        "scaled by activations": replace(scaling, importance={}),
        "scaled, ranges fitted": scaling,
    }
    trial = out.with_name(f".{out.name}.trial")
    found: dict[str, float] = {}
    losses: list[Loss] = []
    kept = PLAIN
    try:
        for number, (name, way) in enumerate(ways.items()):
            shutil.rmtree(trial, ignore_errors=True)
            progress(name, (1 + number) / 4)
            losses.append(
                convert(folder, trial, recipe, group_size=group_size, progress=lambda *_: None, scaling=way)
            )
            found[name] = perplexity(backends.load(device, Checkpoint(trial), capacity=WINDOW), held_out)
            if name == min(found, key=lambda name: found[name]):
                kept = name
                shutil.rmtree(out, ignore_errors=True)
                trial.rename(out)
    finally:
        shutil.rmtree(trial, ignore_errors=True)
    result = Calibrated(found, kept, losses[0])
    provenance.note(out, str(result))
    return result
