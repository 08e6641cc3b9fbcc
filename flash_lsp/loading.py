"""Loading the model behind the server's back, with progress shown in the editor."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable
from typing import TypeVar

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

T = TypeVar("T")
Report = Callable[[str, float], None]


async def load_in_thread(server: LanguageServer, title: str, load: Callable[[Report], T]) -> T:
    """Run `load(report)` in a thread; `report(stage, share)` moves the editor's progress bar, where it has one.

    Raises what `load` raises.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()
    stages: asyncio.Queue[tuple[str, float] | None] = asyncio.Queue()

    def work() -> None:
        try:
            result = load(lambda stage, share: _on_loop(loop, stages.put_nowait, (stage, share)))
        except Exception as error:
            _on_loop(loop, outcome.set_exception, error)
        else:
            _on_loop(loop, outcome.set_result, result)

    threading.Thread(target=work, name="flash-lsp loading", daemon=True).start()
    window = server.client_capabilities.window
    bar = asyncio.create_task(_bar(server, title, stages)) if window and window.work_done_progress else None
    try:
        return await outcome
    finally:
        stages.put_nowait(None)
        if bar:
            bar.add_done_callback(lambda task: task.cancelled() or task.exception())


async def _bar(server: LanguageServer, title: str, stages: asyncio.Queue[tuple[str, float] | None]) -> None:
    """Show the stages until None ends them. A client may be slow to allow it, or refuse."""
    token = str(uuid.uuid4())
    progress = server.work_done_progress
    try:
        await progress.create_async(token)
    except JsonRpcException:
        return
    progress.begin(token, types.WorkDoneProgressBegin(title=title, percentage=0, cancellable=False))
    while (stage := await stages.get()) is not None:
        message, share = stage
        progress.report(token, types.WorkDoneProgressReport(message=message, percentage=round(100 * share)))
    progress.end(token, types.WorkDoneProgressEnd())


def _on_loop(loop: asyncio.AbstractEventLoop, callback: Callable[[T], object], value: T) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback, value)
