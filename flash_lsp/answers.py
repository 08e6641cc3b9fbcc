"""Places, finished answers, and the cache of answers that makes typing through a suggestion free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cachetools import LRUCache


@dataclass(frozen=True, slots=True)
class Place:
    """A cursor in one state of a document: all the text before it and all the text after it."""

    prefix: str
    suffix: str

    def typed_since(self, earlier: Place) -> str | None:
        """What was typed at `earlier` to get here; None if anything else changed."""
        if self.suffix != earlier.suffix or not self.prefix.startswith(earlier.prefix):
            return None
        return self.prefix[len(earlier.prefix) :]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is suggested at `place`; `text` is empty where `silence` says why."""

    place: Place
    text: str
    complete: bool
    """The decode came to its own end; else `text` is what was ready at a deadline."""
    silence: str | None = None
    unsure: str = ""
    """A text that was silenced for want of confidence alone: it counts once typing has begun with it."""

    CONFIRMING: ClassVar[int] = 2
    """Characters of an unsure text that have to be typed as it has them. One may be chance."""

    def at(self, place: Place) -> Answer | None:
        """What this answer says at `place`, its own or one that typing its characters has led to; else None."""
        if place == self.place:
            return self
        typed = place.typed_since(self.place)
        if not typed:
            return None
        if self.text.startswith(typed) and self.text != typed:
            return Answer(place, self.text[len(typed) :], self.complete)
        if not self.unsure.startswith(typed) or self.unsure == typed:
            return None
        rest = self.unsure[len(typed) :]
        if len(typed) < self.CONFIRMING:
            return Answer(place, "", self.complete, self.silence, rest)
        return Answer(place, rest, self.complete)

    def rest_at(self, place: Place) -> str | None:
        """What remains of the text at `place`, which typing has led to; None if the typing disagrees."""
        typed = place.typed_since(self.place)
        if typed is None or not self.text.startswith(typed):
            return None
        return self.text[len(typed) :]

    def first_line_complete(self, rest: str) -> bool:
        """Whether the first line of `rest`, a remainder of the text, is known to its end."""
        return bool(rest) and (self.complete or "\n" in rest.lstrip())


class Answers:
    """The latest answers of one document, found by the text around the cursor.

    An answer serves its own place and every place that typing its characters leads to. Any other change of the
    document makes it unreachable, and an undo reachable again.
    """

    CAPACITY = 4_000_000
    """Characters of document text held by the keys."""

    def __init__(self) -> None:
        self._answers: LRUCache[Place, Answer] = LRUCache(
            self.CAPACITY, getsizeof=lambda answer: len(answer.place.prefix) + len(answer.place.suffix) + 1
        )

    def add(self, answer: Answer) -> None:
        if len(answer.place.prefix) + len(answer.place.suffix) < self.CAPACITY:
            self._answers[answer.place] = answer

    def find(self, place: Place) -> Answer | None:
        """The answer that serves `place`: its own, or else the one with the longest text before the cursor that has
        something left. Its text is given anew, as what is left at `place`."""
        own = self._answers.get(place)
        if own is not None:
            return own
        serving = [answer for answer in self._answers.values() if answer.at(place)]
        if not serving:
            return None
        best = max(serving, key=lambda answer: len(answer.place.prefix))
        self._answers[best.place] = best
        return best.at(place)
