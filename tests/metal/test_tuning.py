"""The search for a tiling, with scripted times, and what is remembered of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import pytest
from typer.testing import CliRunner

from flash_lsp.cli.app import app
from flash_metal import tuning
from flash_metal.launches import Heads, Tiling
from flash_metal.tilings import Sizes

SIZES = Sizes(Heads(32, 32, 128), 4096, 11008, 32256, 32)
START = Tiling(rows=4)
FAST = Tiling(rows=8, simdgroups=4, split=2, splits=8, attention_simdgroups=2)


def seconds(tiling: Tiling) -> float:
    """One for each tunable that is not FAST's."""
    names = ("rows", "simdgroups", "split", "splits", "attention_simdgroups")
    if tiling.simdgroups == 16:
        raise RuntimeError("too many threads")
    return 1.0 + sum(getattr(tiling, name) != getattr(FAST, name) for name in names)


def test_the_fastest_sound_one() -> None:
    chosen, trials = tuning.tune(SIZES, START, seconds, lambda tiling: "")
    assert chosen == FAST == trials[0].tiling
    assert {trial.fault for trial in trials if trial.tiling.simdgroups == 16} == {"too many threads"}
    chosen, trials = tuning.tune(SIZES, START, seconds, lambda t: "differs" if t == FAST else "")
    assert trials[0].fault == "differs"
    assert chosen == trials[1].tiling
    assert tuning.tune(SIZES, START, seconds, lambda t: "differs")[0] == START


def test_noise_changes_nothing() -> None:
    assert tuning.tune(SIZES, START, lambda t: 1 - 0.01 * (t == FAST), lambda t: "")[0] == START


def test_pass_seconds_is_the_median() -> None:
    ticks = iter(range(1000))
    decoder: Any = lambda ids, cache, position, *, logits: (ids, cache)  # noqa: E731
    stub: Any = SimpleNamespace(new_cache=lambda capacity: mx.zeros((1,)))

    class Stub:
        new_cache = staticmethod(stub.new_cache)
        __call__ = staticmethod(decoder)

    made: Any = Stub()
    assert tuning.pass_seconds(tuning.passes(made, compiled=False), clock=lambda: next(ticks)) == 2


def test_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert tuning.remembered("a GPU", SIZES) is None
    file = tuning.remember("a GPU", SIZES, FAST)
    assert file.parent == tmp_path / "flash-lsp" / "tilings"
    assert tuning.remembered("a GPU", SIZES) == FAST
    assert tuning.remembered("another GPU", SIZES) is None
    for damaged in ("{", '{"rows": 4, "split": 0}', '{"colour": 1}', '{"split": 3}'):
        file.write_text(damaged)
        assert tuning.remembered("a GPU", SIZES) is None


@pytest.mark.skipif(mx.metal.is_available() or mx.cuda.is_available(), reason="MLX has a GPU here")
def test_no_gpu() -> None:
    result = CliRunner().invoke(app, ["tune"])
    assert "MLX has no GPU back end here" in str(result.exception)
