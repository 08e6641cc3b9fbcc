"""Choice of the next token from logits, with the log-probability of what was chosen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flash_engine.backend import Logits

Candidates = NDArray[np.int32]


def argmax_logprob_numpy(logits: Logits, allowed: Candidates | None = None) -> tuple[int, float]:
    """The most likely id (the lowest of equals) and its log-probability, softmax over all logits or over `allowed`.

    logits: float32 [vocabulary]; allowed: ids, ascending, at least one. Accumulates in float64.
    """
    scores = logits if allowed is None else logits[allowed]
    best = int(np.argmax(scores))
    logprob = -float(np.log(np.sum(np.exp(scores.astype(np.float64) - scores[best]))))
    return (best if allowed is None else int(allowed[best])), logprob


try:
    from flash_engine._native import argmax_logprob
except ImportError:  # built without the extension, or an older one
    argmax_logprob = argmax_logprob_numpy


def sample(
    logits: Logits, allowed: Candidates | None, temperature: float, rng: np.random.Generator
) -> tuple[int, float]:
    """An id drawn from softmax(logits / temperature) and its log-probability at temperature 1."""
    scores = (logits if allowed is None else logits[allowed]).astype(np.float64)
    scores -= scores.max()
    weights = np.exp(scores / temperature)
    index = int(np.searchsorted(np.cumsum(weights), rng.random() * weights.sum(), side="right"))
    index = min(index, len(scores) - 1)
    logprob = float(scores[index] - np.log(np.sum(np.exp(scores))))
    return (index if allowed is None else int(allowed[index])), logprob
