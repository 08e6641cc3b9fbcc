"""One place in a text in, one suggestion out: the prompt, the engine, and where to stop. Knows nothing
of LSP."""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event

from flash_engine import Cancelled, Session, Token, Tokenizer, sampling
from flash_engine.constraint import remaining
from flash_lsp.filters.block import block_end
from flash_lsp.filters.repetition import repeats
from flash_lsp.flight import Guess
from flash_lsp.inference import InferenceEngine, InferenceSession, TokenStream
from flash_lsp.prompt import templates
from flash_lsp.prompt.builder import Prompt, build, context_tokens
from flash_lsp.prompt.encoder import BlockEncoder
from flash_lsp.prompt.window import ContextBlock, PromptState
from flash_lsp.text import LINE_END

StatementEnd = Callable[[str, str], int | None]
"""(prefix, text) -> where in `text` a line suggested at the end of `prefix` is complete; None if it may go on."""

PROMPT_TOKENS = 768
"""Budget of a prompt while typing: what a CPU of two cores reads in one to three seconds."""

TRAINED_TOKENS = 2048
"""Budget of a prompt given as it is: the bundled model's longest training rows."""


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


class Completer:
    """Completes code with a loaded engine. Call `complete` on the engine's model thread."""

    def __init__(
        self,
        engine: InferenceEngine,
        *,
        repository: str | None = None,
        template: str | None = None,
        budget: int = PROMPT_TOKENS,
    ) -> None:
        """repository: name for the prompt's repository header, none if None. template: of the table in
        prompt/templates.py, by name, in place of the model's own. budget: tokens of a prompt while typing.

        Raises ModelError if `template` is unknown or does not fit the model's tokenizer.
        """
        self.engine = engine
        self.template = templates.choose(engine.name, engine.tokenizer, template)
        self._repository = repository
        self._budget = budget
        self._encoder = BlockEncoder(engine.tokenizer)

    def prompt(
        self, path: str, prefix: str, suffix: str, *, state: PromptState | None = None, max_tokens: int
    ) -> Prompt:
        """The prompt that `complete` would use, with room for `max_tokens` after it."""
        room = self.engine.backend.capacity - max_tokens
        own = TRAINED_TOKENS - max_tokens if state is None else state.budget or self._budget
        return build(
            self.template,
            self._encoder,
            path,
            prefix,
            suffix,
            budget=min(room, own),
            state=state,
            repository=self._repository,
        )

    def context_tokens(self, context: Sequence[ContextBlock]) -> list[int]:
        """The tokens of blocks of other files in a prompt."""
        return context_tokens(self.template, self._encoder, context)

    def complete(
        self,
        path: str,
        prefix: str,
        suffix: str,
        *,
        session: InferenceSession,
        state: PromptState | None = None,
        max_lines: int,
        max_tokens: int,
        deadline: float | None = None,
        min_logprob: float = -math.inf,
        cancel: Event | None = None,
        progress: Callable[[str], None] | None = None,
        seconds: float | None = None,
        guessed: Callable[[Guess], None] | None = None,
        statement_end: StatementEnd | None = None,
    ) -> Suggestion:
        """Complete between `prefix` and `suffix`, the whole texts of the file before and after the cursor.

        path: of the file, relative to its workspace. session: whose KV cache is used and left at the
        prompt and what was generated. state: of the document while it is edited; None: prefix and suffix
        enter the prompt exactly as they are. max_lines: 1 stops at the line's end, more at the block's.
        deadline: a time.monotonic() value. min_logprob: a text less likely than this, as a mean, is not worth
        its completion, but its beginning may be likely enough. progress: called with the text so far when it has grown.
        seconds, guessed: if the model would not answer within `seconds`, its draft model does so first, and `guessed`
        is called with that text as it grows; the result is the model's own as ever. statement_end: where a single line
        ends that leaves brackets open; None: at its line end.
        Raises CapacityError if the prompt's fixed parts do not fit the context.
        """
        return self.continue_prompt(
            self.prompt(path, prefix, suffix, state=state, max_tokens=max_tokens),
            prefix,
            session=session,
            max_lines=max_lines,
            max_tokens=max_tokens,
            deadline=deadline,
            min_logprob=min_logprob,
            cancel=cancel,
            progress=progress,
            seconds=seconds,
            guessed=guessed,
            statement_end=statement_end,
        )

    def continue_prompt(
        self,
        prompt: Prompt,
        prefix: str,
        *,
        session: InferenceSession,
        max_lines: int,
        max_tokens: int,
        deadline: float | None = None,
        min_logprob: float = -math.inf,
        cancel: Event | None = None,
        progress: Callable[[str], None] | None = None,
        seconds: float | None = None,
        guessed: Callable[[Guess], None] | None = None,
        statement_end: StatementEnd | None = None,
    ) -> Suggestion:
        """`complete` from a prompt made already for the end of `prefix`."""
        run = _Run(session, prompt, prefix, max_lines, max_tokens, min_logprob, progress, statement_end)
        if (
            seconds is not None
            and guessed is not None
            and isinstance(session, Session)
            and session.draft_answers_first(prompt.tokens, seconds)
        ):
            self._guess(session, prompt, prefix, max_lines, max_tokens, min_logprob, guessed, cancel)
        try:
            session.sync(prompt.tokens, cancel=cancel)
        except Cancelled:
            return run.result("cancelled")
        return run.take(
            session.generate(
                max_tokens=max_tokens + len(prompt.held),
                stop=self.template.stop,
                prefix=prompt.held,
                deadline=deadline,
                cancel=cancel,
                until=_end(max_lines),
            )
        )

    def _guess(
        self,
        session: Session,
        prompt: Prompt,
        prefix: str,
        max_lines: int,
        max_tokens: int,
        min_logprob: float,
        guessed: Callable[[Guess], None],
        cancel: Event | None,
    ) -> None:
        """Have the draft model answer, and tell it."""
        answer = _Run(
            session, prompt, prefix, max_lines, max_tokens, min_logprob, lambda text: guessed(Guess(text))
        ).take(
            session.guess(
                prompt.tokens,
                max_tokens=max_tokens + len(prompt.held),
                stop=self.template.stop,
                prefix=prompt.held,
                cancel=cancel,
            )
        )
        text = "" if answer.finish in ("unsure", "repetition") else answer.text
        guessed(Guess(text, answer.logprob, complete=answer.finish in ("line", "block", "stop")))

    def alternatives(
        self,
        first: Suggestion,
        path: str,
        prefix: str,
        suffix: str,
        *,
        session: InferenceSession,
        state: PromptState | None = None,
        max_lines: int,
        max_tokens: int,
        count: int,
        cancel: Event | None = None,
    ) -> list[Suggestion]:
        """Up to `count` texts that differ from `first`, which `complete` has just given, and from each other.

        Each is greedy after another first token, the most likely ones first, on a fork of the prompt's KV cache. A
        text that is the beginning of another one is left out. A server elsewhere shows no choice of first tokens: it
        offers none. See `complete` for the rest.
        """
        tokenizer = self.engine.tokenizer
        if not (isinstance(session, Session) and isinstance(tokenizer, Tokenizer)):
            return []
        prompt = self.prompt(path, prefix, suffix, state=state, max_tokens=max_tokens)
        found: list[Suggestion] = []
        try:
            session.sync(prompt.tokens, cancel=cancel)
        except Cancelled:
            return found
        allowed = tokenizer.allowed(prompt.held) if prompt.held else None
        logits = session.logits()[: tokenizer.vocab_size]
        for token, logprob in sampling.best(logits, allowed, _TRIES * count + 1)[1:]:
            data = tokenizer.token_bytes(token)
            if len(found) == count or (cancel is not None and cancel.is_set()):
                break
            if not data or token in self.template.stop:
                continue
            fork = session.fork()
            fork.append(token)
            generation = fork.generate(
                max_tokens=max_tokens + len(prompt.held) - 1,
                stop=self.template.stop,
                prefix=remaining(prompt.held, data),
                cancel=cancel,
                until=_end(max_lines),
            )
            run = _Run(fork, prompt, prefix, max_lines, max_tokens)
            other = run.take(generation, [Token(token, logprob, data)])
            session.computed += fork.computed
            texts = [first.text, *(each.text for each in found)]
            if other.text.strip() and not any(
                text.startswith(other.text) or (text and other.text.startswith(text)) for text in texts
            ):
                found.append(other)
        return found


_TRIES = 3
"""First tokens tried for each text wanted."""

_HOPELESS = (math.inf, 1.5, 1.2, 1.0)
"""In terms of the gate, the means below which a text seldom recovers after one token, two, three, and more."""

_LIKELY = 2.5
"""In terms of the gate, the joint log-probability that the first word of an unlikely text needs."""

_MORE_LIKELY = 1.0
"""The same for more words."""

_SHORTEST_LIKELY = 2
"""Characters of such words. For one sign nobody presses another key."""

_CUT_SHORT = {"cancelled", "deadline", "capacity"}


def _end(max_lines: int) -> bytes:
    """The bytes after which the engine need not look ahead."""
    return b"\n" if max_lines == 1 else b""


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1e3


class _Run:
    """One text being taken from a session's tokens, and what that costs."""

    def __init__(
        self,
        session: InferenceSession,
        prompt: Prompt,
        prefix: str,
        max_lines: int,
        max_tokens: int,
        min_logprob: float = -math.inf,
        progress: Callable[[str], None] | None = None,
        statement_end: StatementEnd | None = None,
    ) -> None:
        self._session = session
        self._output = _Output(prefix, prompt.held, max_lines, statement_end)
        self._max_tokens = max_tokens
        self._min_logprob = min_logprob
        self._progress = progress
        self._started = time.perf_counter()
        self._before = session.reused, session.computed
        self._speculation = session.speculation
        self._first_ms = 0.0

    def take(self, generation: TokenStream, first: Iterable[Token] = ()) -> Suggestion:
        """Take tokens until the text is complete or they end; `first` came before the generation."""
        output = self._output
        for token in itertools.chain(first, generation):
            grown = output.add(token)
            if grown and not self._first_ms:
                self._first_ms = _ms_since(self._started)
            if grown and self._progress is not None:
                self._progress(output.text)
            if output.finish or output.new_tokens >= self._max_tokens:
                break
            if output.is_hopeless(self._min_logprob):
                output.finish = "unsure"
                break
        return self.result(output.finish or generation.finish or "length")

    def result(self, finish: str) -> Suggestion:
        output, (reused, computed) = self._output, self._before
        speculation = self._session.speculation.since(self._speculation)
        return Suggestion(
            text=output.text,
            finish=finish,
            tokens=len(output.ids),
            logprob=output.logprob,
            likely=output.likely(self._min_logprob),
            first_ms=self._first_ms,
            total_ms=_ms_since(self._started),
            reused=self._session.reused - reused,
            computed=self._session.computed - computed,
            silence=finish if not output.text and finish in _CUT_SHORT else None,
            passes=speculation.passes,
            drafted={str(source): count for source, count in speculation.drafted.items()},
            accepted={str(source): count for source, count in speculation.accepted.items()},
        )


class _Output:
    """The tokens so far as text: whole characters only, without the held bytes, up to where it is
    complete."""

    def __init__(
        self, prefix: str, held: bytes, max_lines: int, statement_end: StatementEnd | None = None
    ) -> None:
        self._prefix = prefix
        self._held = len(held)
        self._max_lines = max_lines
        self._statement_end = statement_end
        self._data = b""
        self._scored: list[tuple[int, float]] = []
        self.ids: list[int] = []
        self.text = ""
        self.finish: str | None = None

    @property
    def new_tokens(self) -> int:
        """Tokens that reach past the held bytes."""
        return len(self._scored)

    @property
    def logprob(self) -> float:
        """Mean over the tokens of `text`."""
        return self._mean(len(self.text))

    def is_hopeless(self, gate: float) -> bool:
        """Whether the text will most likely stay below `gate`, a mean log-probability."""
        if not self._scored:
            return False
        mean = sum(logprob for _, logprob in self._scored) / len(self._scored)
        return mean < gate * _HOPELESS[min(len(self._scored), len(_HOPELESS)) - 1]

    def likely(self, gate: float) -> str:
        """The complete lines, as many as have a mean log-probability of at least `gate`; or else the whole words of
        the first line, the first if its joint one is at least _LIKELY times `gate`, more if at least _MORE_LIKELY."""
        first = len(self.text) - len(self.text.lstrip())
        ends = [end.start() for end in LINE_END.finditer(self.text, first)]
        if self._max_lines == 1:
            ends = ends[:1]
        passing = [end for end in ends if self._mean(end) >= gate]
        if passing:
            return self.text[: passing[-1]]
        line = self.text[: ends[0] if ends else None]
        joint, words = 0.0, ""
        for (_, logprob), (after, _) in itertools.pairwise(self._scored):
            joint += logprob
            if joint < gate * (_MORE_LIKELY if words else _LIKELY):
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
        """Take the next token; whether the text has grown. Sets `finish` when the text is complete."""
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
