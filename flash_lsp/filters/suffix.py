"""Cutting from a suggestion what stands after the cursor already."""

from __future__ import annotations

import re

from flash_lsp.filters.brackets import BracketReader, reader_at_cursor
from flash_lsp.filters.candidate import Candidate, Silence
from flash_lsp.text import LINE_END

_CLOSERS = re.compile(r"[\s)\]}>;:,]*")
_WORD = re.compile(r"\w\w")


def cut_repeated_suffix(candidate: Candidate) -> str | Silence:
    """Cut the end of the cursor's line where the suggestion spells it again, then lines that are the
    next line."""
    text = _cut_closed_string(candidate, candidate.text)
    text = _cut_rest_of_line(candidate, text)
    text = _cut_next_line(candidate, text)
    return text if text.strip() else Silence.REPEATS_SUFFIX


def _cut_closed_string(candidate: Candidate, text: str) -> str:
    """Inside a string that is closed right of the cursor: cut where the suggestion closes it too."""
    quote = reader_at_cursor(candidate).closer
    if quote is None or not candidate.line_after.startswith(quote):
        return text
    closed = re.match(rf"(?:[^\\]|\\.)*?(?={re.escape(quote)})", text, re.DOTALL)
    return closed[0] if closed else text


def _cut_rest_of_line(candidate: Candidate, text: str) -> str:
    """Cut what the rest of the cursor's line will say: all of it word for word, or from the bracket that
    it closes."""
    rest = candidate.line_after.strip()
    if not rest:
        return text
    if not _CLOSERS.fullmatch(rest):
        text = LINE_END.split(text, maxsplit=1)[0]
        return text.removesuffix(rest).rstrip() if text.endswith(rest) else text
    reader = BracketReader(candidate.language)
    reader.closer = reader_at_cursor(candidate).closer
    for offset in reader.read(text):
        if text[offset] == rest[0]:
            return text[:offset]
    return text.removesuffix(rest) if rest[0] in ";:," else text


def _cut_next_line(candidate: Candidate, text: str) -> str:
    """Cut from the first line that is the line below the cursor, its indentation included.

    A line without a word (a closing bracket) counts as such only where it closes nothing in the suggestion.
    """
    below = LINE_END.split(candidate.suffix)[1:]
    following = next((line.rstrip() for line in below if line.strip()), None)
    if following is None:
        return text
    reader = BracketReader(candidate.language)
    at = 0
    for end in [*LINE_END.finditer(text), None]:
        stop = end.start() if end else len(text)
        line = text[at:stop] if at else candidate.line_before + text[at:stop]
        closes_nothing = any(True for _ in reader.read(text[at:stop]))
        if line.rstrip() == following and (closes_nothing or _WORD.search(line)):
            return text[:at].rstrip()
        at = end.end() if end else at
    return text
