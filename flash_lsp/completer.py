"""One place in a text in, one suggestion out: the prompt, the engine, and where to stop. Knows nothing
of LSP."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Sequence
from threading import Event

from flash_engine import Cancelled, Session, Token, Tokenizer, sampling
from flash_engine.constraint import remaining
from flash_lsp.flight import Guess
from flash_lsp.inference import InferenceEngine, InferenceSession, TokenStream
from flash_lsp.prompt import templates
from flash_lsp.prompt.builder import Prompt, build, context_tokens
from flash_lsp.prompt.encoder import BlockEncoder
from flash_lsp.prompt.window import ContextBlock, PromptState
from flash_lsp.suggestion import Output, StatementEnd, Suggestion

PROMPT_TOKENS = 768
"""Budget of a prompt while typing: what a CPU of two cores reads in one to three seconds."""

TRAINED_TOKENS = 2048
"""Budget of a prompt given as it is: the bundled model's longest training rows."""


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
        deadline: a time.monotonic() value. min_logprob: a line less likely than this is not worth
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
        self._output = Output(
            prefix,
            prompt.held,
            max_lines=max_lines,
            max_tokens=max_tokens,
            gate=min_logprob,
            statement_end=statement_end,
        )
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
            if output.finish:
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
            likely=output.likely,
            first_ms=self._first_ms,
            total_ms=_ms_since(self._started),
            reused=self._session.reused - reused,
            computed=self._session.computed - computed,
            silence=finish if not output.text and finish in _CUT_SHORT else None,
            passes=speculation.passes,
            drafted={str(source): count for source, count in speculation.drafted.items()},
            accepted={str(source): count for source, count in speculation.accepted.items()},
        )
