"""The event by which running work is told to stop."""

from __future__ import annotations

import threading

try:
    from flash_engine._native import Flag
except ImportError:  # built without the native kernels
    Flag = threading.Event  # type: ignore[assignment, misc]


class Cancel(threading.Event):
    """An event that the native backend sees within a forward, where others are seen between two.

    Once set it stays set.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flag = Flag()

    def set(self) -> None:
        self.flag.set()
        super().set()

    def clear(self) -> None:
        raise RuntimeError("a cancelled work stays cancelled: make a new event for other work")
