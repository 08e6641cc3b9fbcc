"""A decode in flight: what it was started for, what it has produced, whether it still agrees with the typing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from flash_lsp.answers import Place

if TYPE_CHECKING:
    from flash_lsp.suggestion import Suggestion

_OPEN_WORD = re.compile(r"\w+\Z")


@dataclass(frozen=True, slots=True)
class Job:
    """What a decoder is asked for."""

    uri: str
    path: str
    """As it stands in the prompt: relative to the workspace folder."""
    place: Place
    max_lines: int
    max_tokens: int
    min_logprob: float
    """A text with a line less likely than this need not be decoded to its end."""
    candidates: int
    """Different texts wanted."""
    statement_lines: int = 1
    """Lines that a single line may go on for until its brackets are closed, itself included."""
    seconds: float | None = None
    """Within which an answer is wanted, the draft model's if need be; None: there is time."""


@dataclass(frozen=True, slots=True)
class Guess:
    """The draft model's answer, which the model is going to verify."""

    text: str
    """As far as it has been decoded, unfiltered; empty if it is not worth showing."""
    logprob: float = 0.0
    """Natural log-probability of its least likely line by the draft model."""
    complete: bool = False


class Decoder(Protocol):
    """Runs the model away from the event loop and reports on it there."""

    def start(
        self,
        job: Job,
        progress: Callable[[str], None],
        done: Callable[[Suggestion], None],
        guessed: Callable[[Guess], None],
    ) -> Callable[[], None]:
        """Begin a decode; returns what cancels it.

        `progress` gets the whole text so far, `done` the outcome. Before them, `guessed` may get what the draft model
        has so far, where the model itself would not answer in time.
        """
        ...


class Flight:
    """One decode. It goes on while the user types what it produces, and past the reply it was started for."""

    def __init__(self, place: Place, candidates: int = 1, gate: float = -math.inf) -> None:
        self.place = place
        self.candidates = candidates
        self.gate = gate
        """The log-probability that each line needs to be shown whole."""
        self.verified = ""
        """The text as far as it has been decoded, unfiltered."""
        self.guess = Guess("")
        """What the draft model had said before."""
        self.cancel: Callable[[], None] = lambda: None

    @property
    def text(self) -> str:
        """The text so far, with what the draft model says follows it."""
        return self.guess.text if self.is_guessed else self.verified

    @property
    def is_guessed(self) -> bool:
        """Whether the draft model's text is the one to show: the model has not said anything else."""
        return self.guess.text.startswith(self.verified) and self.guess.text != self.verified

    def agrees(self, place: Place) -> bool:
        """Whether typing led from the decode's place to `place` and nothing produced so far contradicts it."""
        typed = place.typed_since(self.place)
        return typed is not None and (self.text.startswith(typed) or typed.startswith(self.text))

    def is_ahead_of(self, place: Place) -> bool:
        """Whether typing might lead from `place` to the decode's."""
        return self.place.typed_since(place) is not None

    def has_verified(self, text: str, place: Place) -> bool:
        """Whether the model itself has said `text`, which is shown at `place`."""
        typed = place.typed_since(self.place) or ""
        return not self.guess.text or self.verified.startswith(typed + text)

    def ready_at(self, place: Place) -> str:
        """The part of the unfinished text that can be shown at `place`: its complete lines, or else its whole words."""
        return place.rest_of(ready_part(self.text), self.place) or ""


def ready_part(text: str) -> str:
    """The complete lines of an unfinished text, or else its whole words."""
    lines = text[: max(text.rfind("\n"), 0)].rstrip()
    return lines or _OPEN_WORD.sub("", text).rstrip()
