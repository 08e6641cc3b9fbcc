"""A launch of a CUDA kernel, and MLX as the one that runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.core as mx

from flash_metal.nvidia.module import Module
from flash_metal.registry import Grid, Shape


@dataclass(frozen=True, slots=True)
class Launch:
    """What a kernel is given: its parameters are the inputs, the outputs and the scalars."""

    module: Module
    inputs: Sequence[mx.array]
    outputs: Sequence[tuple[Shape, mx.Dtype]]
    """To be made."""
    scalars: Sequence[int]
    blocks: Grid
    threads: Grid
    """Of a block."""
    shared: int = 0
    """Bytes of dynamic shared memory."""


Run = Callable[[Launch], list[mx.array]]
"""Runs a launch, or takes it down; returns the outputs."""


def by_mlx(launch: Launch) -> list[mx.array]:
    """The launch as an operation of MLX."""
    name, code = launch.module.for_mlx
    x, y, z = (count * size for count, size in zip(launch.blocks, launch.threads, strict=True))
    made: list[mx.array] = mx.fast.precompiled_cuda_kernel(
        name=name,
        compiled_source=code,
        inputs=launch.inputs,
        output_shapes=[shape for shape, _ in launch.outputs],
        output_dtypes=[dtype for _, dtype in launch.outputs],
        scalars=launch.scalars,
        grid=(x, y, z),
        threadgroup=launch.threads,
        shared_memory=launch.shared,
        ensure_row_contiguous=True,
        stream=mx.gpu,
    )
    return made
