"""The demo: a real file is typed against the real server, and every keystroke's suggestion and latency is shown."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from flash_engine.errors import FlashError
from flash_lsp.bench.editor import Editor
from flash_lsp.bench.metrics import CACHED, Request, rest_of_line, summarize
from flash_lsp.bench.typing import Recording, record
from flash_lsp.bench.typist import Typist
from flash_lsp.cli.figures import milliseconds, percent
from flash_lsp.cli.ghost import ghost_view
from flash_lsp.settings import Settings

DEBOUNCE_MS = 0.0
_LOOKS = 5
"""Requests at most before a passage: the first ones end with nothing while the model reads the file."""
_ACCEPT_RATE = 0.3
_SHORTEST_ACCEPT = 4
_BARS = "▁▂▃▄▅▆▇█"
_STEPS_MS = (2, 5, 10, 20, 50, 100, 200)
_HISTORY = 60

View = Callable[[Typist], None]


def run(
    path: Path,
    text: str,
    *,
    keys: int,
    speed: float,
    settings: Mapping[str, Any],
    console: Console,
    seed: int = 1,
) -> dict[str, Any]:
    """Type parts of `text` and draw it on `console`; returns the summary's figures (docs/cli.md).

    Raises FlashError if the server cannot start or load its model, or if `text` has nothing to type.
    """
    recording = record(path, text, keys=keys, seed=seed)
    if not recording.passages:
        raise FlashError(f"{path} has no paragraph of code that could be typed: choose another file")
    if not console.is_terminal:
        typist = asyncio.run(_play(recording, speed, settings, _log(console), seed))
    else:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            typist = asyncio.run(_play(recording, speed, settings, _screen(live, recording), seed))
    return _figures(typist)


async def _play(
    recording: Recording, speed: float, settings: Mapping[str, Any], view: View, seed: int
) -> Typist:
    rng = random.Random(seed)

    def accepts(typist: Typist, rest: str) -> bool:
        right = typist.shown is not None and rest_of_line(typist.shown.text) == rest
        return right and len(rest) >= _SHORTEST_ACCEPT and rng.random() < _ACCEPT_RATE

    async with Editor(settings) as editor:
        await editor.loaded()
        typist = Typist(editor, recording, debounce_ms=DEBOUNCE_MS, speed=speed, accepts=accepts, watch=view)
        for passage in recording.passages:
            for _ in range(_LOOKS):
                await typist.look(passage[0].start)
                if typist.shown:
                    break
            typist.come()
            await typist.type(passage)
            await typist.settle()
    return typist


def _figures(typist: Typist) -> dict[str, Any]:
    recording = typist.recording
    return {
        "file": recording.path.name,
        "keys": typist.keys,
        "typed": len(recording.finished) - len(recording.opening),
        "accepted": typist.accepted,
        **summarize(typist.requests, deadline_ms=Settings().deadline_ms),
    }


def _screen(live: Live, recording: Recording) -> View:
    height = max(min(live.console.height - 7, 24), 6)

    def draw(typist: Typist) -> None:
        prefix, suffix = typist.document.text[: typist.cursor], typist.document.text[typist.cursor :]
        ghost = typist.shown.text if typist.shown else ""
        code = ghost_view(recording.path, prefix, ghost, suffix, above=height // 2, below=height)
        code.no_wrap, code.overflow = True, "crop"
        panel = Panel(
            code, title=recording.path.name, title_align="left", height=height + 2, border_style="dim"
        )
        live.update(Group(panel, _status(typist)), refresh=True)

    return draw


def _status(typist: Typist) -> RenderableType:
    figures = summarize(typist.requests, deadline_ms=Settings().deadline_ms)
    answered = [request for request in typist.requests if not request.superseded]
    last = f"{milliseconds(answered[-1].ms)} {_origin(answered[-1])}" if answered else ""
    line = Table.grid(expand=True)
    line.add_row(
        f"key [b]{typist.keys}[/b]",
        f"[b]{last}[/b]",
        f"p50 {milliseconds(figures['p50_ms'])}  p95 {milliseconds(figures['p95_ms'])}",
        f"[green]{percent(figures['cached_share'])} from cache[/green]",
        f"{percent(figures['final_on_time_share'])} on time",
        f"{typist.accepted} characters accepted",
    )
    return Group(_sparkline(typist.requests[-_HISTORY:]), line)


def _sparkline(requests: list[Request]) -> Text:
    """One bar a request, its height the latency, its colour where the answer came from."""
    line = Text("latency ")
    for request in requests:
        height = sum(request.ms > step for step in _STEPS_MS)
        style = "dim" if request.superseded else _STYLES[_origin(request)]
        line.append(_BARS[height], style)
    return line


_STYLES = {"cache": "green", "model": "cyan", "held": "yellow", "nothing": "dim"}


def _origin(request: Request) -> str:
    if not request.text:
        return "nothing"
    if request.held:
        return "held"
    return "cache" if request.source in CACHED else "model"


def _log(console: Console) -> View:
    """One line of output for each line typed, where there is no terminal to draw on."""
    line = -1
    told = 0

    def draw(typist: Typist) -> None:
        nonlocal line, told
        now, _ = typist.document.position(typist.cursor, "utf-32")
        if line not in (-1, now) and (requests := typist.requests[told:]):
            cached = sum(_origin(request) == "cache" for request in requests)
            slowest = milliseconds(max(request.ms for request in requests))
            console.print(
                f"{line + 1:>4} │ {typist.document.line(line):<72.72} {len(requests):>3} requests, "
                f"{cached:>2} from cache, slowest {slowest}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
            told = len(typist.requests)
        line = now

    return draw
