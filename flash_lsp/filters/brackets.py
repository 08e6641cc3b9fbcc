"""Brackets and strings, read without a parser: enough to tell which closing bracket has no opening one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flash_lsp import languages
from flash_lsp.filters.candidate import Candidate, Silence

_OPENER = {")": "(", "]": "[", "}": "{"}
_LOOK_BACK = 4000
"""Characters before the cursor that are read for brackets left open."""


class BracketReader:
    """Reads text piece by piece, knowing which brackets are open and which string or comment it is in.

    A string in single or double quotes ends with its line at the latest.
    """

    def __init__(self, language: str) -> None:
        rules = languages.language(language)
        comment = rules.line_comment
        character = "'(?:\\\\[^']+|[^'\\\\\n])'" if rules.character_literals else "'"
        block = r"|/\*" if rules.block_comments else ""
        self._closers = {'"""': '"""', "'''": "'''", '"': '"', "'": "'", "`": "`", comment: "\n", "/*": "*/"}
        self._in_code = re.compile(
            rf"\\.|\"\"\"|'''|\"|{character}|`|{comment}{block}|[()\[\]{{}}]", re.DOTALL
        )
        self.openers: list[str] = []
        self.closer: str | None = None
        """What ends the string or comment that the text so far ends in; None: it ends in code."""

    def read(self, text: str) -> Iterator[int]:
        """Read `text`; yields the offset of each closing bracket whose opening one is not the last left open."""
        at = 0
        while found := self._next(text, at):
            at = found.end()
            token = found[0]
            if self.closer:
                if token in (self.closer, "\n"):
                    self.closer = None
            elif token in self._closers:
                self.closer = self._closers[token]
            elif token in _OPENER.values():
                self.openers.append(token)
            elif token in _OPENER and not self._close(_OPENER[token]):
                yield found.start()

    def read_all(self, text: str) -> None:
        """Read `text`, whatever it closes."""
        for _ in self.read(text):
            pass

    def _next(self, text: str, at: int) -> re.Match[str] | None:
        if self.closer is None:
            return self._in_code.search(text, at)
        line_end = "|\n" if self.closer in ('"', "'") else ""
        return re.compile(rf"\\.|{re.escape(self.closer)}{line_end}", re.DOTALL).search(text, at)

    def _close(self, opener: str) -> bool:
        """Close `opener`, and what was left open inside it; whether it was the last one open."""
        last = bool(self.openers) and self.openers[-1] == opener
        if opener in self.openers:
            while self.openers.pop() != opener:
                pass
        return last


def reader_at_cursor(candidate: Candidate) -> BracketReader:
    """A reader that has read the text before the cursor, or the last few thousand characters of it."""
    reader = BracketReader(candidate.language)
    reader.read_all(_recent(candidate.prefix))
    return reader


def closes(language: str, typed: str, closed: str) -> bool:
    """Whether `closed` is, white space apart, what closes the innermost brackets and quotes left open by `typed`."""
    reader = BracketReader(language)
    reader.read_all(typed)
    pairs = {opener: closer for closer, opener in _OPENER.items()}
    expected = (reader.closer or "") + "".join(pairs[opener] for opener in reversed(reader.openers))
    closers = "".join(closed.split())
    return bool(closers) and expected.startswith(closers)


def cut_unbalanced(candidate: Candidate) -> str | Silence:
    """Cut before the first closing bracket that closes nothing, if the brackets before the cursor are
    known."""
    if not _OPENER.keys() & set(candidate.text):
        return candidate.text
    reader = reader_at_cursor(candidate)
    all_known = len(candidate.prefix) <= _LOOK_BACK
    for offset in reader.read(candidate.text):
        if all_known or reader.openers:
            return candidate.text[:offset].rstrip() or Silence.UNBALANCED
    return candidate.text


def _recent(prefix: str) -> str:
    if len(prefix) <= _LOOK_BACK:
        return prefix
    return prefix[prefix.find("\n", len(prefix) - _LOOK_BACK) + 1 :]
