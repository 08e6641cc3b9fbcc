"""The fastest tiling for a model on this device: measured by whole passes, self-tested, remembered."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import mlx.core as mx

from flash_metal.decoder import Decoder
from flash_metal.launches import Tiling
from flash_metal.places import kept
from flash_metal.tilings import Sizes

GAIN = 0.98
"""Less time saved than this share is taken for noise: the tiling stays as it is."""
CONTEXT = 1024


@dataclass(frozen=True, slots=True)
class Trial:
    """How a tiling did."""

    tiling: Tiling
    seconds: float
    """Of a pass of one token and one of four; infinite if it did not run."""
    fault: str
    """Why it cannot be used; empty if nothing is known against it."""


def tune(
    sizes: Sizes, start: Tiling, measure: Callable[[Tiling], float], check: Callable[[Tiling], str]
) -> tuple[Tiling, list[Trial]]:
    """The tiling to use, and all that were tried, fastest first: products first, then attention with the best of them.

    measure: seconds; what it raises (RuntimeError, ValueError) excludes the tiling. check: the self-test's fault, asked
    of the fastest until one has none. `start` stays unless another saves more than noise.
    """
    trials: dict[Tiling, Trial] = {}

    def attempt(tiling: Tiling) -> None:
        if tiling in trials or not sizes.fit(tiling):
            return
        try:
            trials[tiling] = Trial(tiling, measure(tiling), "")
        except (RuntimeError, ValueError) as error:
            trials[tiling] = Trial(tiling, math.inf, str(error))

    attempt(start)
    for rows, simdgroups, split in product((2, 4, 8), (4, 8, 16), (2, 4, 8)):
        attempt(replace(start, rows=rows, simdgroups=simdgroups, split=split))
    best = min(trials.values(), key=lambda trial: trial.seconds).tiling
    for splits, simdgroups in product((2, 4, 8, 16), (2, 4)):
        attempt(replace(best, splits=splits, attention_simdgroups=simdgroups))
    chosen = start
    for trial in sorted(trials.values(), key=lambda trial: trial.seconds):
        if not trial.seconds < GAIN * trials[start].seconds:
            break
        if not (fault := check(trial.tiling)):
            chosen = trial.tiling
            break
        trials[trial.tiling] = replace(trial, fault=fault)
    return chosen, sorted(trials.values(), key=lambda trial: trial.seconds)


def pass_seconds(run: Callable[[int], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """A pass of one token and one of four, medians of seven; `run` makes one of so many, to its end."""
    total = 0.0
    for count in (1, 4):
        run(count)
        times = []
        for _ in range(7):
            begun = clock()
            run(count)
            times.append(clock() - begun)
        total += statistics.median(times)
    return total


def passes(decoder: Decoder, *, compiled: bool) -> Callable[[int], object]:
    """Passes of so many tokens behind 1,024 others, as operations of MLX."""
    cache, position = decoder.new_cache(CONTEXT + 16), mx.array([CONTEXT], dtype=mx.int32)
    mx.eval(cache, position)

    def one_pass(ids: mx.array, cache: mx.array, position: mx.array) -> tuple[mx.array, mx.array]:
        return decoder(ids, cache, position, logits=1)

    made = mx.compile(one_pass) if compiled else one_pass
    return lambda count: mx.eval(made(mx.zeros((count,), dtype=mx.int32), cache, position))


def remember(device: str, sizes: Sizes, tiling: Tiling) -> Path:
    """Keep the tiling for the device, the model's sizes, this MLX and these texts; the file it is in."""
    file = kept("tilings", device, sizes)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(asdict(tiling), indent=1))
    return file


def remembered(device: str, sizes: Sizes) -> Tiling | None:
    """What `remember` kept, if it is there and fits."""
    try:
        tiling = Tiling(**json.loads(kept("tilings", device, sizes).read_text()))
        return tiling if sizes.fit(tiling) else None
    except (OSError, ValueError, TypeError, ArithmeticError):
        return None
