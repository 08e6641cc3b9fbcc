"""What the draft model says follows a prompt before the main model has read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from flash_engine.speculation.draft import Bounds, Draft

LIKELY = 0.25
"""A guess goes on while it is as likely as this, as a whole, that the main model says the same."""


@dataclass(slots=True)
class Guess:
    """Shown at once, and then a draft that costs nothing."""

    tokens: list[int] = field(default_factory=list)
    """Those of the prompt, and the guess."""
    start: int = 0
    """Where the guess begins."""
    grades: list[int] = field(default_factory=list)
    """Of its tokens."""

    def add(self, token: int, grade: int) -> None:
        self.tokens.append(token)
        self.grades.append(grade)

    def reaches(self, length: int) -> bool:
        """Whether it has tokens behind the first `length`."""
        return self.start <= length < len(self.tokens)

    def after(self, tokens: Sequence[int], bounds: Bounds) -> Draft:
        """What it says about what follows `tokens`; empty if it says nothing."""
        length = len(tokens)
        if not self.reaches(length) or self.tokens[:length] != list(tokens):
            return Draft()
        kept = bounds.cut(self.tokens[length : length + bounds.most])
        return Draft(kept, self.grades[length - self.start :][: len(kept)])
