"""A token's results are the same bits whatever the pass it is in and whatever lies in the cache."""

from __future__ import annotations

from functools import partial
from typing import Any

import mlx.core as mx
import pytest

from flash_metal.invariance import INVARIANT
from flash_metal.launches import Heads, Tiling
from flash_metal.problem import Problem
from flash_metal.registry import Registry
from offmac import host

pytestmark = pytest.mark.skipif(bool(host.MISSING), reason=host.MISSING)

TILING = Tiling(splits=2, attention_simdgroups=2, simdgroups=4, split=2)
POSITION = 60


@pytest.fixture(scope="module")
def kernels() -> Registry:
    return Registry(partial(host.kernel, orders=1, contract=True))


@pytest.fixture(
    params=[(2, mx.float16, 4), (5, mx.bfloat16, 8), (8, mx.float16, 4), (8, mx.float32, 4)], ids=str
)
def problem(request: pytest.FixtureRequest) -> Problem:
    tokens, dtype, width = request.param
    return Problem(Heads(6, 2, 64), tokens=tokens, dtype=dtype, bits=width, position=POSITION, tiling=TILING)


@pytest.mark.parametrize("launch", INVARIANT)
def test_invariant(kernels: Registry, launch: str, problem: Problem) -> None:
    assert INVARIANT[launch](problem, kernels)


def test_a_difference_is_seen(problem: Problem) -> None:
    def factory(*, source: str, **make: Any) -> Any:
        edited = source.replace("Y(fma(sum,inverse", "Y(fma(sum,M==1 ? 1.001f : inverse")
        return host.kernel(source=edited, orders=1, **make)

    assert not INVARIANT["down"](problem, Registry(factory))


def test_nothing_to_contract(kernels: Registry, problem: Problem) -> None:
    """Products that feed sums are fmas in the text, so a compiler that makes fmas gives the same bits."""
    plain = Registry(partial(host.kernel, orders=1))
    x, inner, (parts, stats) = problem.x(), problem.inner_x(), problem.parts()
    q, cache, fresh = problem.queries(), problem.cache(), problem.rows(2, problem.heads.kv, problem.tokens)
    for one, other in zip(
        *(
            (
                *problem.run_qkv(built, x, POSITION),
                *problem.run_attention(built, q, cache, fresh, POSITION),
                problem.run_project(built, parts, stats, x),
                problem.run_gate_up(built, x),
                problem.run_down(built, inner, x),
                problem.run_head(built, x),
            )
            for built in (kernels, plain)
        ),
        strict=True,
    ):
        assert host.to_numpy(one).tobytes() == host.to_numpy(other).tobytes()
