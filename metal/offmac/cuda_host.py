"""The CUDA texts compiled as C++ and run on the CPU: a stand-in for flash_metal.nvidia.launch.by_mlx.

shim/cuda_host.h takes the place of ptx.cuh. Lanes are fibers, as in host.py.
"""

from __future__ import annotations

import ctypes
import re
import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import mlx.core as mx
import numpy as np

from flash_metal.nvidia import kernels
from flash_metal.nvidia.launch import Launch
from flash_metal.nvidia.texts import text
from flash_metal.registry import Grid, Registry
from offmac.host import FORWARD, NUMPY, RANDOM, REVERSE, KernelError, build, to_numpy
from offmac.text import SHIM

TARGET = "host"
MULTIPROCESSORS, SHARED_BYTES = 5, 232448
"""A small GPU, with an H100's shared memory."""
_FLAGS = ["-std=c++17", "-O1", "-march=x86-64-v3", "-fexcess-precision=16", "-ffp-contract=off"]
_FLAGS += ["-fno-exceptions", "-fno-rtti", "-w", f"-I{SHIM}", "-shared", "-fPIC"]
_RUNS = ((FORWARD, 0xFF), (REVERSE, 0x00), (RANDOM, 0x5A))


class HostLaunch:
    """Runs a kernel in `orders` orders of lanes, with as many fill patterns in its outputs; all give the same bytes.

    `launched` names the kernels that ran; `edit` changes their texts. Raises KernelError if a text does not compile,
    lanes part where they must not, or results differ.
    """

    def __init__(self, orders: int = 1, edit: Callable[[str], str] = str) -> None:
        self.launched: list[str] = []
        self._orders, self._edit = orders, edit

    def registry(self) -> Registry:
        """The launches' kernels through this."""
        return kernels.registry(self)

    def __call__(self, launch: Launch) -> list[mx.array]:
        module = launch.module
        if launch.shared > SHARED_BYTES:
            raise KernelError(f"{module.function}: {launch.shared} bytes of shared memory")
        self.launched.append(module.function.removeprefix("flash_"))
        code = library(module.text, module.function, self._edit)
        given = [*map(to_numpy, launch.inputs)]
        runs = []
        for order, fill in _RUNS[: self._orders]:
            made = [
                np.full(int(np.prod(s)) * d.size, fill, np.uint8).view(NUMPY[d]).reshape(s)
                for s, d in launch.outputs
            ]
            values = [
                *(ctypes.c_void_p(x.ctypes.data) for x in (*given, *made)),
                *map(ctypes.c_int, launch.scalars),
            ]
            run(module.function, code, values, launch.blocks, launch.threads, order)
            runs.append(made)
        for other in runs[1:]:
            if any(a.tobytes() != b.tobytes() for a, b in zip(runs[0], other, strict=True)):
                raise KernelError(f"{module.function} depends on the order of lanes, or is not written whole")
        return [
            mx.array(x).view(mx.bfloat16) if d == mx.bfloat16 else mx.array(x)
            for x, (_, d) in zip(runs[0], launch.outputs, strict=True)
        ]


def run(
    name: str,
    code: ctypes.CDLL,
    arguments: Sequence[ctypes._SimpleCData[Any]],
    blocks: Grid,
    threads: Grid,
    order: int = FORWARD,
) -> None:
    """Run a kernel once, lanes in `order`. Raises KernelError."""
    pointers = (ctypes.c_void_p * len(arguments))(*map(ctypes.addressof, arguments))
    error = ctypes.create_string_buffer(512)
    entry = ctypes.cast(code.msl_entry, ctypes.c_void_p)
    options = struct.pack("ixxxxQ", order, 7)
    grid = [count * size for count, size in zip(blocks, threads, strict=True)]
    extents = [(ctypes.c_uint * 3)(*size) for size in (grid, threads)]
    if code.msl_launch(entry, pointers, *extents, options, error, len(error)):
        raise KernelError(f"{name}: {error.value.decode()}")


def library(source: str, function: str, edit: Callable[[str], str] = str) -> ctypes.CDLL:
    """The kernel `function` of a CUDA text, for `run`. Raises KernelError if it does not compile."""
    code = _load(_translation_unit(source, function, edit), function)
    cluster = re.search(r"__cluster_dims__\((\d+),", source)
    ctypes.c_uint.in_dll(code, "msl_cluster").value = int(cluster[1]) if cluster else 1
    return code


@cache
def _load(unit: str, function: str) -> ctypes.CDLL:
    return ctypes.CDLL(str(build(f"cuda_{function}", unit, _FLAGS)))


def _translation_unit(source: str, function: str, edit: Callable[[str], str]) -> str:
    """A CUDA text as C++, and the entry that the run-time calls."""
    body = edit(source.removeprefix(text("ptx.cuh")))
    body = re.sub(r"extern __shared__ uint4 (\w+)\[\];", rf"static uint4 \1[{SHARED_BYTES} / 16];", body)
    signature = re.search(rf"{function}\((.*?)\)\{{", body)
    assert signature
    arguments = [
        f"*({parameter.rpartition(' ')[0]}*)b[{i}]" for i, parameter in enumerate(signature[1].split(","))
    ]
    return (
        f'#include "cuda_host.h"\n#line 1 "{function}.cu"\n{body}'
        'extern "C" void msl_entry(void** b, const MslThread*) {\n'
        f"  {function}({', '.join(arguments)});\n}}\n"
    )
