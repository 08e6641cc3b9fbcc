"""The texts that drafts are taken from, read in small steps; of a text that changes, only what changed."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

from flash_engine.common import common_prefix, common_suffix
from flash_engine.speculation.suffixes import SuffixIndex
from flash_engine.tokenizer import Tokenizer

CAPACITY = 1 << 17
"""Tokens of the index, after which it begins anew with the open texts: about 20 MB."""

_OPEN_TEXTS = 8
_STEP = 1000
"""Characters that a step reads, about: half a millisecond."""
_MOST = CAPACITY
"""Characters of one text that are read at once: with 8 such texts the index is about half full."""
_CONTEXT_LINES = 2
"""Whole lines read again before and after a change, so that its tokens are those that it has in its text."""


class Corpus:
    """Open texts by name, and loose token sequences, in one SuffixIndex. Use it on the engine's model thread."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.index = SuffixIndex()
        self._tokenizer = tokenizer
        self._texts: OrderedDict[str, str] = OrderedDict()
        self._pending: deque[str] = deque(maxlen=_OPEN_TEXTS * _MOST // _STEP)

    def update(self, name: str, text: str) -> None:
        """Take note of the present text of `name`: what changed since the last call is read by the next steps."""
        before = self._texts.pop(name, "")
        self._texts[name] = text
        if len(self._texts) > _OPEN_TEXTS:
            self._texts.popitem(last=False)
        if text != before:
            self._read(changed_lines(before, text)[:_MOST])

    def forget(self, name: str) -> None:
        """`name` is closed; its tokens stay until the index begins anew."""
        self._texts.pop(name, None)

    def add(self, tokens: Sequence[int]) -> None:
        """Take in tokens that are no part of an open text, such as a suggestion."""
        self.index.add(tokens)

    def step(self) -> bool:
        """Read a little of what has changed; whether more is left to read."""
        if self._pending:
            self.index.add(self._tokenizer.encode(self._pending.popleft()))
        if len(self.index) > CAPACITY:
            self._begin_anew()
        return bool(self._pending)

    def _begin_anew(self) -> None:
        self.index = SuffixIndex()
        self._pending.clear()
        for text in self._texts.values():
            self._read(text[:_MOST])

    def _read(self, text: str) -> None:
        """Queue `text` in pieces of whole lines, each beginning with the last line of the one before."""
        start = 0
        while start < len(text):
            end = text.find("\n", start + _STEP) + 1 or len(text)
            self._pending.append(text[_line_before(text, start) : end])
            start = end


def changed_lines(before: str, after: str) -> str:
    """The lines of `after` that differ from `before`, with a few around them."""
    begin = common_prefix(before, after)
    end = len(after) - common_suffix(before[begin:], after[begin:])
    for _ in range(_CONTEXT_LINES):
        begin = _line_before(after, begin)
        end = after.find("\n", end) + 1 or len(after)
    return after[begin:end]


def _line_before(text: str, place: int) -> int:
    """Start of the line that `place` stands in, or at a line's start, of the line before."""
    return text.rfind("\n", 0, max(place - 1, 0)) + 1
