"""Showing nothing where the model itself found its words unlikely."""

from __future__ import annotations

from flash_lsp.filters.candidate import Candidate, Silence

GATES = {"balanced": -1.0, "careful": -0.5, "eager": -2.0}
"""Lowest mean log-probability that is shown, by the setting `eagerness`: a geometric mean probability of 1 in 2.7, 1.6
and 7.4. The curve behind them is in docs/quality.md."""

MIN_LOGPROB = GATES["balanced"]


def require_confidence(candidate: Candidate, min_logprob: float) -> str | Silence:
    return candidate.text if candidate.logprob >= min_logprob else Silence.LOW_CONFIDENCE
