"""Cases for measuring completion: lines of real source files, cut where a user could be typing."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from flash_lsp.filters.brackets import BracketReader

SOURCES = {".py", ".c", ".h", ".cpp", ".go", ".java", ".js", ".lua", ".metal", ".rs", ".sh", ".ts"}
TYPED_LINES = range(200, 1001)
"""Of the files that are typed where none are named."""
_SKIPPED_FOLDERS = {"build", "dist", "node_modules", "site-packages", "test", "__pycache__"}
_PREFIX = 1500
_SUFFIX = 600
_MIN_GOLD = 4
_LINE_SIZES = range(_MIN_GOLD, 200)
_FILE_SIZES = range(500, 300_000)
_TOKEN = re.compile(r"\w+|[^\w\s]")
_CLOSERS = ")]}:;,"
_DOCSTRING = re.compile(r'^[ \t]*"""([A-Z][^"]{800,})"""', re.MULTILINE)
_WORD_END = re.compile(rf"(?<=\S)(?= \S.{{{_MIN_GOLD}}})")
_TOLD = 300
"""Characters of a docstring before the cursor, and after it, at least."""


@dataclass(frozen=True, slots=True)
class Case:
    """A place in a file and the text that stands there."""

    path: str
    prefix: str
    """Up to 1,500 characters before the cursor, from a line start on."""
    suffix: str
    """Up to 600 characters from the end of the cursor's line on, whole lines, the line end included."""
    gold: str
    """The rest of the line without trailing space, at least 4 characters, `rest` excepted."""
    rest: str = ""
    """What stands right of the cursor on its line, after `gold`."""


def rest_of_line(folder: Path, *, count: int, seed: int) -> list[Case]:
    """`count` cases, or as many as there are, from the sources under `folder`, spread evenly over their lines.

    Half of the cuts are at the start of a word or sign, half inside a word where the line has one. The same
    files and seed give the same cases.
    """
    texts = dict(source_files(folder))
    places = [
        (path, match.start(), match.end())
        for path, text in texts.items()
        for match in re.finditer(r"\S.*\S", text)
        if match.end() - match.start() in _LINE_SIZES
    ]
    rng = random.Random(seed)
    rng.shuffle(places)
    cases = (_cut(path, texts[path], start, end, rng) for path, start, end in places[:count])
    return list(cases)


def in_docstring(folder: Path, *, count: int, seed: int) -> list[Case]:
    """`count` cases, or as many as there are, from long docstrings of Python files under `folder`, each of another
    file, cut after a word well inside. The same files and seed give the same cases."""
    texts = [(path, text) for path, text in source_files(folder) if path.endswith(".py")]
    rng = random.Random(seed)
    rng.shuffle(texts)
    cases: list[Case] = []
    for path, text in texts:
        places = [
            place.start()
            for told in _DOCSTRING.finditer(text)
            for place in _WORD_END.finditer(text, told.start(1) + _TOLD, told.end(1) - _TOLD)
        ]
        if places and len(cases) < count:
            cut = rng.choice(places)
            gold = text[cut : text.index("\n", cut)].rstrip()
            cases.append(_at(path, text, cut, cut + len(gold)))
    return cases


def with_closers_right(case: Case) -> Case | None:
    """The case with the end of its line right of the cursor, from where it closes a bracket opened before the
    cursor, as an editor does by itself; None if that end is not brackets and punctuation alone, or too little is
    left."""
    end = next(BracketReader("").read(case.gold), 0)
    if end < _MIN_GOLD or case.gold[end:].strip(_CLOSERS):
        return None
    return replace(case, gold=case.gold[:end], rest=case.gold[end:])


def with_tail_right(case: Case) -> Case | None:
    """The case with the second half of its gold, from a word or sign on, right of the cursor; None if too short."""
    starts = [token.start() for token in _TOKEN.finditer(case.gold) if token.start() >= len(case.gold) // 2]
    gold = case.gold[: starts[0]].rstrip() if starts else ""
    if len(gold) < _MIN_GOLD:
        return None
    return replace(case, gold=gold, rest=case.gold[len(gold) :])


def source_files(folder: Path) -> Iterator[tuple[str, str]]:
    """(path below `folder`, text) of each source file, in the order of the paths."""
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        hidden = any(part.startswith(".") or part in _SKIPPED_FOLDERS for part in inner.parts[:-1])
        if hidden or path.suffix not in SOURCES or not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if len(text) in _FILE_SIZES:
            yield inner.as_posix(), text


def _cut(path: str, text: str, start: int, end: int, rng: random.Random) -> Case:
    line = text[start:end]
    last = len(line) - _MIN_GOLD
    tokens = [token.span() for token in _TOKEN.finditer(line)]
    boundaries = [first for first, _ in tokens if first <= last]
    inside = [at for first, after in tokens for at in range(first + 1, after) if at <= last]
    return _at(path, text, start + rng.choice(inside if inside and rng.random() < 0.5 else boundaries), end)


def _at(path: str, text: str, cut: int, end: int) -> Case:
    """The case of a cursor at `cut`, its gold up to `end`."""
    before = text[max(cut - _PREFIX, 0) : cut]
    if cut > _PREFIX:
        before = before[before.find("\n") + 1 :]
    line_end = text.find("\n", end)
    below = text[line_end : line_end + _SUFFIX] if line_end >= 0 else ""
    return Case(path, before, below[: below.rfind("\n") + 1], text[cut:end])
