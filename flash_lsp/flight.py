"""A decode in flight: what it was started for, what it has produced, whether it still agrees with the typing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from flash_lsp.answers import Place

if TYPE_CHECKING:
    from flash_lsp.completer import Suggestion

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
    """A text less likely than this, as a mean, need not be decoded to its end."""
    candidates: int
    """Different texts wanted."""


class Decoder(Protocol):
    """Runs the model away from the event loop and reports on it there."""

    def start(
        self, job: Job, progress: Callable[[str], None], done: Callable[[Suggestion], None]
    ) -> Callable[[], None]:
        """Begin a decode; returns what cancels it. `progress` gets the whole text so far, `done` the outcome."""
        ...


class Flight:
    """One decode. It goes on while the user types what it produces, and past the reply it was started for."""

    def __init__(self, place: Place, candidates: int = 1, gate: float = -math.inf) -> None:
        self.place = place
        self.candidates = candidates
        self.gate = gate
        """The mean log-probability that the text needs to be shown."""
        self.text = ""
        """As far as it has been decoded, unfiltered."""
        self.cancel: Callable[[], None] = lambda: None

    def agrees(self, place: Place) -> bool:
        """Whether typing led from the decode's place to `place` and nothing produced so far contradicts it."""
        typed = place.typed_since(self.place)
        return typed is not None and (self.text.startswith(typed) or typed.startswith(self.text))

    def is_ahead_of(self, place: Place) -> bool:
        """Whether typing might lead from `place` to the decode's."""
        return self.place.typed_since(place) is not None

    def ready_at(self, place: Place) -> str:
        """The part of the unfinished text that can be shown at `place`: its complete lines, or else its whole words."""
        return place.rest_of(ready_part(self.text), self.place) or ""


def ready_part(text: str) -> str:
    """The complete lines of an unfinished text, or else its whole words."""
    lines = text[: max(text.rfind("\n"), 0)].rstrip()
    return lines or _OPEN_WORD.sub("", text).rstrip()
