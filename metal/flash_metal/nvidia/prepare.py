"""Kernels compiled before they are needed, all processors at work: a text takes NVRTC some tenths of a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import mlx.core as mx

from flash_metal.nvidia import kernels
from flash_metal.nvidia.module import Module, compile_all
from flash_metal.registry import Registry, Shape

_PLAIN = ("place", "resident", "address", "begin", "choose")


def modules(run: Callable[[Registry], object]) -> list[Module]:
    """The kernels that `run` launches through the registry that it is given, where nothing is computed, and those that
    every model needs."""
    found = {kernels.plain_module(name): None for name in _PLAIN}

    def launch(
        module: Module, *, output_shapes: Sequence[Shape], output_dtypes: Sequence[mx.Dtype], **_: object
    ) -> list[mx.array]:
        found[module] = None
        return [
            mx.zeros(shape, dtype=dtype) for shape, dtype in zip(output_shapes, output_dtypes, strict=True)
        ]

    run(
        Registry(
            partial(kernels.kernel, launch=launch),
            partial(kernels.place, launch=launch),
            in_order=True,
            max_tokens=kernels.MAX_TOKENS,
        )
    )
    return list(found)


def prepare(run: Callable[[Registry], object]) -> None:
    """Have all kernels that `run` launches compiled. Raises RuntimeError with the compiler's log."""
    compile_all(modules(run))
