"""MLX on Metal: how many launches go to the GPU at a time, and that the weights stay in memory while they are used."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache, wraps
from importlib import import_module
from types import TracebackType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

BUFFER_LIMITS = {"MLX_MAX_OPS_PER_BUFFER": "1000", "MLX_MAX_MB_PER_BUFFER": "400"}
_IDLE = 30.0
"""Seconds without a pass after which the memory is given free."""


def set_buffer_limits(
    environment: MutableMapping[str, str] = os.environ, platform: str = sys.platform
) -> None:
    """Let a pass go to the GPU in few command buffers, unless the user says otherwise. MLX reads the limits once, when
    it first uses Metal: call this before."""
    if platform == "darwin":
        for name, value in BUFFER_LIMITS.items():
            environment.setdefault(name, value)


class Wired:
    """Keeps MLX's memory wired while passes run inside `with`, and for `idle` seconds after the last."""

    def __init__(self, set_limit: Callable[[int], object], limit: int, idle: float = _IDLE) -> None:
        """set_limit: mx.set_wired_limit. limit: bytes."""
        self._set_limit, self._limit, self._idle = set_limit, limit, idle
        self._lock = threading.Lock()
        self._passes = 0
        self._last = 0.0
        self._is_wired = False

    def __enter__(self) -> None:
        with self._lock:
            self._passes += 1
            if not self._is_wired:
                self._set_limit(self._limit)
                self._is_wired = True
                threading.Thread(target=self._watch, name="flash-wired", daemon=True).start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._passes -= 1
            self._last = time.monotonic()

    def _watch(self) -> None:
        while (left := self._release()) > 0:
            time.sleep(left)

    def _release(self) -> float:
        """Release the memory if it is idle; else the seconds after which to look again."""
        with self._lock:
            left = self._idle if self._passes else self._last + self._idle - time.monotonic()
            if left <= 0:
                self._set_limit(0)
                self._is_wired = False
            return left


@cache
def wired() -> AbstractContextManager[None]:
    """The process's: Metal's recommended working set; nothing elsewhere, or if this MLX cannot wire memory."""
    mx = import_module("mlx.core")
    set_limit = getattr(mx, "set_wired_limit", None)
    if set_limit is None or not mx.metal.is_available():
        return nullcontext()
    return Wired(set_limit, int(mx.device_info()["max_recommended_working_set_size"]))


def while_wired(forward: Callable[P, T]) -> Callable[P, T]:
    """`forward` run with the memory wired."""

    @wraps(forward)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with wired():
            return forward(*args, **kwargs)

    return run
