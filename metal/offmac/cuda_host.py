"""The CUDA texts compiled as C++ and run on the CPU: a stand-in for flash_metal.nvidia.launch.by_mlx.

shim/cuda_host.h takes the place of ptx.cuh. Lanes are fibers, as in host.py.
"""

from __future__ import annotations

import ctypes
import re
import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np

from flash_metal.nvidia import kernels
from flash_metal.nvidia.launch import Launch
from flash_metal.nvidia.module import Module
from flash_metal.nvidia.texts import text
from flash_metal.registry import Factory, Registry
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
        self._built: dict[str, ctypes.CDLL] = {}

    def registry(self) -> Registry:
        """The launches' kernels through this."""
        factory: Factory = partial(kernels.kernel, run=self)
        return Registry(
            factory, partial(kernels.place, run=self), in_order=True, max_tokens=kernels.MAX_TOKENS
        )

    def __call__(self, launch: Launch) -> list[mx.array]:
        module = launch.module
        if launch.shared > SHARED_BYTES:
            raise KernelError(f"{module.function}: {launch.shared} bytes of shared memory")
        self.launched.append(module.function.removeprefix("flash_"))
        library = self._library(module)
        given = [*map(to_numpy, launch.inputs), *([np.zeros(18, np.uint32)] if launch.fetches else [])]
        runs = []
        for order, fill in _RUNS[: self._orders]:
            made = [
                np.full(int(np.prod(s)) * d.size, fill, np.uint8).view(NUMPY[d]).reshape(s)
                for s, d in launch.outputs
            ]
            _run(launch, library, [*given, *made], order)
            runs.append(made)
        for other in runs[1:]:
            if any(a.tobytes() != b.tobytes() for a, b in zip(runs[0], other, strict=True)):
                raise KernelError(f"{module.function} depends on the order of lanes, or is not written whole")
        return [
            mx.array(x).view(mx.bfloat16) if d == mx.bfloat16 else mx.array(x)
            for x, (_, d) in zip(runs[0], launch.outputs, strict=True)
        ]

    def _library(self, module: Module) -> ctypes.CDLL:
        unit = _translation_unit(module, self._edit)
        if unit not in self._built:
            self._built[unit] = ctypes.CDLL(str(build(f"cuda_{module.function}", unit, _FLAGS)))
        return self._built[unit]


def _run(launch: Launch, library: ctypes.CDLL, arrays: Sequence[Any], order: int) -> None:
    values = [ctypes.c_void_p(x.ctypes.data) for x in arrays]
    values += map(ctypes.c_int, launch.scalars)  # type: ignore[arg-type]
    pointers = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
    error = ctypes.create_string_buffer(512)
    entry = ctypes.cast(library.msl_entry, ctypes.c_void_p)
    options = struct.pack("ixxxxQ", order, 7)
    grid = [blocks * threads for blocks, threads in zip(launch.blocks, launch.threads, strict=True)]
    extents = [(ctypes.c_uint * 3)(*size) for size in (grid, launch.threads)]
    if library.msl_launch(entry, pointers, *extents, options, error, len(error)):
        raise KernelError(f"{launch.module.function}: {error.value.decode()}")


def _translation_unit(module: Module, edit: Callable[[str], str]) -> str:
    """The module's text as C++, and the entry that the run-time calls."""
    body = edit(module.text.removeprefix(text("ptx.cuh")))
    body = re.sub(r"extern __shared__ uint4 (\w+)\[\];", rf"static uint4 \1[{SHARED_BYTES} / 16];", body)
    signature = re.search(rf"{module.function}\((.*?)\)\{{", body)
    assert signature
    arguments = [
        f"*({parameter.rpartition(' ')[0]}*)b[{i}]" for i, parameter in enumerate(signature[1].split(","))
    ]
    return (
        f'#include "cuda_host.h"\n#line 1 "{module.function}.cu"\n{body}'
        'extern "C" void msl_entry(void** b, const MslThread*) {\n'
        f"  {module.function}({', '.join(arguments)});\n}}\n"
    )
