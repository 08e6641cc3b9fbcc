"""What the confidence gate lets through: recorded typing as the server would answer it, at one gate after another.

The session, the filters and the screen are the server's and the typist's own. The model is asked at every key, without
a clock, and each of its texts is decoded once, ungated: what a gate would make of it needs no second decode.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from flash_engine import Engine, Token
from flash_engine.common import common_prefix
from flash_engine.errors import FlashError
from flash_lsp.bench.cases import TYPED_LINES, source_files
from flash_lsp.bench.editor import ENCODING, language_id, replacement
from flash_lsp.bench.metrics import Request, first_line, summarize
from flash_lsp.bench.typing import Recording, record
from flash_lsp.bench.typist import Shown
from flash_lsp.completer import Completer
from flash_lsp.filters.statement import statement_end
from flash_lsp.flight import Guess, Job
from flash_lsp.pending import Reply
from flash_lsp.prompt.window import PromptState
from flash_lsp.session import DocumentSession
from flash_lsp.settings import Settings
from flash_lsp.suggestion import Output, Suggestion
from flash_lsp.text import Document

PROBABILITIES = (0.2, 0.05, 0.02, 0.01, 0.005, 0.002, 0.0001, 0.0)

_TABLES = "encodings/"
"""The folder of the standard library that is no code."""

Progress = Callable[[int], None]
"""Called with the number of keys typed since the last call."""


@dataclass(frozen=True, slots=True)
class _Text:
    """What the model says at a place when nothing stops it but the text's own end."""

    held: bytes
    tokens: tuple[Token, ...]


class Decodes:
    """The model's greedy texts, each decoded once. Call it from any thread but the model's."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._completer = Completer(engine)
        self._documents: dict[str, tuple[Any, PromptState]] = {}
        self._texts: dict[tuple[Any, ...], _Text] = {}

    def text(self, job: Job) -> _Text:
        key = job.uri, job.place, job.max_lines, job.statement_lines
        if key not in self._texts:
            self._texts[key] = self._engine.submit(lambda: self._decode(job)).result()
        return self._texts[key]

    def _decode(self, job: Job) -> _Text:
        if job.uri not in self._documents:
            self._documents[job.uri] = self._engine.session(), PromptState()
        session, state = self._documents[job.uri]
        prefix, suffix = job.place.prefix, job.place.suffix
        prompt = self._completer.prompt(job.path, prefix, suffix, state=state, max_tokens=job.max_tokens)
        session.sync(prompt.tokens)
        output, tokens = _output(job, prompt.held), []
        for token in session.generate(
            max_tokens=job.max_tokens + len(prompt.held),
            stop=self._completer.template.stop,
            prefix=prompt.held,
        ):
            tokens.append(token)
            output.add(token)
            if output.finish:
                break
        return _Text(prompt.held, tuple(tokens))


class Gated:
    """Decodes for a session at the gate that its jobs name, at once, and counts what that would have cost."""

    def __init__(self, decodes: Decodes) -> None:
        self.generated = 0
        self._decodes = decodes

    def start(
        self,
        job: Job,
        progress: Callable[[str], None],
        done: Callable[[Suggestion], None],
        guessed: Callable[[Guess], None],
    ) -> Callable[[], None]:
        """See flight.Decoder."""
        text = self._decodes.text(job)
        output = _output(job, text.held, job.min_logprob)
        for token in text.tokens:
            output.add(token)
            if output.finish:
                break
        self.generated += len(output.ids)
        done(
            Suggestion(
                text=output.text,
                finish=output.finish or "stop",
                tokens=len(output.ids),
                logprob=output.logprob,
                likely=output.likely,
                first_ms=0.0,
                total_ms=0.0,
                reused=0,
                computed=0,
                silence=None,
            )
        )
        return lambda: None


def _output(job: Job, held: bytes, gate: float = -math.inf) -> Output:
    return Output(
        job.place.prefix,
        held,
        max_lines=job.max_lines,
        max_tokens=job.max_tokens,
        gate=gate,
        statement_end=partial(statement_end, job.place.language, job.statement_lines),
    )


class _Session(DocumentSession):
    """A session whose gate is any number."""

    least = -math.inf

    def gate(self, candidates: int) -> float:
        return self.least


class _Clock:
    """Every look is a second later, and nothing that was put off comes."""

    def __init__(self) -> None:
        self._seconds = count()

    def time(self) -> float:
        return float(next(self._seconds))

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> _Clock:
        return self

    def cancel(self) -> None:
        """The timer that never rings."""


def type_through(recording: Recording, decodes: Decodes, least: float) -> tuple[list[Request], int]:
    """Type a recording with a request after every key, all of them answered at once; a line needs the
    log-probability `least` to be shown whole. Returns the requests and the tokens generated for them."""
    document = Document(recording.path.resolve().as_uri(), language_id(recording.path), 1, recording.opening)
    decoder = Gated(decodes)
    session = _Session(document, Settings(), _Clock(), path=recording.path.name, decoder=decoder)
    session.least = least
    requests: list[Request] = []
    shown: Shown | None = None
    for key in (key for passage in recording.passages for key in passage):
        shown = shown.after(key.start, key.removed, key.inserted) if shown else None
        change = replacement(document, key.start, key.removed, key.inserted)
        session.changed(document.apply([change], ENCODING))
        cursor = key.start + len(key.inserted)
        replies: list[Reply] = []
        session.request(cursor, cursor, replies.append)
        [reply] = replies
        requests.append(
            Request(
                ms=0.0,
                superseded=False,
                text=reply.text,
                source=reply.source,
                complete_line=reply.complete_line,
                held=False,
                ahead=None if key.at is None else recording.finished[key.at :],
                type_through=shown is not None,
                server_ms=None,
                silence=reply.silence,
                cut=reply.cut,
                flicker=shown is not None and not reply.text.startswith(shown.text),
            )
        )
        shown = Shown(reply.text, cursor) if reply.text else None
    return requests, decoder.generated


def run(
    engine: Engine,
    groups: Mapping[str, Sequence[Path]],
    *,
    keys: int,
    seed: int = 0,
    least: Sequence[float] = PROBABILITIES,
    progress: Progress = lambda keys: None,
) -> dict[str, Any]:
    """Type at least `keys` keystrokes of each group of files at each gate: the `least` probability of a whole line.

    Returns {"model", "backend", "groups": [{"name", "files", "keys", "gates": [{"least", the figures of
    metrics.summarize, "generated_per_key", "right_characters", "wrong_characters"}]}]}, characters being those of the
    first lines shown, per request. Raises FlashError if a group has nothing to type.
    """
    return {
        "model": engine.name,
        "backend": engine.backend.name,
        "groups": [
            {"name": name, **_group(engine, name, files, keys, seed, least, progress)}
            for name, files in groups.items()
        ],
    }


def _group(
    engine: Engine,
    name: str,
    files: Sequence[Path],
    keys: int,
    seed: int,
    gates: Sequence[float],
    progress: Progress,
) -> dict[str, Any]:
    each = -(-keys // max(len(files), 1))
    recordings = [record(path, path.read_text(encoding="utf-8"), keys=each, seed=seed) for path in files]
    recordings = [recording for recording in recordings if recording.passages]
    if not recordings:
        raise FlashError(f"{name} has no paragraph of code that could be typed: name other sources")
    requests: dict[float, list[Request]] = {least: [] for least in gates}
    generated = dict.fromkeys(gates, 0)
    for recording in recordings:
        decodes = Decodes(engine)
        for least in gates:
            gate = math.log(least) if least else -math.inf
            asked, tokens = type_through(recording, decodes, gate)
            requests[least] += asked
            generated[least] += tokens
        progress(recording.keys)
    typed = sum(recording.keys for recording in recordings)
    return {
        "files": [str(recording.path) for recording in recordings],
        "keys": typed,
        "gates": [
            {
                "least": least,
                **summarize(requests[least], deadline_ms=math.inf),
                "generated_per_key": generated[least] / typed,
                **_characters(requests[least]),
            }
            for least in gates
        ],
    }


def _characters(requests: Sequence[Request]) -> dict[str, float]:
    """Of the first lines shown, as far as they are what the file says, and the rest, per request."""
    lines = [(first_line(each.text), each.ahead) for each in requests if each.ahead is not None]
    right = sum(common_prefix(line, ahead) for line, ahead in lines)
    shown = sum(len(line) for line, _ in lines)
    count = max(len(lines), 1)
    return {"right_characters": right / count, "wrong_characters": (shown - right) / count}


def choose(folder: Path, *, count: int, seed: int) -> list[Path]:
    """`count` Python files of 200 to 1,000 lines under `folder`, or as many as there are, by the luck of `seed`."""
    fitting = [
        folder / name
        for name, text in source_files(folder)
        if name.endswith(".py") and text.count("\n") in TYPED_LINES and not name.startswith(_TABLES)
    ]
    random.Random(seed).shuffle(fitting)
    return fitting[:count]
