"""Which text of a document goes into its prompts, chosen so that a keystroke leaves it where it is.

A KV cache is reused up to the first token that differs. So the window's start moves in coarse steps only, the
suffix is kept while it changes little, and, for a model that wants the prefix before the suffix, the split
between them stays at a line start while the user types on (the anchored split).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import NamedTuple

_MAX_TYPED = 800
"""Characters after the anchor beyond which a new anchor is set."""

_ALIKE = 0.85
"""Share of its lines that a frozen suffix must have in common with the document's."""

_HEAD = 120
"""Characters at the window's start by which it is found again."""

_CLOSERS = re.compile(r"[\s)\]}>\"'`:;,]*")


class ContextBlock(NamedTuple):
    """Text of another file, as the model reads it before the file that is completed."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Window:
    """The text of one prompt. `typed` follows the split; None: the split is at the cursor."""

    prefix: str
    suffix: str
    typed: str | None = None


def below_cursor(suffix: str, limit: int) -> str:
    """The suffix window: at most `limit` UTF-8 bytes of `suffix`, cut at a line end.

    It begins at the line end when nothing but space and closers stands right of the cursor: what an
    editor closes by itself comes and goes with every bracket typed, and must not move the prompt.
    """
    rest, newline, below = suffix.partition("\n")
    if _CLOSERS.fullmatch(rest):
        suffix = newline + below
    cut = suffix[:limit].encode(errors="replace")[:limit].decode(errors="ignore")
    if len(cut) < len(suffix):
        cut = cut[: cut.rfind("\n") + 1] or cut
    return cut


class PromptState:
    """What must stay put between the keystrokes of one document: where its windows lie, and the context, blocks of
    other files, before it. budget: tokens of its own text in a prompt; None: the completer's."""

    def __init__(self, context: Sequence[ContextBlock] = (), budget: int | None = None) -> None:
        self.context = context
        self.budget = budget
        self._start = 0
        self._head = ""
        self._size = 0
        self._suffix = ""
        self._anchored: str | None = None

    def freeze(self, suffix: str, limit: int) -> str:
        """The suffix window: the one of the last call while the text now there differs little from it."""
        fresh = below_cursor(suffix, limit)
        if not _alike(self._suffix, fresh):
            self._suffix = fresh
        return self._suffix

    def enter(self, prefix: str, suffix: str, limit: int) -> str:
        """The prefix window, from where it started last time if that line is still there, well above the
        cursor.

        Otherwise from a line start at most `limit` characters above the cursor.
        """
        shift = len(prefix) + len(suffix) - self._size
        self._size += shift
        for start in (self._start, self._start + shift):
            enough = start == 0 or len(prefix) - start >= limit // 4
            if enough and self._head and prefix.startswith(self._head, max(start, 0)):
                return self._begin(prefix, max(start, 0))
        return self._begin(prefix, _line_start(prefix, max(len(prefix) - limit, 0)))

    def narrow(self, prefix: str) -> str:
        """The prefix window without its first half, from a line start on: it was over the budget."""
        return self._begin(prefix, _line_start(prefix, (self._start + len(prefix) + 1) // 2))

    def split(self, window: str) -> tuple[str, str]:
        """A prefix window cut at the anchor: (text before the split, text typed since).

        The anchor is the start of the cursor's line when it is set; it stays until the text above it
        changes or what is typed grows long.
        """
        anchored = self._anchored
        if anchored is None or not window.startswith(anchored) or len(window) > len(anchored) + _MAX_TYPED:
            anchored = self._anchored = window[: window.rfind("\n") + 1]
        return anchored, window[len(anchored) :]

    def _begin(self, prefix: str, start: int) -> str:
        self._start = start
        self._head = prefix[start : start + _HEAD]
        return prefix[start:]


def _line_start(text: str, at: int) -> int:
    """The first line start at or after offset `at`; `at` itself if there is none."""
    return text.find("\n", at - 1) + 1 or at if at else 0


def _alike(old: str, new: str) -> bool:
    if old == new:
        return True
    old_lines, new_lines = old.split("\n"), new.split("\n")
    same_beginning = old_lines[:2] == new_lines[:2]
    return same_beginning and SequenceMatcher(None, old_lines, new_lines, autojunk=False).ratio() >= _ALIKE
