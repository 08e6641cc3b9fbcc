"""Whether a token's results are the same bits in a pass of several as alone, launch by launch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx
import numpy as np

from flash_metal.problem import Problem
from flash_metal.registry import Registry

_Launch = Callable[..., mx.array]


def _same(one: mx.array, other: mx.array) -> bool:
    kind = {2: mx.uint16, 4: mx.uint32}[one.dtype.size]
    return bool(mx.array_equal(one.view(kind), other.view(kind)))


def _by_rows(launch: _Launch, tokens: int, inputs: Sequence[tuple[mx.array, int]]) -> bool:
    """`launch` of `inputs`, whose given axis counts tokens; the first axis of its result does."""
    whole = launch(*(x for x, _ in inputs))
    for m in range(tokens):
        alone = launch(*(mx.contiguous(x[:, m : m + 1] if axis else x[m : m + 1]) for x, axis in inputs))
        if not _same(alone, whole[m : m + 1]):
            return False
    return True


def qkv(problem: Problem, kernels: Registry) -> bool:
    """Queries and cache rows of each token at its own position."""
    x = problem.x()
    q, rows = problem.run_qkv(kernels, x, problem.position)
    for m in range(problem.tokens):
        alone, row = problem.run_qkv(kernels, x[m : m + 1], problem.position + m)
        if not (_same(alone, q[m : m + 1]) and _same(row, rows[:, :, m : m + 1])):
            return False
    return True


def attention(problem: Problem, kernels: Registry) -> bool:
    """Also with the pass's earlier rows read from the cache, and with anything at all behind them in it."""
    q, fresh, start = problem.queries(), problem.rows(2, problem.heads.kv, problem.tokens), problem.position
    parts, stats = problem.run_attention(kernels, q, problem.cache(), fresh, start)
    for m in range(problem.tokens):
        cache = np.array(problem.cache())
        cache[:, :, :, start:] = 0xFFFFFFFF
        cache[-1, :, :, start : start + m] = np.array(fresh[:, :, :m])
        row = mx.contiguous(fresh[:, :, m : m + 1])
        part, stat = problem.run_attention(kernels, q[m : m + 1], mx.array(cache), row, start + m)
        if not (_same(part, parts[:, m : m + 1]) and _same(stat, stats[:, m : m + 1])):
            return False
    return True


def project(problem: Problem, kernels: Registry) -> bool:
    """The output projection."""
    inputs = [(x, 1) for x in problem.parts()] + [(problem.x(), 0)]
    return _by_rows(lambda *x: problem.run_project(kernels, *x), problem.tokens, inputs)


def gate_up(problem: Problem, kernels: Registry) -> bool:
    """The gate and up products."""
    return _by_rows(lambda x: problem.run_gate_up(kernels, x), problem.tokens, [(problem.x(), 0)])


def down(problem: Problem, kernels: Registry) -> bool:
    """The down product."""
    inputs = [(problem.inner_x(), 0), (problem.x(), 0)]
    return _by_rows(lambda *x: problem.run_down(kernels, *x), problem.tokens, inputs)


def head(problem: Problem, kernels: Registry) -> bool:
    """The logits."""
    return _by_rows(lambda x: problem.run_head(kernels, x), problem.tokens, [(problem.x(), 0)])


INVARIANT: dict[str, Callable[[Problem, Registry], bool]] = {
    "qkv": qkv,
    "attention": attention,
    "project": project,
    "gate_up": gate_up,
    "down": down,
    "head": head,
}
