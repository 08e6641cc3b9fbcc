"""Recorded typing of real files against the real server over stdio, at the recorded gaps."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from lsprotocol.types import InlineCompletionTriggerKind

from flash_engine.errors import FlashError
from flash_lsp import protocol
from flash_lsp.bench.editor import Editor
from flash_lsp.bench.machine import machine
from flash_lsp.bench.metrics import Request, percentiles, summarize
from flash_lsp.bench.typing import MEDIAN_GAP_MS, Key, Recording, record
from flash_lsp.bench.typist import Typist
from flash_lsp.examples import example
from flash_lsp.placement import MID_LINE
from flash_lsp.session import OUT_OF_TIME
from flash_lsp.settings import Settings

_FIRST_SUGGESTION_S = 60.0
_FIRST_FILE_LINES = 10
"""Lines below the cursor in the file of the first suggestion."""

_LONG_LINES = 1_000
"""Lines of a file in which a jump is reported apart."""

_UNREAD = protocol.NOT_A_VERDICT | {OUT_OF_TIME, MID_LINE}
"""Silences that come without the model's having read the place."""

_IDLE_AFTER_S = 5.0
_IDLE_FOR_S = 2.0

Progress = Callable[[int], None]
"""Called with the number of keys typed since the last call."""


async def replay(
    recordings: Sequence[Recording], *, debounce_ms: float, settings: Mapping[str, Any], progress: Progress
) -> dict[str, Any]:
    """Start a server, type the passages of `recordings` by turns, and return the figures of docs/cli.md."""
    warm = _Warm()
    jumps: list[_Jump] = []
    rss = 0
    async with Editor(settings) as editor:
        await editor.loaded()
        ready_s = time.perf_counter() - editor.started
        first_suggestion_s = await _first_suggestion(editor)
        process = psutil.Process(editor.pid)
        at_first = await editor.stats()
        typists = [Typist(editor, recording, debounce_ms=debounce_ms) for recording in recordings]
        began = time.perf_counter()
        for typist, passage in _by_turns(typists):
            asked_before = len(typist.requests)
            since: dict[str, Any] | None = None
            jump = _Jump(is_long=typist.recording.finished.count("\n") >= _LONG_LINES)
            typist.come()
            for key in passage:
                await typist.type([key])
                jump.at = jump.at or time.perf_counter()
                if since is not None:
                    warm.keys += 1
                elif any(map(_is_read, typist.requests[asked_before:])):
                    since = await editor.stats()
            await typist.settle()
            if since is not None:
                warm.add(since, await editor.stats())
            jump.requests = typist.requests[asked_before:]
            jumps.append(jump)
            rss = max(rss, process.memory_info().rss)
            progress(len(passage))
        await asyncio.sleep(_IDLE_AFTER_S)
        idle_cpu = await _cpu_share(process)
        computed = int((await editor.stats())["computed_tokens"]) - int(at_first["computed_tokens"])
    keys = sum(recording.keys for recording in recordings)
    requests = sorted((each for typist in typists for each in typist.requests), key=lambda each: each.sent)
    deadline_ms = float(settings.get("deadline_ms", Settings().deadline_ms))
    return {
        "keys": keys,
        "unasked_keys": keys - len(requests),
        **summarize(requests, deadline_ms=deadline_ms),
        "tokens_per_key": computed / keys,
        "tokens_per_key_warm": warm.computed / warm.keys if warm.keys else None,
        "kv_hit_rate": warm.reused / warm.prompt if warm.prompt else None,
        **percentiles("after_jump_", _waits(jumps, _is_shown)),
        **percentiles("after_jump_answer_", _waits(jumps, _is_read)),
        **percentiles("after_long_jump_", _waits([jump for jump in jumps if jump.is_long], _is_shown)),
        "idle_cpu": idle_cpu,
        "ready_s": ready_s,
        "first_suggestion_s": first_suggestion_s,
        "server_rss_mb": rss / 1e6,
        "debounce_ms": debounce_ms,
        "deadline_ms": deadline_ms,
        "timeline": [
            {
                "s": round(each.sent - began, 3),
                "ms": round(each.ms, 2),
                "source": "superseded" if each.superseded else each.source if each.text else "silence",
                "held": each.held,
                "complete": each.complete_line,
                "cut": each.cut,
                "silence": each.silence,
                "type_through": each.type_through,
                "text": len(each.text),
            }
            for each in requests
        ],
    }


@dataclass(slots=True)
class _Warm:
    """Tokens from the first answer after each jump to the next jump."""

    keys: int = 0
    computed: int = 0
    reused: int = 0
    prompt: int = 0

    def add(self, since: Mapping[str, Any], until: Mapping[str, Any]) -> None:
        computed, reused, generated = (
            int(until[name]) - int(since[name])
            for name in ("computed_tokens", "reused_tokens", "generated_tokens")
        )
        self.computed += computed
        self.reused += reused
        self.prompt += reused + max(computed - generated, 0)


def _by_turns(typists: Sequence[Typist]) -> Iterator[tuple[Typist, tuple[Key, ...]]]:
    """The first passage of each, the second of each, and so on."""
    rounds = itertools.zip_longest(*(typist.recording.passages for typist in typists))
    for passages in rounds:
        yield from ((typist, passage) for typist, passage in zip(typists, passages, strict=True) if passage)


@dataclass(slots=True)
class _Jump:
    """The cursor's jump to a passage, known to the server by the first key there, and what was asked then."""

    is_long: bool
    at: float = 0.0
    requests: Sequence[Request] = ()


def _waits(jumps: Sequence[_Jump], counts: Callable[[Request], bool]) -> list[float]:
    """Milliseconds from each jump to the arrival of the first reply that counts; jumps without one are left out."""
    first = ((jump.at, next(filter(counts, jump.requests), None)) for jump in jumps)
    return [(each.sent - at) * 1000 + each.ms for at, each in first if each]


def _is_shown(request: Request) -> bool:
    return bool(request.text)


def _is_read(request: Request) -> bool:
    """Whether the reply, a silence perhaps, rests on the model's reading of the place, not its draft model's alone."""
    read = request.silence not in _UNREAD and request.verified is not None
    return read and not request.superseded


async def _cpu_share(process: psutil.Process) -> float:
    """Share of one core that the server uses while nothing happens."""
    before = process.cpu_times()
    await asyncio.sleep(_IDLE_FOR_S)
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return max(spent, 0.0) / _IDLE_FOR_S


async def _first_suggestion(editor: Editor) -> float | None:
    """Seconds from the start of the server's process to its first suggestion, in a short file; None if none comes
    in a minute."""
    path, text = example()
    cursor = text.index("return ") + len("return ")
    rest = text[cursor:].splitlines(keepends=True)[1:_FIRST_FILE_LINES]
    document = editor.open(path, text[:cursor] + "\n" + "".join(rest))
    while time.perf_counter() - editor.started < _FIRST_SUGGESTION_S:
        reply = await editor.suggest(document, cursor, InlineCompletionTriggerKind.Invoked)
        if reply.text:
            return time.perf_counter() - editor.started
        await asyncio.sleep(0.01)
    return None


def run(
    files: Sequence[Path],
    *,
    keys: int,
    debounces_ms: Sequence[float] = (0.0, 50.0, 200.0),
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = lambda keys: None,
) -> dict[str, Any]:
    """Replay at least `keys` keystrokes spread evenly over `files`, which are typed as they are on disk, once for each
    debounce: {"machine", "files", "median_gap_ms", "runs": the figures of each debounce}.

    Raises FlashError if the server cannot start or load its model, or if a file has nothing to type.
    """
    each = -(-keys // len(files))
    recordings = [record(path, path.read_text(encoding="utf-8"), keys=each, seed=seed) for path in files]
    for recording in recordings:
        if not recording.passages:
            raise FlashError(f"{recording.path} has no paragraph of code that could be typed: leave it out")
    # Whoever names a file wants it typed, whether git tracks it or not.
    settings = {"follow_ignore_files": False, **(settings or {})}
    runs = [
        asyncio.run(replay(recordings, debounce_ms=debounce, settings=settings, progress=progress))
        for debounce in debounces_ms
    ]
    return {
        "machine": machine(),
        "files": [
            {
                "path": str(recording.path),
                "lines": recording.finished.count("\n"),
                "keys": recording.keys,
                "passages": len(recording.passages),
            }
            for recording in recordings
        ],
        "median_gap_ms": MEDIAN_GAP_MS,
        "runs": runs,
    }
