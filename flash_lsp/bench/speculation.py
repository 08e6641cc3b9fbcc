"""What speculative decoding gains over plain decoding: same build, same run, a few tokens of each in turn.

A machine's speed changes within milliseconds by more than what there is to tell. So three sessions write each case in
lockstep, a token of each in turn, in all orders: a speculative one and two that decode plainly. The time of plain
decoding is the mean of the two; one against the other is the control, which differs from 1 by noise alone.

Nobody warms or cools the caches for the others: before every turn stands a pass of the main model, whoever's, which
reads all weights, more than caches hold. Only what drafting needs is touched less often than without the others, which
counts against it.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, permutations
from pathlib import Path
from typing import Any

from flash_engine import Engine, FlashError, Generation, Session
from flash_engine.speculation import Tally
from flash_lsp.bench.cases import Case, in_docstring, rest_of_line
from flash_lsp.bench.machine import machine
from flash_lsp.completer import Completer

WORKLOADS = ("infill", "edit", "fresh", "prose", "random")
MAX_TOKENS = 48
_SEED = 3
_COPIED_LINES = 14
_TYPED_LINES = 2
_RANDOM_PROMPT = 200
_WORK_SECONDS = 0.2
_REST_SECONDS = 0.02
"""After so much work: a process at real-time priority that never rests is stopped for 50 ms in every second (Linux,
sched_rt_runtime_us), in the midst of someone's turn."""

Report = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be generated: from the end of `prompt`, text that begins with `held`."""

    prompt: list[int]
    held: bytes = b""
    until: bytes = b""
    buffer: str = ""
    """What the editor has open: drafts may be taken from it."""
    seed: int | None = None
    """Of draws at temperature 1; None: greedy."""


@dataclass(slots=True)
class Writing:
    """A case on its way in one session."""

    generation: Generation
    job: Job
    tokens: list[tuple[int, float]] = field(default_factory=list)
    """Ids and log-probs."""
    seconds: float = 0.0
    is_done: bool = False
    _data: bytes = b""

    def go_on(self) -> None:
        """Write a token more."""
        begin = time.perf_counter()
        token = next(self.generation, None)
        self.seconds += time.perf_counter() - begin
        if token is None:
            self.is_done = True
        else:
            self.tokens.append((token.id, token.logprob))
            self._data += token.data
            self.is_done = bool(self.job.until) and self.job.until in self._data[len(self.job.held) :]


@dataclass(slots=True)
class Outcome:
    """A workload's sums over its cases; seconds exclude the prompts, which are the same for all."""

    cases: int = 0
    tokens: int = 0
    plain_seconds: float = 0.0
    control_seconds: float = 0.0
    """Of the other plain session."""
    seconds: float = 0.0
    read_seconds: float = 0.0
    """Spent by the draft model on reading prompts, which in the server happens while nobody waits."""
    equal: int = 0
    """Cases with the same tokens and log-probs from all."""
    tally: Tally = field(default_factory=Tally)
    speedups: list[float] = field(default_factory=list)
    """Of each case."""

    def add(self, plain: Writing, control: Writing, speculative: Writing) -> None:
        self.cases += 1
        self.tokens += len(plain.tokens)
        self.equal += plain.tokens == control.tokens == speculative.tokens
        self.plain_seconds += plain.seconds
        self.control_seconds += control.seconds
        self.seconds += speculative.seconds
        self.speedups.append((plain.seconds + control.seconds) / 2 / speculative.seconds)

    def figures(self) -> dict[str, Any]:
        plain = (self.plain_seconds + self.control_seconds) / 2
        return {
            "cases": self.cases,
            "tokens": self.tokens,
            "equal": self.equal,
            "plain_tokens_per_s": self.tokens / plain,
            "tokens_per_s": self.tokens / self.seconds,
            "speedup": plain / self.seconds,
            "speedup_median_case": statistics.median(self.speedups),
            "speedup_with_reading": plain / (self.seconds + self.read_seconds),
            "plain_against_plain": self.plain_seconds / self.control_seconds,
            "tokens_per_pass": self.tokens / max(self.tally.passes + self.cases, 1),
            "drafted": {str(source): count for source, count in self.tally.drafted.items()},
            "accepted": {str(source): count for source, count in self.tally.accepted.items()},
        }


def run(
    engine: Engine,
    sources: Path,
    *,
    draft: str,
    count: int,
    workloads: Sequence[str] = WORKLOADS,
    progress: Report,
) -> dict[str, Any]:
    """Measure `count` cases of each of `workloads`: infilling, edits that repeat text of the buffer, fresh code,
    docstrings and random text, with the files under `sources`; a workload for which they have nothing is left out.
    draft: what the engine was loaded with, for the record.

    Infilling is the rest of a line in half of the cases and MAX_TOKENS tokens in the others, which all other workloads
    generate too. Returns {"machine", "model", "backend", "draft", "workloads", "controller", "acceptance_by_position"}
    and for each workload "speedup_infill", "speedup_edit", ... Raises FlashError if the engine was loaded without
    speculation.
    """
    if engine.speculation is None:
        raise FlashError("the engine decodes plainly: load it with speculation to measure that")
    bench = Bench(engine, sources, count)
    jobs = bench.workloads()
    outcomes: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(workloads):
        progress(name, number / len(workloads))
        outcome = engine.submit(partial(bench.measure, jobs[name]())).result()
        if outcome.cases:
            outcomes[name] = outcome.figures()
    controller = engine.speculation.figures()
    return {
        "machine": machine(),
        "model": engine.name,
        "backend": engine.backend.name,
        "draft": draft,
        "workloads": outcomes,
        "controller": controller,
        "acceptance_by_position": controller["acceptance"],
        **{f"speedup_{name}": outcome["speedup"] for name, outcome in outcomes.items()},
    }


class Bench:
    """The workloads of an engine."""

    def __init__(self, engine: Engine, sources: Path, count: int) -> None:
        self._engine = engine
        self._completer = Completer(engine)
        self._sources = sources
        self._count = count
        self._cases = rest_of_line(sources, count=2 * count, seed=_SEED)
        self._reader = engine.plain_session()
        self._plain = engine.plain_session()
        self._control = engine.plain_session()
        self._speculative = engine.session()
        self._rested = -math.inf

    def workloads(self) -> dict[str, Callable[[], Iterator[Job]]]:
        """By name (WORKLOADS)."""
        makers = (self.infill, self.edit, self.fresh, self.prose, self.random)
        return dict(zip(WORKLOADS, makers, strict=True))

    def infill(self) -> Iterator[Job]:
        """Rest of the line, and further, with text after the cursor; the buffer lacks the line that is written."""
        for number, case in enumerate(self._cases[: self._count]):
            prompt = self._prompt(case.path, case.prefix, case.suffix)
            buffer = case.prefix[: case.prefix.rfind("\n") + 1] + case.suffix
            yield Job(prompt.tokens, prompt.held, b"\n" if number % 2 else b"", buffer)

    def edit(self) -> Iterator[Job]:
        """Lines of the buffer are written once more below, two of them typed so far."""
        for case in self._cases[: self._count]:
            lines = case.prefix.splitlines(keepends=True)
            copied = lines[max(len(lines) - 1 - _COPIED_LINES, 0) : len(lines) - 1]
            prefix = "".join([*lines[:-1], "\n", *copied[:_TYPED_LINES]])
            prompt = self._prompt(case.path, prefix, case.suffix)
            yield Job(prompt.tokens, prompt.held, buffer="".join(lines[:-1]) + case.suffix)

    def fresh(self) -> Iterator[Job]:
        """Code goes on at the end of a file."""
        return map(self._at_end, self._cases[self._count :])

    def prose(self) -> Iterator[Job]:
        """A docstring goes on at the end of a file."""
        return map(self._at_end, in_docstring(self._sources, count=self._count, seed=_SEED))

    def random(self) -> Iterator[Job]:
        """Random tokens, continued by draws: unlike greedy text after random tokens it does not repeat itself."""
        rng = random.Random(_SEED)
        tokenizer = self._engine.tokenizer
        text_tokens = [token for token in range(tokenizer.vocab_size) if tokenizer.token_bytes(token)]
        for number in range(self._count):
            yield Job(rng.choices(text_tokens, k=_RANDOM_PROMPT), seed=number)

    def measure(self, jobs: Iterator[Job]) -> Outcome:
        outcome = Outcome()
        before = self._speculative.speculation
        orders = cycle(permutations(range(3)))
        for job in jobs:
            outcome.read_seconds += self._read(job)
            writings = [
                self._begin(session, job) for session in (self._plain, self._control, self._speculative)
            ]
            while not all(writing.is_done for writing in writings):
                self._rest()
                for each in next(orders):
                    if not writings[each].is_done:
                        writings[each].go_on()
            outcome.add(*writings)
        outcome.tally = self._speculative.speculation.since(before)
        return outcome

    def _read(self, job: Job) -> float:
        """All sessions have the prompt read, in the same way, and the tokenizer knows what its end allows; then what
        the server does before the next key: buffer and draft model. Returns the seconds of the draft model."""
        self._reader.sync(job.prompt)
        for session in (self._plain, self._control, self._speculative):
            if saved := self._reader.save():
                session.load(*saved)
            session.sync(job.prompt)
        list(self._begin(self._reader, job, len(job.held)).generation)
        corpus = self._engine.corpus
        corpus.update("buffer", job.buffer)
        while corpus.step():
            pass
        begin = time.perf_counter()
        while self._speculative.read_ahead():
            pass
        return time.perf_counter() - begin

    def _rest(self) -> None:
        if time.perf_counter() - self._rested > _WORK_SECONDS:
            time.sleep(_REST_SECONDS)
            self._rested = time.perf_counter()

    def _begin(self, session: Session, job: Job, max_tokens: int = MAX_TOKENS) -> Writing:
        generation = session.generate(
            max_tokens=max_tokens,
            stop=self._completer.template.stop,
            prefix=job.held,
            until=job.until,
            temperature=0.0 if job.seed is None else 1.0,
            seed=job.seed,
        )
        return Writing(generation, job)

    def _at_end(self, case: Case) -> Job:
        prompt = self._prompt(case.path, case.prefix, "")
        return Job(prompt.tokens, prompt.held, buffer=case.prefix[: case.prefix.rfind("\n") + 1])

    def _prompt(self, path: str, prefix: str, suffix: str) -> Any:
        return self._completer.prompt(path, prefix, suffix, max_tokens=MAX_TOKENS)
