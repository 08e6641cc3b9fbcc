"""Kernels compiled before they are needed, all processors at work: a text takes NVRTC some tenths of a second."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx

from flash_metal.nvidia import kernels
from flash_metal.nvidia.launch import Launch
from flash_metal.nvidia.module import Module, compile_all
from flash_metal.registry import Registry

_PLAIN = ("place", "resident", "address", "begin", "choose")


def modules(run: Callable[[Registry], object]) -> list[Module]:
    """The kernels that `run` launches through the registry that it is given, where nothing is computed, and those that
    every model needs."""
    found = {kernels.plain_module(name): None for name in _PLAIN}

    def take(launch: Launch) -> list[mx.array]:
        found[launch.module] = None
        return [mx.zeros(shape, dtype=dtype) for shape, dtype in launch.outputs]

    run(kernels.registry(take))
    return list(found)


def prepare(run: Callable[[Registry], object]) -> None:
    """Have all kernels that `run` launches compiled. Raises RuntimeError with the compiler's log."""
    compile_all(modules(run))
