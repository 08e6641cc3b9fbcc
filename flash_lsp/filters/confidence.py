"""Showing nothing where the model itself found its words unlikely."""

from __future__ import annotations

from flash_lsp.filters.candidate import Candidate, Silence

MIN_LOGPROB = -1.0
"""A geometric mean probability of 1 in 2.7. Lenient: of the bundled model's answers to lines of real code it
silences one in eleven, and hardly any that is right (docs/quality.md)."""


def require_confidence(candidate: Candidate, min_logprob: float) -> str | Silence:
    return candidate.text if candidate.logprob >= min_logprob else Silence.LOW_CONFIDENCE
