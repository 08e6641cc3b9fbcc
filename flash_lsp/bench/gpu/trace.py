"""What a real pair of models accepted, token by token: recorded once, replayed where only shapes are at hand."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Self

from flash_engine.common import common_tokens
from flash_engine.speculation import LONGEST, Source
from flash_engine.speculation.draft import GRADES

TRACE = "acceptance.json"
"""Beside this file: see `source` in it."""
_RIGHT = (True,) * LONGEST
_WRONG = "a"

Looked = tuple[int, bool]
"""What could be read along for a token of a draft: the length of the sequence behind which a token was found
(flash_engine.speculation.NGrams), 0 if none was, and whether it is the one drafted."""


def mark(length: int, right: bool) -> str:
    """A Looked as one character."""
    return str(length) if right else chr(ord(_WRONG) + length)


def _looked(mark: str) -> Looked:
    return (int(mark), True) if mark.isdigit() else (ord(mark) - ord(_WRONG), False)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Drafts of one source along greedy texts of the main model.

    For each text and each place in it: how many tokens are drafted there, at most 7, and how many are right before the
    first that is not.
    """

    texts: tuple[tuple[tuple[int, int], ...], ...]
    grades: tuple[tuple[tuple[int, ...], ...], ...] = ()
    """Likewise: how sure its source was of each of the drafted tokens (flash_engine.speculation.Draft)."""
    looked_up: tuple[tuple[tuple[Looked, ...], ...], ...] = ()
    """Likewise, of a draft model."""

    @classmethod
    def of_chances(cls, chances: Sequence[Sequence[bool]], grade: int = GRADES - 1) -> Self:
        """Of a source whose token at a place is right or not, whatever was drafted before: drafts of 7, all of one
        grade."""
        return cls(
            tuple(
                tuple((LONGEST, common_tokens(text[at:], _RIGHT)) for at in range(len(text)))
                for text in chances
            ),
            tuple(tuple((grade,) * LONGEST for _ in text) for text in chances),
            tuple(tuple(() for _ in text) for text in chances),
        )

    @classmethod
    def recorded(cls, texts: Sequence[Sequence[str]]) -> Self:
        """Of two strings a text: the grades of the draft at each place, a digit a token and a space between places; and
        a digit a place, how many of its tokens are right. Of a draft model another one: the marks of what could be read
        along, as the grades."""
        grades = tuple(tuple(tuple(map(int, draft)) for draft in text[0].split(" ")) for text in texts)
        marks = (text[2] if len(text) > 2 else " " * text[0].count(" ") for text in texts)
        return cls(
            tuple(
                tuple((len(draft), int(digit)) for draft, digit in zip(drafts, right, strict=True))
                for drafts, (_, right, *_) in zip(grades, texts, strict=True)
            ),
            grades,
            tuple(tuple(tuple(map(_looked, draft)) for draft in text.split(" ")) for text in marks),
        )

    @classmethod
    def at_rate(cls, rate: float, *, texts: int = 24, tokens: int = 48, seed: int = 0) -> Self:
        """Made up: each token is right with the probability `rate`."""
        rng = random.Random(seed)
        chances = [[rng.random() < rate for _ in range(tokens + LONGEST)] for _ in range(texts)]
        return cls.of_chances(chances, int(GRADES * rate))

    @classmethod
    def joined(cls, parts: Sequence[Acceptance]) -> Self:
        """The texts of all."""
        return cls(
            tuple(text for part in parts for text in part.texts),
            tuple(text for part in parts for text in part.grades),
            tuple(text for part in parts for text in part.looked_up),
        )

    def near(self, rate: float, count: int) -> Self:
        """`count` texts, in the order of their own rates next to each other, whose rate is nearest to `rate`."""
        whole = zip(self.texts, self.grades, self.looked_up, strict=True)
        texts = sorted(whole, key=lambda text: type(self)(text[:1]).rate)
        parts = (
            type(self)(*zip(*texts[start : start + count], strict=True))
            for start in range(max(len(texts) - count, 0) + 1)
        )
        return min(parts, key=lambda part: abs(part.rate - rate))

    @property
    def rate(self) -> float:
        """Share of right tokens among those drafted first at a place, of the places where there was a draft."""
        firsts = [right > 0 for text in self.texts for drafted, right in text if drafted]
        return sum(firsts) / len(firsts) if firsts else 0.0

    def by_position(self) -> list[float | None]:
        """Share accepted at each position of a draft, of those whose predecessors were."""
        drafts = [draft for text in self.texts for draft in text]
        found: list[float | None] = []
        for position in range(LONGEST):
            judged = [
                right > position for drafted, right in drafts if drafted > position and right >= position
            ]
            found.append(sum(judged) / len(judged) if judged else None)
        return found


@dataclass(frozen=True, slots=True)
class Trace:
    """A recording: `source` says of which models, texts and build. By workload (flash_lsp.bench.speculation)."""

    source: str
    model: dict[str, Acceptance]
    text: dict[str, Acceptance]

    @classmethod
    def load(cls) -> Self:
        """The package's."""
        raw: dict[str, Any] = json.loads((files("flash_lsp.bench.gpu") / TRACE).read_text())
        model, text = (
            {name: Acceptance.recorded(found[source]) for name, found in raw["workloads"].items()}
            for source in Source
        )
        return cls(raw["source"], model, text)
