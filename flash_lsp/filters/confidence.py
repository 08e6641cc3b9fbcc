"""Showing nothing where the model itself found its words unlikely."""

from __future__ import annotations

from flash_lsp.filters.candidate import Candidate, Silence

MIN_LOGPROB = -2.0
"""Lenient: a suggestion whose tokens had a geometric mean probability of 1 in 7 still shows."""


def require_confidence(candidate: Candidate, min_logprob: float) -> str | Silence:
    return candidate.text if candidate.logprob >= min_logprob else Silence.LOW_CONFIDENCE
