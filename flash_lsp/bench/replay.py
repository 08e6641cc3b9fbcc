"""Recorded typing of real files against the real server over stdio, at the recorded gaps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from lsprotocol.types import InlineCompletionTriggerKind

from flash_engine.errors import FlashError
from flash_lsp.bench.editor import Editor
from flash_lsp.bench.machine import machine
from flash_lsp.bench.metrics import Request, summarize
from flash_lsp.bench.typing import MEDIAN_GAP_MS, Recording, record
from flash_lsp.bench.typist import Typist
from flash_lsp.examples import example
from flash_lsp.settings import Settings

_FIRST_SUGGESTION_S = 60.0
_FIRST_FILE_LINES = 10
"""Lines below the cursor in the file of the first suggestion."""

Progress = Callable[[int], None]
"""Called with the number of keys typed since the last call."""


async def replay(
    recordings: Sequence[Recording], *, debounce_ms: float, settings: Mapping[str, Any], progress: Progress
) -> dict[str, Any]:
    """Start a server, type `recordings` one after the other, and return the figures of docs/cli.md."""
    requests: list[Request] = []
    warm_keys = warm_tokens = rss = 0
    async with Editor(settings) as editor:
        await editor.loaded()
        ready_s = time.perf_counter() - editor.started
        first_suggestion_s = await _first_suggestion(editor)
        process = psutil.Process(editor.pid)
        at_first = await _computed_tokens(editor)
        for recording in recordings:
            typist = Typist(editor, recording, debounce_ms=debounce_ms)
            for passage in recording.passages:
                asked_before = len(typist.requests)
                warm_since: int | None = None
                for key in passage:
                    await typist.type([key])
                    if warm_since is not None:
                        warm_keys += 1
                    elif any(not request.superseded for request in typist.requests[asked_before:]):
                        warm_since = await _computed_tokens(editor)
                await typist.settle()
                if warm_since is not None:
                    warm_tokens += await _computed_tokens(editor) - warm_since
                rss = max(rss, process.memory_info().rss)
                progress(len(passage))
            requests += typist.requests
        computed = await _computed_tokens(editor) - at_first
    keys = sum(recording.keys for recording in recordings)
    deadline_ms = float(settings.get("deadline_ms", Settings().deadline_ms))
    return {
        "keys": keys,
        "unasked_keys": keys - len(requests),
        **summarize(requests, deadline_ms=deadline_ms),
        "tokens_per_key": computed / keys,
        "tokens_per_key_warm": warm_tokens / warm_keys if warm_keys else None,
        "ready_s": ready_s,
        "first_suggestion_s": first_suggestion_s,
        "server_rss_mb": rss / 1e6,
        "debounce_ms": debounce_ms,
        "deadline_ms": deadline_ms,
        "median_gap_ms": MEDIAN_GAP_MS,
        "files": [
            {
                "path": str(recording.path),
                "lines": recording.finished.count("\n"),
                "keys": recording.keys,
                "passages": len(recording.passages),
            }
            for recording in recordings
        ],
        "machine": machine(),
    }


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


async def _computed_tokens(editor: Editor) -> int:
    return int((await editor.stats())["computed_tokens"])


def run(
    files: Sequence[Path],
    *,
    keys: int,
    debounce_ms: float = 50.0,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = lambda keys: None,
) -> dict[str, Any]:
    """Replay at least `keys` keystrokes spread evenly over `files`, which are typed as they are on disk.

    Raises FlashError if the server cannot start or load its model, or if a file has nothing to type.
    """
    each = -(-keys // len(files))
    recordings = [record(path, path.read_text(encoding="utf-8"), keys=each, seed=seed) for path in files]
    for recording in recordings:
        if not recording.passages:
            raise FlashError(f"{recording.path} has no paragraph of code that could be typed: leave it out")
    return asyncio.run(
        replay(recordings, debounce_ms=debounce_ms, settings=settings or {}, progress=progress)
    )
