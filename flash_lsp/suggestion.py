"""What the model writes at a cursor, token by token: where it is complete, how likely it is, and how much of it."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flash_engine import Token
from flash_lsp.filters.block import block_end
from flash_lsp.filters.repetition import repeats
from flash_lsp.text import LINE_END

StatementEnd = Callable[[str, str], int | None]
"""(prefix, text) -> where in `text` a line suggested at the end of `prefix` is complete; None if it may go on."""

_LIKELY = 0.35
"""In terms of the gate, the joint log-probability that the first word of an unlikely line needs."""

_MORE_LIKELY = 0.14
"""The same for more words."""

_SHORTEST_LIKELY = 2
"""Characters of such a beginning. For one sign nobody presses another key."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What the model would write at the cursor, before any filter, and what it cost."""

    text: str
    finish: str
    """line, block (complete), stop (the model's own end), repetition, unsure, length, deadline, cancelled,
    capacity."""
    tokens: int
    """Tokens generated, those that spell held-back text included."""
    logprob: float
    """Natural log-probability of the least likely line of `text`, by all its tokens; 0 if there are none."""
    first_ms: float
    """From the call to the first character of `text`; 0 if there is none."""
    total_ms: float
    reused: int
    """Prompt tokens found in the KV cache."""
    computed: int
    """Tokens put through the model: the rest of the prompt and what was generated."""
    silence: str | None
    """Why `text` is empty, where the engine's work was cut short before the first character; else None."""
    likely: str = ""
    """The beginning of `text` that is likely enough where all of it is not: complete lines, or else whole words."""
    others: tuple[Suggestion, ...] = ()
    """Different texts for the same place, if they were asked for."""
    passes: int = 0
    """Speculative decoding: passes of the model that generated the tokens; 0 if it was plain."""
    drafted: Mapping[str, int] = field(default_factory=dict)
    """Tokens verified as drafts, by source (flash_engine.speculation.Source)."""
    accepted: Mapping[str, int] = field(default_factory=dict)


class Output:
    """The tokens so far as text: whole characters only, without the held bytes, up to where it is
    complete, or so unlikely that the rest is not worth its tokens."""

    def __init__(
        self,
        prefix: str,
        held: bytes,
        *,
        max_lines: int,
        max_tokens: int,
        gate: float = -math.inf,
        statement_end: StatementEnd | None = None,
    ) -> None:
        """prefix: the text before the cursor, which ends in `held`, the bytes that the tokens spell first.
        max_tokens: most tokens that reach past them. gate: the log-probability that each line needs. For the rest
        see Completer.complete."""
        self._prefix = prefix
        self._held = len(held)
        self._max_lines = max_lines
        self._max_tokens = max_tokens
        self._gate = gate
        self._statement_end = statement_end
        self._data = b""
        self._scored: list[tuple[int, float]] = []
        self.ids: list[int] = []
        self.text = ""
        self.finish: str | None = None

    @property
    def logprob(self) -> float:
        """The joint log-probability of the least likely line of `text`."""
        return min(map(self._joint, [0, *self._line_ends], [*self._line_ends, len(self.text)]))

    @property
    def likely(self) -> str:
        """The complete lines, up to the first whose joint log-probability is below the gate; or else the whole words of
        the first line, the first if its joint one is at least _LIKELY times the gate, more if at least _MORE_LIKELY."""
        ends = self._line_ends[: 1 if self._max_lines == 1 else None]
        passing = itertools.takewhile(
            lambda span: self._joint(*span) >= self._gate, itertools.pairwise([0, *ends])
        )
        lines = self.text[: max((end for _, end in passing), default=0)]
        if len(lines.strip()) >= _SHORTEST_LIKELY:
            return lines
        line = self.text[: ends[0] if ends else None]
        joint, words = 0.0, ""
        for (_, logprob), (after, _) in itertools.pairwise(self._scored):
            joint += logprob
            if joint < self._gate * (_MORE_LIKELY if words else _LIKELY):
                break
            sure = _whole_characters(line.encode()[: max(after - self._held, 0)])
            begun = _whole_words(line, len(sure))
            if len(begun.strip()) >= _SHORTEST_LIKELY:
                words = begun
        return words

    @property
    def _line_ends(self) -> list[int]:
        """Where the complete lines of `text` end, from its first visible character on."""
        first = len(self.text) - len(self.text.lstrip())
        return [end.start() for end in LINE_END.finditer(self.text, first)]

    def _joint(self, start: int, end: int | None = None) -> float:
        """The log-probability of all tokens that begin in text[start:end]; those of held bytes are of the beginning."""
        least = self._bytes(start) if start else 0
        most = math.inf if end is None else self._bytes(end)
        return sum(logprob for begin, logprob in self._scored if least <= begin < most)

    def _bytes(self, length: int) -> int:
        """Bytes of the tokens up to the first `length` characters of `text`."""
        return self._held + len(self.text[:length].encode())

    def add(self, token: Token) -> bool:
        """Take the next token; whether the text has grown. Sets `finish` when no more tokens are wanted."""
        self.ids.append(token.id)
        start = len(self._data)
        self._data += token.data
        if len(self._data) > self._held:
            self._scored.append((start, token.logprob))
        text = _whole_characters(self._data[self._held :])
        end = self._end(text)
        if end is not None:
            text, self.finish = text[:end], "line" if self._max_lines == 1 else "block"
        elif repeats(self.ids):
            self.finish = "repetition"
        else:
            text = text[: self._open_line(text)]
        grown = len(text) > len(self.text)
        self.text = text
        if not self.finish and len(self._scored) >= self._max_tokens:
            self.finish = "length"
        if not self.finish and self._joint(max(self._line_ends, default=0)) < self._gate:
            self.finish = "unsure"
        return grown

    def _end(self, text: str) -> int | None:
        """Where `text` is complete; None if it may go on."""
        if self._statement_end and self._max_lines == 1:
            return self._statement_end(self._prefix, text)
        return block_end(self._prefix, text, self._max_lines)

    def _open_line(self, text: str) -> int | None:
        """The end of the first line of a statement that is not complete, the line end included: what there is of it
        until it is; None: all of it."""
        end = block_end(self._prefix, text, 1) if self._max_lines == 1 else None
        return None if end is None else end + 1


def _whole_words(line: str, length: int) -> str:
    """The first `length` characters of `line` less a word that goes on behind them and trailing space."""
    beginning = line[:length]
    if re.match(r"\w", line[length:]):
        beginning = re.sub(r"\w+\Z", "", beginning)
    return beginning.rstrip()


def _whole_characters(data: bytes) -> str:
    """`data` up to the first byte that does not belong to a complete UTF-8 character."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        return data[: error.start].decode()
