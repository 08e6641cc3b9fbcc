"""The driver's calls, without a driver."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from flash_metal.nvidia.driver import Driver


class Library:
    """Every function succeeds; `calls` tells of those of one name."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        def function(*arguments: Any) -> int:
            self.calls.append((name, arguments))
            return 0

        return function


def test_a_function_keeps_the_shared_memory_of_its_largest_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a graph holds of a function is set anew with its arguments, and needs as much as when it was recorded."""
    library = Library()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    driver = Driver()
    one, other = ctypes.c_void_p(1), ctypes.c_void_p(2)
    for function, shared in (
        (one, 0),
        (one, 67584),
        (one, 116736),
        (other, 1024),
        (one, 67584),
        (other, 2048),
    ):
        driver.launch(function, [], (1, 1, 1), (32, 1, 1), shared)
    allowed = [
        (arguments[0].value, arguments[2])
        for name, arguments in library.calls
        if name == "cuFuncSetAttribute"
    ]
    assert allowed == [(1, 67584), (1, 116736), (2, 1024), (2, 2048)]
