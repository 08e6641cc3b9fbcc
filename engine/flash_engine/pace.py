"""How many tokens to put through the model at once so that work can be cancelled every few milliseconds."""

from __future__ import annotations

CHUNK_SECONDS = 0.020
"""Target duration of one forward: the longest a cancelled request waits for the model."""

_STEP = 8
_LARGEST = 512
_SMOOTHING = 0.3


class Pace:
    """Chunk size from the measured speed of the chunks before. One for all sessions of an engine."""

    def __init__(self) -> None:
        self._seconds_per_token: float | None = None

    @property
    def chunk(self) -> int:
        """Tokens that take about CHUNK_SECONDS: a multiple of 8; 8 before anything was measured."""
        if self._seconds_per_token is None:
            return _STEP
        tokens = min(int(CHUNK_SECONDS / self._seconds_per_token), _LARGEST)
        return max(tokens // _STEP, 1) * _STEP

    @property
    def tokens_per_second(self) -> float | None:
        """Measured speed of prefill; None before anything was measured."""
        return 1 / self._seconds_per_token if self._seconds_per_token else None

    def seconds(self, tokens: int) -> float:
        """That a prompt of `tokens` takes to be read; 0 before anything was measured."""
        return tokens * (self._seconds_per_token or 0.0)

    def measured(self, tokens: int, seconds: float) -> None:
        """Take note that a forward of `tokens` took `seconds`; forwards too short to tell are left out."""
        if tokens < _STEP:
            return
        speed = max(seconds / tokens, 1e-9)
        before = self._seconds_per_token
        self._seconds_per_token = speed if before is None else before + _SMOOTHING * (speed - before)
