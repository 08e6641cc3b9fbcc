"""A token's results are the same bits whatever the pass it is in and whatever lies in the cache."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from flash_metal.launches import Heads, Tiling
from flash_metal.problem import Problem
from flash_metal.registry import Registry
from offmac import host

pytestmark = pytest.mark.skipif(bool(host.MISSING), reason=host.MISSING)

TILING = Tiling(splits=2, attention_simdgroups=2, simdgroups=4, split=2)
POSITION = 60


@pytest.fixture(scope="module")
def kernels() -> Registry:
    return Registry(lambda **make: host.kernel(**make, orders=1, contract=True))


def bits(x: mx.array) -> bytes:
    return host.to_numpy(x).tobytes()


@pytest.fixture(
    params=[(2, mx.float16, 4), (5, mx.bfloat16, 8), (8, mx.float16, 4), (8, mx.float32, 4)], ids=str
)
def problem(request: pytest.FixtureRequest) -> Problem:
    tokens, dtype, width = request.param
    return Problem(Heads(6, 2, 64), tokens=tokens, dtype=dtype, bits=width, position=POSITION, tiling=TILING)


def test_qkv(kernels: Registry, problem: Problem) -> None:
    x = problem.x()
    q, rows = problem.run_qkv(kernels, x, POSITION)
    for m in range(problem.tokens):
        alone, row = problem.run_qkv(kernels, x[m : m + 1], POSITION + m)
        assert bits(alone) == bits(q[m : m + 1])
        assert bits(row) == bits(rows[:, :, m : m + 1])


def test_products(kernels: Registry, problem: Problem) -> None:
    x, inner, (parts, stats) = problem.x(), problem.inner_x(), problem.parts()
    whole = [
        problem.run_project(kernels, parts, stats, x),
        problem.run_gate_up(kernels, x),
        problem.run_down(kernels, inner, x),
        problem.run_head(kernels, x),
    ]
    for m in range(problem.tokens):
        at = slice(m, m + 1)
        alone = [
            problem.run_project(kernels, parts[:, at], stats[:, at], x[at]),
            problem.run_gate_up(kernels, x[at]),
            problem.run_down(kernels, inner[at], x[at]),
            problem.run_head(kernels, x[at]),
        ]
        assert [bits(y) for y in alone] == [bits(y[at]) for y in whole]


def test_attention(kernels: Registry, problem: Problem) -> None:
    """Alone, with the pass's earlier rows read from the cache, and with anything at all behind them in it."""
    q, cache, fresh = problem.queries(), problem.cache(), problem.rows(2, problem.heads.kv, problem.tokens)
    parts, stats = problem.run_attention(kernels, q, cache, fresh, POSITION)
    for m in range(problem.tokens):
        at = slice(m, m + 1)
        garbage = np.array(cache)
        garbage[:, :, :, POSITION:] = 0xFFFFFFFF
        garbage[-1, :, :, POSITION : POSITION + m] = np.array(fresh[:, :, :m])
        alone, alone_stats = problem.run_attention(
            kernels, q[at], mx.array(garbage), fresh[:, :, at], POSITION + m
        )
        assert bits(alone) == bits(parts[:, at])
        assert bits(alone_stats) == bits(stats[:, at])


def test_nothing_to_contract(kernels: Registry, problem: Problem) -> None:
    """Products that feed sums are fmas in the text, so a compiler that makes fmas gives the same bits."""
    plain = Registry(lambda **make: host.kernel(**make, orders=1))
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
        assert bits(one) == bits(other)
