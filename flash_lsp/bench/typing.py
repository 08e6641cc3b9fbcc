"""Recordings of typing: the keys that write a few passages of a real file, with the pauses between them.

A recording is made from a finished file: passages are left out of it and then typed where they belong, line after
line, with slips and backspaces, words deleted and typed again, rests of lines inserted at once (as when a completion
is accepted) and a jump of the cursor from passage to passage. The same file and seed give the same recording.
"""

from __future__ import annotations

import random
import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from flash_engine.common import common_prefix

Span = tuple[int, int]
Kind = Literal["character", "slip", "backspace", "newline", "indent", "accept", "delete"]

MEDIAN_GAP_MS = 120.0
GAP_SPREAD = 0.45  # standard deviation of the logarithm of the gaps
_PAUSES = {
    "newline": 1.6,
    "backspace": 1.8,
    "accept": 2.0,
    "delete": 2.0,
}  # the gap before these keys is longer by this factor
_JUMP_PAUSE = 10.0
_SLIP_RATE = 0.025
_ACCEPT_RATE = 0.06
_SHORTEST_ACCEPT = 6
_DELETE_RATE = 0.04  # of the words typed
_LINES_OF_PASSAGE = 2
_WORD_END = re.compile(r"\w{2,}\Z")
_CODE = re.compile(r"[=(\[{:;]")


@dataclass(frozen=True, slots=True)
class Key:
    """One keystroke: at `start`, in code points of the document before it, `removed` characters become `inserted`.

    The cursor is behind the inserted text afterwards. `at` is then its place in the finished file, or None while
    the document holds something that the file does not (a slip, too deep an indentation).
    """

    kind: Kind
    gap_ms: float
    start: int
    removed: int
    inserted: str
    at: int | None


@dataclass(frozen=True, slots=True)
class Recording:
    """Typing in one file, from `opening` to `finished`; between two passages the cursor jumps."""

    path: Path
    opening: str
    finished: str
    passages: tuple[tuple[Key, ...], ...]

    @property
    def keys(self) -> int:
        return sum(map(len, self.passages))


def record(path: Path, text: str, *, keys: int, seed: int = 0) -> Recording:
    """Make a recording of `keys` keystrokes or a few more (fewer if there is too little code) that end in `text`."""
    rng = random.Random(f"{seed} {path.name}")
    candidates = list(_passages(text))
    rng.shuffle(candidates)
    spans: list[tuple[int, int]] = []
    typed: list[list[Key]] = []
    for span in candidates:
        if sum(map(len, typed)) >= keys:
            break
        spans.append(span)
        typed.append(list(_type(text, *span, rng)))
    shifted = [
        [replace(key, start=key.start - _missing_before(span, spans[index:])) for key in passage]
        for index, (passage, span) in enumerate(zip(typed, spans, strict=True))
    ]
    return Recording(path, _without(text, spans), text, _paced(shifted, rng))


def apply(document: str, key: Key) -> str:
    """The document after `key`."""
    return document[: key.start] + key.inserted + document[key.start + key.removed :]


def _passages(text: str) -> Iterator[Span]:
    """Spans to type: from the end of a paragraph's first line, a few lines on; prose is passed over."""
    for paragraph in re.finditer(r"(?:[^\n]*\S[^\n]*\n)+", text):
        lines = paragraph.group().splitlines(keepends=True)[: _LINES_OF_PASSAGE + 1]
        code = sum(bool(_CODE.search(line)) for line in lines)
        if len(lines) >= 3 and code * 3 >= len(lines) * 2:
            start = paragraph.start() + len(lines[0]) - 1
            yield start, start + sum(map(len, lines[1:]))


def _without(text: str, spans: Iterable[Span]) -> str:
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + text[end:]
    return text


def _missing_before(span: Span, untyped: Iterable[Span]) -> int:
    """How many characters of passages not yet typed belong before `span`."""
    return sum(end - start for start, end in untyped if end <= span[0])


def _type(text: str, at: int, end: int, rng: random.Random) -> Iterator[Key]:
    """The keys that write text[at:end], with offsets as in the finished file and no gaps yet."""
    typed_from = at
    while at < end:
        rest = text[at:end].partition("\n")[0]
        if not rest:
            yield from _new_line(text, at)
            at += 1 + len(_indentation(text[at + 1 :]))
            typed_from = at
        elif len(rest) >= _SHORTEST_ACCEPT and not text[at - 1].isalnum() and rng.random() < _ACCEPT_RATE:
            yield Key("accept", 0.0, at, 0, rest, at + len(rest))
            at += len(rest)
        elif rest[0].isalpha() and rng.random() < _SLIP_RATE:
            slip = rng.choice([letter for letter in "etaoinsrhl" if letter != rest[0]]) + rest[1:2]
            for index, character in enumerate(slip):
                yield Key("slip", 0.0, at + index, 0, character, None)
            for index in reversed(range(len(slip))):
                yield Key("backspace", 0.0, at + index, 1, "", None if index else at)
        elif (
            (word := _WORD_END.search(text, typed_from, at))
            and not rest[0].isalnum()
            and (rng.random() < _DELETE_RATE)
        ):
            yield Key("delete", 0.0, word.start(), len(word[0]), "", word.start())
            at = word.start()
        else:
            yield Key("character", 0.0, at, 0, rest[0], at + 1)
            at += 1


def _new_line(text: str, at: int) -> Iterator[Key]:
    """Enter, indented as editors do it: like the line above, one step deeper after `:` or an open bracket."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    offered = _indentation(line)
    if line.endswith((":", "(", "[", "{")):
        offered += "\t" if "\n\t" in text else "    "
    wanted = _indentation(text[at + 1 :])
    agreed = common_prefix(offered, wanted)
    line_start = at + 1
    yield Key("newline", 0.0, at, 0, "\n" + offered, line_start + agreed if agreed == len(offered) else None)
    if len(offered) > agreed:
        yield Key("indent", 0.0, line_start + agreed, len(offered) - agreed, "", line_start + agreed)
    if len(wanted) > agreed:
        yield Key("indent", 0.0, line_start + agreed, 0, wanted[agreed:], line_start + len(wanted))


def _indentation(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def _paced(passages: Sequence[Sequence[Key]], rng: random.Random) -> tuple[tuple[Key, ...], ...]:
    """Give every key its gap: log-normal around the median, longer before some kinds and after a jump."""
    gaps = [
        [
            rng.lognormvariate(0.0, GAP_SPREAD) * (_PAUSES.get(key.kind, 1.0) if index else _JUMP_PAUSE)
            for index, key in enumerate(passage)
        ]
        for passage in passages
    ]
    every = [gap for passage in gaps for gap in passage]
    unit = MEDIAN_GAP_MS / statistics.median(every) if every else 0.0
    return tuple(
        tuple(replace(key, gap_ms=gap * unit) for key, gap in zip(passage, passage_gaps, strict=True))
        for passage, passage_gaps in zip(passages, gaps, strict=True)
    )
