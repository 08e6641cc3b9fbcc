"""Quantization with what a sample of code tells, kept only where it was measured to help."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flash_engine import provenance
from flash_engine.activations import computable
from flash_engine.checkpoint import Checkpoint
from flash_engine.conversion import Loss, Progress, Recipe, quantization_for
from flash_engine.errors import ModelError
from flash_engine.matrices import Quantization
from flash_engine.scaling import Scaling, find
from flash_engine.shapes import matrix_shapes
from flash_engine.trials import Trials

Texts = Sequence[list[int]]

PLAIN = "round to nearest"
HEAD = "the head in 8 bit"
STEPS = 8
"""Of the share of the weights that get 8 bit."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What was tried, and what was kept."""

    perplexities: dict[str, float]
    """By the way of quantizing, on text that the factors were not found on."""
    kept: str
    loss: Loss
    """Of what was kept, in the matrices whose columns are not scaled."""

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
    allowed: float | None = None,
    device: str = "auto",
    progress: Progress,
) -> Calibrated:
    """`conversion.convert` in each way, of which the one with the lowest perplexity on `held_out` becomes `out`.

    sample: tokens of texts that activations are measured on. allowed: by how much the perplexity may exceed the
    original's (0.01: by 1 %). Where 4 bit exceeds that, matrices get 8 bit in steps of an eighth of all weights, first
    those whose rounding disturbs most for their size. Takes the disk space of two results. Raises ModelError for an
    architecture whose activations cannot be measured, or if 8 bit everywhere loses more than `allowed`.
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
    with Trials(folder, out, group_size=group_size, held_out=held_out, device=device) as trials:
        for number, (name, way) in enumerate(ways.items()):
            progress(name, (1 + number) / 4)
            least = min(trials.perplexities.values(), default=math.inf)
            if trials.measure(name, recipe, way) < least:
                trials.keep(name)
        if allowed is not None:
            progress("original", 1.0)
            original = trials.measure_original()
            most = (1 + allowed) * original
            if trials.perplexities[trials.kept] > most:
                way = ways[trials.kept]
                losses = _with_head(trials, original, checkpoint, recipe, scaling.losses, way)
                order = _by_gain(checkpoint, losses)
                _widen(trials, most, lambda step: _widened(recipe, order, step), way, progress)
        result = Calibrated(trials.perplexities, trials.kept, trials.finish())
    provenance.note(out, str(result))
    return result


def _widen(
    trials: Trials, most: float, recipe: Callable[[int], Recipe], way: Scaling, progress: Progress
) -> None:
    """Keep the fewest steps of 8 bit whose perplexity is at most `most`, found by bisection."""
    few, enough, lowest = 0, STEPS + 1, math.inf
    while enough - few > 1:
        step = (few + enough) // 2
        name = f"{step}/{STEPS} in 8 bit"
        progress(name, 1.0)
        found = trials.measure(name, recipe(step), way)
        lowest = min(lowest, found)
        if found <= most:
            trials.keep(name)
            enough = step
        else:
            few = step
    if enough > STEPS:
        raise ModelError(
            f"the perplexity with 8 bit is {lowest:.4f}, more than the {most:.4f} that are allowed: allow a larger "
            "loss, or keep the model in 16 bit"
        )


def _with_head(
    trials: Trials,
    original: float,
    checkpoint: Checkpoint,
    recipe: Recipe,
    losses: dict[str, float],
    way: Scaling,
) -> dict[str, float]:
    """`losses` with that of the output head, often the largest matrix, as measured: its part of what is lost."""
    head = "model.embed_tokens" if checkpoint.config.tie_embeddings else "lm_head"
    lost = math.log(trials.perplexities[trials.kept] / original)
    found = trials.measure(HEAD, lambda name: 8 if name == head else recipe(name), way)
    of_others = max(math.log(found / original), 0.01 * lost)
    others = sum(losses.values()) - losses[head]
    return losses | {head: others * max(lost - of_others, 0.0) / of_others}


def _by_gain(checkpoint: Checkpoint, losses: dict[str, float]) -> dict[str, float]:
    """Matrix -> share of all weights that it and those before it have; first what loses most for its size."""
    sizes = {name: rows * columns for name, (rows, columns) in matrix_shapes(checkpoint.config).items()}
    order = sorted(losses, key=lambda name: losses[name] / sizes[name], reverse=True)
    total, done = sum(sizes.values()), 0
    shares = {}
    for name in order:
        done += sizes[name]
        shares[name] = done / total
    return shares


def _widened(recipe: Recipe, shares: dict[str, float], step: int) -> Recipe:
    """`recipe`, with 8 bit for the matrices of the first `step` of STEPS parts of the weights."""
    return lambda name: 8 if shares.get(name, 2.0) <= step / STEPS else recipe(name)
