"""The CUDA texts on the CPU: right, the same bits in passes of any width, and no lane ahead of another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from flash_metal.decoder import Decoder
from flash_metal.invariance import INVARIANT
from flash_metal.launches import Heads, Tiling
from flash_metal.nvidia import kernels, module, texts
from flash_metal.problem import ERRORS, TOLERANCE, Problem
from offmac import cuda_host, host
from offmac.cuda_host import HostLaunch
from offmac.host import KernelError
from tests.metal.test_decoder import EPS, model

pytestmark = pytest.mark.skipif(bool(host.MISSING), reason=host.MISSING)

SMALL = Problem(Heads(4, 2, 64), hidden=256, inner=256, tokens=3)
SWITCHES = Problem(
    Heads(2, 1, 128),
    hidden=192,
    inner=512,
    bits=8,
    group=32,
    tokens=24,
    bias=True,
    head_norm=True,
    dtype=mx.bfloat16,
)


@pytest.fixture(autouse=True)
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MLX_PTX_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(module, "architecture", lambda: cuda_host.TARGET)
    monkeypatch.setattr(kernels, "multiprocessors", lambda: cuda_host.MULTIPROCESSORS)
    monkeypatch.setattr(kernels, "shared_bytes", lambda: cuda_host.SHARED_BYTES)
    monkeypatch.setattr(kernels.cuda, "kernel", lambda **_: None)
    texts.module.cache_clear()
    yield
    texts.module.cache_clear()


@pytest.mark.parametrize(
    "problem",
    [SMALL, replace(SMALL, tokens=6), replace(SMALL, tokens=16), SWITCHES],
    ids=["3", "6", "16", "24"],
)
@pytest.mark.parametrize("launch", ERRORS)
def test_right(launch: str, problem: Problem) -> None:
    assert ERRORS[launch](problem, HostLaunch(orders=3).registry()) < TOLERANCE[problem.dtype]


@pytest.mark.parametrize(
    "problem", [replace(SMALL, tokens=5), replace(SMALL, tokens=16), SWITCHES], ids=["5", "16", "24"]
)
@pytest.mark.parametrize("launch", INVARIANT)
def test_invariant(launch: str, problem: Problem) -> None:
    assert INVARIANT[launch](problem, HostLaunch().registry())


def test_rows_too_long_for_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are staged in memory, for every number of tokens."""
    monkeypatch.setattr(kernels, "shared_bytes", lambda: 30000)
    launch = HostLaunch()
    assert INVARIANT["down"](SMALL, launch.registry())
    assert SMALL.down_error(launch.registry()) < TOLERANCE[mx.float16]
    assert set(launch.launched) == {"stage", "wide"}


@pytest.mark.parametrize(("multiprocessors", "shares"), [(17, 2), (40, 4), (500, 8)])
def test_blocks_that_share_a_head(multiprocessors: int, shares: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "multiprocessors", lambda: multiprocessors)
    problem = Problem(Heads(4, 2, 128), hidden=256, inner=256, tokens=3, bias=True, head_norm=True)
    launch, texts_seen = _seen(orders=3)
    registry = launch.registry()
    assert problem.qkv_error(registry) < TOLERANCE[mx.float16]
    assert INVARIANT["qkv"](problem, registry)
    assert texts_seen
    assert all(f"__cluster_dims__({shares},1,1)" in each for each in texts_seen)


@pytest.mark.parametrize("position", [255, 256, 258, 287, 520])
def test_rows_made_in_any_turn_of_a_warp(position: int) -> None:
    """The pass's rows lie in the first block of keys of a warp, in its second or third, or in two warps'."""
    problem = replace(SMALL, position=position, tiling=Tiling(splits=1))
    assert problem.attention_error(HostLaunch(orders=3).registry()) < TOLERANCE[mx.float16]
    assert INVARIANT["attention"](problem, HostLaunch().registry())


def test_groups_that_no_four_divide() -> None:
    """A long K whose groups are no multiple of four is taken two at a time, none of which is left over."""
    problem = replace(SMALL, inner=66 * 64)
    launch, texts_seen = _seen()
    registry = launch.registry()
    assert problem.down_error(registry) < TOLERANCE[mx.float16]
    assert INVARIANT["down"](problem, registry)
    assert all("constexpr int U=2;" in each for each in texts_seen)


def test_other_activations_than_the_tiled_matrices_are_refused() -> None:
    x = SMALL.inner_x().astype(mx.bfloat16)
    with pytest.raises(ValueError, match=r"tiled matrices of \S+float16 and activations of \S+bfloat16"):
        SMALL.run_down(HostLaunch().registry(), x, SMALL.x())


def test_any_cut_of_a_prompt() -> None:
    """Logits and cache rows of a whole decoder."""
    registry = HostLaunch().registry()
    weights = model(SMALL, 2, registry.tile)
    decoder = Decoder(registry, Tiling(), SMALL.heads, weights, frequency=SMALL.frequency(), eps=EPS)
    tokens = [(37 * i + 11) % 256 for i in range(35)]

    def run(*cuts: int) -> tuple[bytes, bytes]:
        cache, at, logits = decoder.new_cache(64), 0, mx.zeros((0,))
        for cut in cuts:
            ids = mx.array(tokens[at : at + cut], dtype=mx.int32)
            logits, rows = decoder(ids, cache, mx.array([at], dtype=mx.int32), logits=1)
            changed = np.array(cache)
            changed[:, :, :, at : at + cut] = np.array(rows)
            cache, at = mx.array(changed), at + cut
        return np.array(logits).tobytes(), np.array(cache).tobytes()

    assert run(32, 3) == run(8, 8, 8, 8, 2, 1) == run(16, 5, 8, 3, 3)


def _seen(orders: int = 1) -> tuple[HostLaunch, list[str]]:
    """A launch, and the texts that it compiles."""
    texts_seen: list[str] = []

    def edit(source: str) -> str:
        texts_seen.append(source)
        return source

    return HostLaunch(orders, edit), texts_seen


def _without(text: str) -> Callable[[str], str]:
    def edit(source: str) -> str:
        before, found, after = source.rpartition(text)
        assert found, f"no {text!r}"
        return before + after

    return edit


@pytest.mark.parametrize(
    ("launch", "problem"),
    [("down", SMALL), ("gate_up", SMALL), ("attention", SMALL), ("down", replace(SMALL, tokens=16))],
    ids=["staged", "normed", "attention", "wide"],
)
def test_missing_barrier(launch: str, problem: Problem) -> None:
    with pytest.raises(KernelError, match="order of lanes"):
        ERRORS[launch](problem, HostLaunch(orders=3, edit=_without("__syncthreads();")).registry())


WRONG = {
    "key of the future seen": ("attention", "base + key <=last[c]", "base + key <=last[c] + 1"),
    "scale of the wrong row": ("down", "w.scale[c / 2]", "w.scale[c % 2]"),
    "planes mixed up": ("head", "? 2 * h + 1 : plane + 2", "? 2 * h : plane + 2"),
    "rotated the other way": ("qkv", "fmaf(b[j],c,a[j] * s)", "fmaf(b[j],c,-a[j] * s)"),
    "gate's rows for up's": ("gate_up", "sums[i + 2]", "sums[i]"),
    "another head's share": ("project", "c * 8 / D] :", "c * 8 / D % 2] :"),
}


@pytest.mark.parametrize(("launch", "old", "new"), WRONG.values(), ids=WRONG.keys())
def test_wrong(launch: str, old: str, new: str) -> None:
    def edit(source: str) -> str:
        assert old in source, old
        return source.replace(old, new)

    assert ERRORS[launch](SMALL, HostLaunch(edit=edit).registry()) > TOLERANCE[mx.float16]


def test_a_difference_between_widths_is_seen() -> None:
    def edit(source: str) -> str:
        return source.replace("sums[0] + more.x", "more.x")

    assert not INVARIANT["down"](replace(SMALL, tokens=16), HostLaunch(edit=edit).registry())
