"""flash_metal.nvidia.tile against the order that its docstring gives, word by word."""

from __future__ import annotations

from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest

from flash_metal.nvidia.tile import tile
from flash_metal.problem import Problem


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize(("bits", "group"), [(4, 64), (4, 32), (8, 64), (8, 32)])
def test_places(bits: int, group: int, pairs: bool) -> None:
    n, k = 64, 192
    given = Problem(bits=bits, group=group).matrix(n, k)
    made = tile(given, pairs=pairs)
    assert made.tiled
    assert (made.shape, made.bits, made.group) == (given.shape, bits, group)
    groups, words = k // group, group * bits // 128
    weight = np.array(given.weight).reshape(n, groups, 4, words)
    scales, biases = np.array(given.scales), np.array(given.biases)
    got = np.array(made.weight).reshape(-1)
    factors = np.array(made.scales).reshape(n // 16, groups, 8, 2, 2)
    at = 0
    for number in range(n // 16):
        for each in range(groups):
            wide = words == 4
            for outer in range(2 if wide else 1):
                for g in range(8):
                    for quarter in range(4):
                        for r in [outer] if wide else range(2):
                            row = number * 8 + g + r * n // 2 if pairs else number * 16 + g + 8 * r
                            assert got[at : at + words].tolist() == weight[row, each, quarter].tolist()
                            at += words
                            assert factors[number, each, g, r].tolist() == [
                                scales[row, each],
                                biases[row, each],
                            ]
    assert at == got.size


@pytest.mark.parametrize("problem", [Problem(dtype=mx.float32), Problem()])
def test_left_as_it_is(problem: Problem) -> None:
    n = 64 if problem.dtype == mx.float32 else 72
    matrix = problem.matrix(n, 192)
    assert tile(matrix) is matrix


def test_pairs_are_whole_tiles() -> None:
    matrix = Problem().matrix(48, 192)
    assert tile(matrix).tiled
    assert tile(matrix, pairs=True) is matrix


def test_sizes_are_checked() -> None:
    made = tile(Problem().matrix(16, 192))
    with pytest.raises(ValueError, match="does not fit"):
        replace(made, tiled=False)
