"""Places, finished answers, and the cache of answers that makes typing through a suggestion free."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cachetools import LRUCache

from flash_lsp.filters.brackets import closes
from flash_lsp.filters.candidate import Candidate, Silence
from flash_lsp.filters.suffix import cut_repeated_suffix
from flash_lsp.text import LINE_END


@dataclass(frozen=True, slots=True)
class Place:
    """A cursor in one state of a document: all the text before it and all the text after it.

    Lines end at `\\n`, whatever the document's line ends are: see `between`.
    """

    prefix: str
    suffix: str
    language: str = ""
    """LSP language id."""

    @classmethod
    def between(cls, before: str, after: str, language: str) -> Place:
        """The place between two texts of a document. Every line end becomes `\\n`, which is what the model writes and
        what every editor takes, so that an Enter typed in a document with `\\r\\n` agrees with a suggested one."""
        if "\r" in before or "\r" in after:
            if before.endswith("\r") and after.startswith("\n"):
                before = before[:-1]
            before, after = LINE_END.sub("\n", before), LINE_END.sub("\n", after)
        return cls(before, after, language)

    def typed_since(self, earlier: Place) -> str | None:
        """What was typed at `earlier` to get here; None if anything else changed than that the editor closed by
        itself, right of the cursor, brackets and quotes that were opened."""
        if not (self.prefix.startswith(earlier.prefix) and self.suffix.endswith(earlier.suffix)):
            return None
        typed = self.prefix[len(earlier.prefix) :]
        closed = self.suffix[: len(self.suffix) - len(earlier.suffix)]
        return typed if not closed or closes(self.language, typed, closed) else None

    def rest_of(self, text: str, earlier: Place) -> str | None:
        """What is left here of a `text` that was suggested at `earlier`, up to what the editor has closed by itself
        since; None if something else was typed."""
        typed = self.typed_since(earlier)
        if typed is None or not text.startswith(typed):
            return None
        rest = text[len(typed) :]
        if len(self.suffix) == len(earlier.suffix) or not rest:
            return rest
        cut = cut_repeated_suffix(Candidate(self.language, self.prefix, self.suffix, rest, 0.0))
        return "" if isinstance(cut, Silence) else cut

    def after(self, text: str) -> Place:
        """The place behind `text`, were it inserted here."""
        return Place(self.prefix + text, self.suffix, self.language)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is suggested at `place`; `text` is empty where `silence` says why."""

    place: Place
    text: str
    complete: bool
    """Nothing more will come of the decode; else `text` is what was ready at a deadline."""
    silence: str | None = None
    others: tuple[str, ...] | None = None
    """Other texts for the same place, likely ones first; None: nobody has looked for them."""
    cut: bool = False
    """`text` is the likely beginning of what the model wrote."""
    verified: bool | None = True
    """Whether the model says so: None while only the draft model has, False where the model then said otherwise."""

    def at(self, place: Place) -> Answer | None:
        """What this answer says at `place`, its own or one that typing its characters has led to; else None."""
        if place == self.place:
            return self
        typed = len(place.prefix) - len(self.place.prefix)
        rest = place.rest_of(self.text, self.place)
        others = self.others and tuple(
            filter(None, (place.rest_of(text, self.place) for text in self.others))
        )
        if rest or others:
            best, *more = [rest, *(others or ())] if rest else others or ()
            others = None if self.others is None else tuple(more)
            return Answer(place, best, self.complete, others=others, cut=self.cut)
        if rest is not None and typed < len(self.text):
            return Answer(place, "", self.complete, Silence.REPEATS_SUFFIX)
        return None

    def moved(self, place: Place, text: str) -> Answer:
        """The same answer with the text that it has at another place."""
        return Answer(place, text, self.complete, cut=self.cut, verified=self.verified)

    def rest_at(self, place: Place) -> str | None:
        """What remains of the text at `place`, which typing has led to; None if the typing disagrees."""
        return place.rest_of(self.text, self.place)

    def first_line_complete(self, rest: str) -> bool:
        """Whether the first line of `rest`, a remainder of the text, is known to its end."""
        return bool(rest) and (self.complete or "\n" in rest.lstrip())

    def is_settled(self, rest: str) -> bool:
        """Whether no decode would tell more of the first line of `rest`, a remainder of the text."""
        return self.verified is not None and self.first_line_complete(rest)


def distinct(texts: Iterable[str], but: Iterable[str] = ()) -> list[str]:
    """Those of `texts` that are not empty and not the beginning of one before or of one of `but`, in their order."""
    seen, kept = list(but), []
    for text in texts:
        if text and not any(each.startswith(text) for each in seen):
            seen.append(text)
            kept.append(text)
    return kept


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
