"""A matrix in the order in which the products of cu/product.cuh read it.

A tile is 16 rows; of each group of K a lane has some words of rows g and g + 8, and the 32 lanes' words lie side by
side: what a warp loads at a time is one piece of memory. Scales and biases of a group go together, too.
"""

from __future__ import annotations

import mlx.core as mx

from flash_metal.launches import Matrix

TYPES = (mx.float16, mx.bfloat16)
"""Of scales and biases, and of activations."""
ROWS = 16
_LONGEST = 4
"""Words that a lane loads at a time."""


def tile(matrix: Matrix, *, pairs: bool = False) -> Matrix:
    """`matrix` [n, k] tiled; as it is, for the Metal texts, where matrix units don't take it.

    pairs: rows n / 2 on belong to those in front, and a tile is eight of each. weight: uint32, by tile, group, g (of
    8), quarter of the group, row g or g + 8, word; with four words of a row, these rows come in front of g. scales:
    by tile, group, g, row, scale or bias.
    """
    n, k = matrix.shape
    if matrix.scales.dtype not in TYPES or n % (2 * ROWS if pairs else ROWS):
        return matrix
    groups, words = k // matrix.group, matrix.group * matrix.bits // 128
    rows_together, rows_apart = (0, 3, 2, 4, 1, 5), (0, 3, 1, 2, 4, 5)
    weight = _ordered(
        matrix.weight.reshape(n, groups, 4, words),
        rows_apart if words == _LONGEST else rows_together,
        pairs=pairs,
    )
    factors = mx.stack([matrix.scales, matrix.biases], axis=-1).reshape(n, groups, 1, 2)
    factors = _ordered(factors, rows_together, pairs=pairs)
    mx.eval(weight, factors)
    return Matrix(weight, factors, factors, matrix.bits, matrix.group, tiled=True)


def _ordered(x: mx.array, axes: tuple[int, ...], *, pairs: bool) -> mx.array:
    """[n, group, quarter, word], taken as [tile, row g or g + 8, g, group, quarter, word], in the order of these axes,
    as [n, ...]."""
    n, tiles = x.shape[0], x.shape[0] // ROWS
    if pairs:
        x = x.reshape(2, tiles, ROWS // 2, *x.shape[1:]).swapaxes(0, 1)
    else:
        x = x.reshape(tiles, 2, ROWS // 2, *x.shape[1:])
    return mx.contiguous(x.transpose(axes)).reshape(n, -1)
