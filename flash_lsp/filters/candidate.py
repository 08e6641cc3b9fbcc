"""What a filter sees, and the reasons it may give for showing nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from flash_lsp.text import LINE_END


class Silence(StrEnum):
    """Why a suggestion is not shown."""

    BLANK = "blank"
    """Nothing but white space."""
    LOW_CONFIDENCE = "low-confidence"
    """The model found its own words unlikely."""
    WRONG_SCOPE = "wrong-scope"
    """It begins outside the block that the cursor is in."""
    REPEATS_SUFFIX = "repeats-suffix"
    """It is what stands after the cursor already."""
    UNBALANCED = "unbalanced"
    """It begins with a bracket that closes nothing."""
    REPETITION = "repetition"
    """It repeats itself."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A suggestion and the place it is for."""

    language: str
    """LSP language id."""
    prefix: str
    suffix: str
    """Text of the file before and after the cursor."""
    text: str
    logprob: float
    """Natural log-probability of its least likely line."""
    likely: str = ""
    """The beginning of `text` that is likely enough where all of it is not."""

    @property
    def line_before(self) -> str:
        """The cursor's line up to the cursor."""
        return self.prefix[max(self.prefix.rfind("\n"), self.prefix.rfind("\r")) + 1 :]

    @property
    def line_after(self) -> str:
        """The cursor's line from the cursor on."""
        end = LINE_END.search(self.suffix)
        return self.suffix[: end.start()] if end else self.suffix

    @property
    def line_below(self) -> str | None:
        """The first line below the cursor's that is not blank, without trailing space; None if there is none."""
        start = len(self.suffix)
        for end in LINE_END.finditer(self.suffix):
            line = self.suffix[start : end.start()].rstrip()
            if line:
                return line
            start = end.end()
        return self.suffix[start:].rstrip() or None
