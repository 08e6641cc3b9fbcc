"""Choice of the next token from logits, with the log-probability of what was chosen.

`allowed`: the ids, ascending and at least one, to choose among and to normalise over; None: all of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flash_engine.backend import Logits

Candidates = NDArray[np.int32]


def greedy(logits: Logits, allowed: Candidates | None = None) -> tuple[int, float]:
    """The most likely id, the lowest of equals, and its log-probability. logits: float32 [vocabulary]."""
    token, logprob = argmax_logprob(logits, allowed)
    return token, logprob


def greedy_numpy(logits: Logits, allowed: Candidates | None = None) -> tuple[int, float]:
    """`greedy`, accumulated in float64: the reference for the native version and its stand-in."""
    scores = logits if allowed is None else logits[allowed]
    best = int(np.argmax(scores))
    logprob = -float(np.log(np.sum(np.exp(scores.astype(np.float64) - scores[best]))))
    return (best if allowed is None else int(allowed[best])), logprob


def best(logits: Logits, allowed: Candidates | None, count: int) -> list[tuple[int, float]]:
    """The `count` most likely ids (fewer if fewer are allowed), most likely first, with their log-probabilities."""
    scores = (logits if allowed is None else logits[allowed]).astype(np.float64)
    scores -= scores.max()
    order = np.argsort(-scores, kind="stable")[:count]
    logprobs = scores[order] - np.log(np.sum(np.exp(scores)))
    ids = order if allowed is None else allowed[order]
    return [(int(token), float(logprob)) for token, logprob in zip(ids, logprobs, strict=True)]


def sample(
    logits: Logits, allowed: Candidates | None, temperature: float, rng: np.random.Generator
) -> tuple[int, float]:
    """An id drawn from softmax(logits / temperature), and its log-probability at temperature 1."""
    scores = (logits if allowed is None else logits[allowed]).astype(np.float64)
    scores -= scores.max()
    cumulative = np.cumsum(np.exp(scores / temperature))
    index = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
    logprob = float(scores[index] - np.log(np.sum(np.exp(scores))))
    return (index if allowed is None else int(allowed[index])), logprob


try:
    from flash_engine._native import argmax_logprob
except ImportError:  # built without the native kernels
    argmax_logprob = greedy_numpy
