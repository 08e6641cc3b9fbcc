"""What speculative decoding gains over plain decoding: same build, same run, case by case in turn."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flash_engine import Engine, FlashError, Session
from flash_engine.speculation import Tally
from flash_lsp.bench.cases import rest_of_line
from flash_lsp.bench.machine import machine
from flash_lsp.completer import Completer

WORKLOADS = ("infill", "edit", "fresh", "random")
MAX_TOKENS = 48
_SEED = 3
_COPIED_LINES = 14
_TYPED_LINES = 2
_RANDOM_PROMPT = 200

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
class Outcome:
    """A workload's sums over its cases; seconds exclude the prompts, which are the same for both."""

    cases: int = 0
    tokens: int = 0
    plain_seconds: float = 0.0
    seconds: float = 0.0
    read_seconds: float = 0.0
    """Spent by the draft model on reading prompts, which in the server happens while nobody waits."""
    equal: int = 0
    """Cases with the same tokens and log-probs from both."""
    tally: Tally = field(default_factory=Tally)
    speedups: list[float] = field(default_factory=list)
    """Of each case."""

    def figures(self) -> dict[str, Any]:
        return {
            "cases": self.cases,
            "tokens": self.tokens,
            "equal": self.equal,
            "plain_tokens_per_s": self.tokens / self.plain_seconds,
            "tokens_per_s": self.tokens / self.seconds,
            "speedup": self.plain_seconds / self.seconds,
            "speedup_median_case": statistics.median(self.speedups),
            "speedup_with_reading": self.plain_seconds / (self.seconds + self.read_seconds),
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
    """Measure `count` cases of each of `workloads`: infilling, edits that repeat text of the buffer, fresh code and
    random text, with the files under `sources`. draft: what the engine was loaded with, for the record.

    Infilling is the rest of a line in half of the cases and MAX_TOKENS tokens in the others, which all other workloads
    generate too. Returns {"machine", "model", "backend", "draft", "workloads", "controller", "acceptance_by_position"}
    and for each workload "speedup_infill", "speedup_edit", ... Raises FlashError if the engine was loaded without
    speculation.
    """
    if engine.speculation is None:
        raise FlashError("the engine decodes plainly: load it with speculation to measure that")
    bench = Bench(engine, sources, count)
    jobs = {"infill": bench.infill, "edit": bench.edit, "fresh": bench.fresh, "random": bench.random}
    outcomes: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(workloads):
        progress(name, number / len(workloads))
        outcomes[name] = engine.submit(lambda make=jobs[name]: bench.measure(make())).result()  # type: ignore[misc]
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
        self._count = count
        self._cases = rest_of_line(sources, count=2 * count, seed=_SEED)
        self._plain = engine.plain_session()
        self._speculative = engine.session()

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
        for case in self._cases[self._count :]:
            prompt = self._prompt(case.path, case.prefix, "")
            yield Job(prompt.tokens, prompt.held, buffer=case.prefix[: case.prefix.rfind("\n") + 1])

    def random(self) -> Iterator[Job]:
        """Random tokens, continued by draws: unlike greedy text after random tokens it does not repeat itself."""
        rng = random.Random(_SEED)
        tokenizer = self._engine.tokenizer
        text_tokens = [token for token in range(tokenizer.vocab_size) if tokenizer.token_bytes(token)]
        for number in range(self._count):
            yield Job(rng.choices(text_tokens, k=_RANDOM_PROMPT), seed=number)

    def measure(self, jobs: Iterator[Job]) -> dict[str, Any]:
        outcome = Outcome()
        before = self._speculative.speculation
        for number, job in enumerate(jobs):
            self._read(job, outcome)
            runs = {
                session: self._generate(session, job)
                for session in sorted((self._plain, self._speculative), key=id, reverse=bool(number % 2))
            }
            (plain, plain_seconds), (found, seconds) = runs[self._plain], runs[self._speculative]
            outcome.cases += 1
            outcome.tokens += len(plain)
            outcome.equal += plain == found
            outcome.plain_seconds += plain_seconds
            outcome.seconds += seconds
            outcome.speedups.append(plain_seconds / seconds)
        outcome.tally = self._speculative.speculation.since(before)
        return outcome.figures()

    def _read(self, job: Job, outcome: Outcome) -> None:
        """Both sessions read the prompt; then what the server does before the next key: buffer and draft model."""
        self._plain.sync(job.prompt)
        if saved := self._plain.save():
            self._speculative.load(*saved)
        self._speculative.sync(job.prompt)
        corpus = self._engine.corpus
        corpus.update("buffer", job.buffer)
        while corpus.step():
            pass
        begin = time.perf_counter()
        while self._speculative.read_ahead():
            pass
        outcome.read_seconds += time.perf_counter() - begin

    def _generate(self, session: Session, job: Job) -> tuple[list[tuple[int, float]], float]:
        begin = time.perf_counter()
        generation = session.generate(
            max_tokens=MAX_TOKENS,
            stop=self._completer.template.stop,
            prefix=job.held,
            until=job.until,
            temperature=0.0 if job.seed is None else 1.0,
            seed=job.seed,
        )
        tokens = []
        data = b""
        for token in generation:
            tokens.append((token.id, token.logprob))
            data += token.data
            if job.until and job.until in data[len(job.held) :]:
                break
        return tokens, time.perf_counter() - begin

    def _prompt(self, path: str, prefix: str, suffix: str) -> Any:
        return self._completer.prompt(path, prefix, suffix, max_tokens=MAX_TOKENS)
