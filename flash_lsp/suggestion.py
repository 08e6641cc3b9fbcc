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

_HOPELESS = (math.inf, 1.5, 1.2, 1.0)
"""In terms of the gate, the means below which a text seldom recovers after one token, two, three, and more."""

_LIKELY = 2.5
"""In terms of the gate, the joint log-probability that the first word of an unlikely text needs."""

_MORE_LIKELY = 1.0
"""The same for more words."""

_SHORTEST_LIKELY = 2
"""Characters of such words. For one sign nobody presses another key."""


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
    """Mean natural log-probability of the tokens of `text`; 0 if there are none."""
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
        max_tokens: most tokens that reach past them. gate: the mean log-probability that a text needs. For the rest
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
        """Mean over the tokens of `text`."""
        return self._mean(len(self.text))

    @property
    def _is_hopeless(self) -> bool:
        """Whether the text will most likely stay below the gate."""
        if not self._scored:
            return False
        mean = sum(logprob for _, logprob in self._scored) / len(self._scored)
        return mean < self._gate * _HOPELESS[min(len(self._scored), len(_HOPELESS)) - 1]

    @property
    def likely(self) -> str:
        """The complete lines, as many as have a mean log-probability of at least the gate; or else the whole words of
        the first line, the first if its joint one is at least _LIKELY times the gate, more if at least _MORE_LIKELY."""
        first = len(self.text) - len(self.text.lstrip())
        ends = [end.start() for end in LINE_END.finditer(self.text, first)]
        if self._max_lines == 1:
            ends = ends[:1]
        passing = [end for end in ends if self._mean(end) >= self._gate]
        if passing:
            return self.text[: passing[-1]]
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

    def _mean(self, length: int) -> float:
        """Mean log-probability over the tokens of the first `length` characters."""
        size = self._held + len(self.text[:length].encode())
        parts = [logprob for start, logprob in self._scored if start < size]
        return sum(parts) / len(parts) if parts else 0.0

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
        if not self.finish and self._is_hopeless:
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
