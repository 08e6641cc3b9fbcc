"""Showing no more than what the model itself finds likely."""

from __future__ import annotations

from flash_lsp.filters.candidate import Candidate, Silence

GATES = {"balanced": -0.75, "careful": -0.5, "eager": -2.0}
"""Lowest mean log-probability of a text that is shown whole, by the setting `eagerness`: a geometric mean probability
of 1 in 2.1, 1.6 and 7.4. The measurements behind them are in docs/quality.md."""

MIN_LOGPROB = GATES["balanced"]


def require_confidence(candidate: Candidate, min_logprob: float) -> str | Silence:
    if candidate.logprob >= min_logprob:
        return candidate.text
    return candidate.likely or Silence.LOW_CONFIDENCE
