"""The GPU bench on a tiny shape, its launches on the CPU."""

from __future__ import annotations

from functools import partial

import mlx.core as mx
import pytest

from flash_lsp.bench.gpu import run
from flash_lsp.bench.gpu.shapes import SHAPES, Shape
from flash_metal.launches import Heads
from flash_metal.registry import Registry
from offmac import host

TINY = Shape(hidden=64, layers=1, inner=128, heads=Heads(1, 1, 64), vocabulary=256)


@pytest.mark.skipif(bool(host.MISSING), reason=host.MISSING)
def test_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx, "compile", lambda one_pass: one_pass)  # the CPU's launches are no MLX operations
    monkeypatch.setattr(run, "_stock", lambda shape: None)
    monkeypatch.setattr(run, "PASSES", (1, 8))
    monkeypatch.setattr(run.measure, "decode", partial(run.measure.decode, steps=2))
    monkeypatch.setattr(run.measure, "passes", partial(run.measure.passes, rounds=6))
    stages: list[float] = []
    kernels = Registry(partial(host.kernel, orders=1))
    found = run.run(
        TINY,
        kernels,
        capacity=128,
        contexts=(16,),
        rounds=1,
        progress=lambda stage, share: stages.append(share),
    )
    assert found["decode_tokens_s"]["16"]["fused"] > 0
    assert set(found["passes"]) == {"1", "8"}
    assert found["passes"]["1"]["v"] == 1
    assert stages == sorted(stages)
    assert stages[-1] == 1


def test_bytes() -> None:
    """4.5 bits a weight; 132 bytes a head, keys and values."""
    shape = SHAPES["deepseek-coder-6.7b"]
    assert shape.weight_bytes == (32 * (4 * 4096**2 + 3 * 4096 * 11008) + 4096 * 32256) * 9 // 16
    assert shape.token_bytes == 32 * 2 * 32 * 132
