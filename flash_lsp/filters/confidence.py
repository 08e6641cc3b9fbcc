"""Showing no more than what the model itself finds likely."""

from __future__ import annotations

import math

from flash_lsp.filters.candidate import Candidate, Silence

GATES = {"balanced": math.log(0.005), "careful": math.log(0.05), "eager": math.log(0.0001)}
"""The least log-probability of a line that is shown whole, by the setting `eagerness`: that it is, to its end, what the
model would write. The measurements behind them are in docs/quality.md."""

MIN_LOGPROB = GATES["balanced"]


_ONE_SIGN = 0.14
"""In terms of the gate, the log-probability that a text of one sign needs: nobody presses another key for less."""


def require_confidence(candidate: Candidate, min_logprob: float) -> str | Silence:
    one_sign = len(candidate.text.strip()) == 1
    if candidate.logprob >= (_ONE_SIGN * min_logprob if one_sign else min_logprob):
        return candidate.text
    return candidate.likely or Silence.LOW_CONFIDENCE
