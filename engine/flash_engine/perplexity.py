"""How well a model predicts text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from flash_engine.backend import Backend

WINDOW = 1024
"""Tokens of a stretch that is predicted from its own beginning."""

_ROWS = 32
"""Logits held at once."""


def perplexity(
    backend: Backend, texts: Iterable[list[int]], progress: Callable[[int], None] | None = None
) -> float:
    """exp of the mean negative log-probability (natural) of each token after the ones before it, in stretches of at
    most WINDOW tokens of each of `texts`. progress: called with the tokens predicted so far.

    Raises ValueError if there is nothing to predict. Call it on the engine's model thread.
    """
    window = min(WINDOW, backend.capacity)
    lost, count = 0.0, 0
    for text in texts:
        for start in range(0, len(text), window):
            stretch = text[start : start + window]
            cache = backend.new_cache()
            for first in range(0, len(stretch) - 1, _ROWS):
                given = stretch[first : min(first + _ROWS, len(stretch) - 1)]
                logits = backend.forward(given, cache, logits=len(given)).astype(np.float64)
                wanted = logits[np.arange(len(given)), stretch[first + 1 : first + 1 + len(given)]]
                top = logits.max(axis=1)
                lost += float((top + np.log(np.exp(logits - top[:, None]).sum(axis=1)) - wanted).sum())
                count += len(given)
                if progress:
                    progress(count)
    if not count:
        raise ValueError("no token to predict: every text has fewer than two tokens")
    return math.exp(lost / count)
