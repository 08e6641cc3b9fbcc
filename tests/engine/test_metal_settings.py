"""What is set on Metal, with stand-ins for MLX and the clock."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from flash_engine.backends import metal
from flash_engine.backends.metal import BUFFER_LIMITS, Wired


def test_buffer_limits() -> None:
    environment = {"MLX_MAX_OPS_PER_BUFFER": "7"}
    metal.set_buffer_limits(environment, "linux")
    assert environment == {"MLX_MAX_OPS_PER_BUFFER": "7"}
    metal.set_buffer_limits(environment, "darwin")
    assert environment == BUFFER_LIMITS | {"MLX_MAX_OPS_PER_BUFFER": "7"}


def test_wired_while_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    started: list[str] = []
    limits: list[int] = []
    thread = SimpleNamespace(start=lambda: started.append("thread"))
    monkeypatch.setattr(metal.threading, "Thread", lambda **_: thread)
    monkeypatch.setattr(metal.time, "monotonic", lambda: now[0])
    wired = Wired(limits.append, 1000, idle=30)
    with wired:
        assert limits == [1000]
        now[0] = 200
        with wired:
            assert wired._release() == 30
    now[0] = 220
    assert wired._release() == 10
    with wired:
        assert limits == [1000]
    now[0] = 250
    assert wired._release() == 0
    assert limits == [1000, 0]
    with wired:
        assert limits == [1000, 0, 1000]
    assert len(started) == 2


@pytest.mark.parametrize(
    ("has_limit", "has_metal", "expected"),
    [(True, True, [77]), (False, True, []), (True, False, [])],
)
def test_wired_where_mlx_can(
    monkeypatch: pytest.MonkeyPatch, has_limit: bool, has_metal: bool, expected: list[int]
) -> None:
    limits: list[int] = []
    mlx: dict[str, Any] = {
        "metal": SimpleNamespace(is_available=lambda: has_metal),
        "device_info": lambda: {"max_recommended_working_set_size": 77},
    }
    if has_limit:
        mlx["set_wired_limit"] = limits.append
    monkeypatch.setattr(metal, "import_module", lambda name: SimpleNamespace(**mlx))
    metal.wired.cache_clear()
    try:
        assert metal.while_wired(lambda x: x + 1)(1) == 2
    finally:
        metal.wired.cache_clear()
    assert limits == expected
