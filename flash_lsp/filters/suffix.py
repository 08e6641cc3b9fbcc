"""Cutting from a suggestion what stands after the cursor already."""

from __future__ import annotations

import re

from flash_lsp.filters.brackets import BracketReader, reader_at_cursor
from flash_lsp.filters.candidate import Candidate, Silence
from flash_lsp.text import LINE_END

_CLOSERS = re.compile(r"[\s)\]}>;:,]*")
_WORD = re.compile(r"\w\w")


def cut_repeated_suffix(candidate: Candidate) -> str | Silence:
    """Cut the end of the cursor's line where the suggestion spells it again, then lines that are the next line."""
    text = candidate.text
    rest = candidate.line_after.strip()
    if rest:
        closer = reader_at_cursor(candidate).closer
        if closer is not None and candidate.line_after.startswith(closer):
            text = _cut_at_closer(text, closer)
        text = _cut_rest_of_line(candidate.language, text, rest, closer)
        if candidate.line_after[:1].isspace():
            text = text.rstrip()
    text = _cut_line_below(candidate, text)
    return text if text.strip() else Silence.REPEATS_SUFFIX


def _cut_at_closer(text: str, closer: str) -> str:
    """Cut where the suggestion, inside a string that is closed right of the cursor, closes it too."""
    inside = re.match(rf"(?:[^\\]|\\.)*?(?={re.escape(closer)})", text, re.DOTALL)
    return inside[0] if inside else text


def _cut_rest_of_line(language: str, text: str, rest: str, closer: str | None) -> str:
    """Cut what the rest of the cursor's line will say: all of it word for word, or from the bracket it closes."""
    if not _CLOSERS.fullmatch(rest):
        text = LINE_END.split(text, maxsplit=1)[0]
        return text.removesuffix(rest).rstrip() if text.endswith(rest) else text
    reader = BracketReader(language)
    reader.closer = closer
    for offset in reader.read(text):
        if text[offset] == rest[0]:
            return text[:offset]
    return text.removesuffix(rest) if rest[0] in ";:," else text


def _cut_line_below(candidate: Candidate, text: str) -> str:
    """Cut from the first line that is the line below the cursor, its indentation included.

    A line without a word (a closing bracket) counts as such only where it closes nothing in the suggestion.
    """
    below = candidate.line_below
    if below is None:
        return text
    reader = BracketReader(candidate.language)
    at = 0
    for end in [*LINE_END.finditer(text), None]:
        stop = end.start() if end else len(text)
        line = text[at:stop] if at else candidate.line_before + text[at:stop]
        closes_nothing = any(True for _ in reader.read(text[at:stop]))
        if line.rstrip() == below and (closes_nothing or _WORD.search(line)):
            return text[:at].rstrip()
        at = end.end() if end else at
    return text
