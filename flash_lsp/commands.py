"""The commands of `workspace/executeCommand`. Every answer is JSON; docs/protocol.md lists them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pygls.exceptions import JsonRpcInvalidParams

from flash_lsp import protocol
from flash_lsp.workspace import FlashServer

_SNOOZE_MINUTES = 10.0


def stats(ls: FlashServer) -> dict[str, Any]:
    """The totals since the server's start."""
    return ls.stats()


def toggle(ls: FlashServer, *arguments: object) -> dict[str, Any]:
    """Turn suggestions off or on again until the server ends, in the language that is named or in all."""
    language = _first(arguments, "")
    if not isinstance(language, str):
        raise JsonRpcInvalidParams(f"{protocol.TOGGLE}: a language id is a string, not {language!r}")
    return {"language": language, "enabled": ls.gate.toggle(language, ls.settings)}


def pause(ls: FlashServer) -> dict[str, Any]:
    """No suggestions until `flash-lsp.resume`."""
    ls.pause(True)
    return {"paused": True}


def resume(ls: FlashServer) -> dict[str, Any]:
    """End a pause or a snooze."""
    ls.pause(False)
    return {"paused": False}


def snooze(ls: FlashServer, *arguments: object) -> dict[str, Any]:
    """No suggestions for some minutes, ten if none are given; 0 ends it."""
    minutes = _first(arguments, _SNOOZE_MINUTES)
    if isinstance(minutes, bool) or not isinstance(minutes, int | float):
        raise JsonRpcInvalidParams(f"{protocol.SNOOZE}: minutes are a number, not {minutes!r}")
    ls.snooze(max(minutes, 0.0))
    return {"minutes": ls.gate.snoozed_minutes}


def explain_last_silence(ls: FlashServer) -> protocol.Explanation | None:
    """Why the last reply that was empty was empty."""
    return ls.explain_last_silence()


async def reload(ls: FlashServer) -> dict[str, Any]:
    """Load the model and read the ignore files anew."""
    await ls.reload()
    return ls.stats()


def clear_caches(ls: FlashServer) -> None:
    """Forget answers and KV caches."""
    ls.clear_caches()


def _first(arguments: tuple[object, ...], default: object) -> object:
    """The argument that a client may leave out: pygls fills in no defaults."""
    return arguments[0] if arguments else default


COMMANDS: dict[str, Callable[..., Any]] = {
    protocol.STATS: stats,
    protocol.TOGGLE: toggle,
    protocol.PAUSE: pause,
    protocol.RESUME: resume,
    protocol.SNOOZE: snooze,
    protocol.EXPLAIN: explain_last_silence,
    protocol.RELOAD: reload,
    protocol.CLEAR_CACHES: clear_caches,
}
