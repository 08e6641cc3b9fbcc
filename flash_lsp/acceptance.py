"""Acceptance inferred from edits: no editor says what became of a suggestion, but the text shows it.

After Copilot's rule (accepted is what the document has taken over) and Zed's kept rate (how much of it is still there
later). Holds text of documents in memory for 30 seconds, never in a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Protocol

from flash_lsp import statistics
from flash_lsp.text import Document, Edit

KEPT_SECONDS = 30.0
_KEPT_SHARE = 0.75
"""Of its words, for an accepted text to count as kept."""

_WORD = re.compile(r"\w+|[^\w\s]")


class Timer(Protocol):
    def cancel(self) -> None: ...


@dataclass(slots=True)
class _Accepted:
    """A text that was accepted, and the offsets where it stands now."""

    text: str
    start: int
    end: int

    def follow(self, edit: Edit) -> None:
        grown = len(edit.inserted) - edit.removed
        if edit.start + edit.removed <= self.start:
            self.start += grown
            self.end += grown
        elif edit.start < self.end:
            self.end = max(self.end + grown, edit.start)


class Acceptance:
    """What becomes of the suggestions in one document. `count(name)` is called for each event."""

    def __init__(
        self,
        document: Document,
        count: Callable[[str], None],
        later: Callable[[float, Callable[[], Any]], Timer],
    ) -> None:
        self._document = document
        self._count = count
        self._later = later
        self._offset = 0
        self._rest = ""
        self._taken = False
        self._accepted: list[_Accepted] = []
        self._timers: list[Timer] = []

    def shown(self, offset: int, text: str) -> None:
        """`text` is on the screen, at `offset`. What was there already, or has grown longer, is not counted again."""
        if not (self._rest and offset == self._offset and text.startswith(self._rest)):
            self._count(statistics.SHOWN)
            self._taken = False
        self._offset, self._rest = offset, text

    def changed(self, edits: Sequence[Edit]) -> None:
        """The document was edited."""
        for accepted in self._accepted:
            for edit in edits:
                accepted.follow(edit)
        if len(edits) != 1 or not self._rest:
            self._rest = ""
            return
        edit = edits[0]
        inserted = edit.inserted.replace("\r\n", "\n")
        if edit.removed or edit.start != self._offset or not self._rest.startswith(inserted):
            self._rest = ""
            return
        self._rest = self._rest[len(inserted) :]
        self._offset = edit.end
        if (
            len(inserted) > 1 and inserted.strip()
        ):  # a key types one character, or a line end with its indentation
            self._accept(edit)

    def close(self) -> None:
        """The document is closed: what is not judged yet is not judged."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _accept(self, edit: Edit) -> None:
        if not self._rest:
            self._count(statistics.ACCEPTED)
        elif not self._taken:
            self._count(statistics.PARTIAL)
        self._taken = True
        accepted = _Accepted(edit.inserted, edit.start, edit.end)
        self._accepted.append(accepted)
        self._timers.append(self._later(KEPT_SECONDS, lambda: self._judge(accepted)))

    def _judge(self, accepted: _Accepted) -> None:
        self._accepted.remove(accepted)
        self._timers = self._timers[1:]
        self._count(statistics.JUDGED)
        if kept_share(accepted.text, self._document.text[accepted.start : accepted.end]) >= _KEPT_SHARE:
            self._count(statistics.KEPT)


def kept_share(proposed: str, now: str) -> float:
    """Share of the words of `proposed` that are in `now`, in their order."""
    words = _WORD.findall(proposed)
    matcher = SequenceMatcher(None, words, _WORD.findall(now), autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks()) / len(words) if words else 1.0
