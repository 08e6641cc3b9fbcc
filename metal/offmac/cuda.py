"""The kernels as mx.fast.cuda_kernel would compile them, through nvcc: no GPU and no CUDA build of MLX needed."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from flash_metal.cuda import cuda_header, cuda_source

NVCC = shutil.which("nvcc")
_TYPES = {mx.float32: "float", mx.float16: "__half", mx.bfloat16: "__nv_bfloat16"}
_TYPES |= {mx.uint32: "uint32_t", mx.int32: "int32_t"}
# What the kernels use of the header that MLX puts in front (mlx/backend/cuda/device/utils.cuh).
_PREAMBLE = """#include <cuda/std/array>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cstdint>
using Shape = cuda::std::array<int32_t, 10>;
"""


class CudaError(RuntimeError):
    """nvcc refuses the kernel, or spills registers; the message says which."""


def _bound(name: str, value: Any) -> str:
    if isinstance(value, mx.Dtype):
        return f"using {name} = {_TYPES[value]};"
    return f"constexpr {'bool' if isinstance(value, bool) else 'int'} {name} = {int(value)};"


def _translation_unit(make: dict[str, Any], inputs: Sequence[mx.array], call: dict[str, Any]) -> str:
    body = cuda_source(make["source"])
    parameters = []
    for name, x in zip(make["input_names"], inputs, strict=True):
        parameters.append(f"const {_TYPES[x.dtype]}* {name}")
        if f"{name}_shape" in body:
            parameters.append(f"const __grid_constant__ Shape {name}_shape")
    outputs = zip(make["output_names"], call["output_dtypes"], strict=True)
    parameters += [f"{_TYPES[dtype]}* {name}" for name, dtype in outputs]
    template = "\n".join(_bound(name, value) for name, value in call["template"])
    return (
        f"{_PREAMBLE}{cuda_header(make['header'])}namespace mlx::core::cu {{\n"
        f"__global__ void {make['name']}({', '.join(parameters)}) {{\n{template}\n{body}}}\n}}\n"
    )


def _compile(unit: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cu"
        file.write_text(unit)
        command = [
            NVCC or "nvcc",
            "-arch=sm_90a",
            "-cubin",
            "-Xptxas=-v",
            "-o",
            f"{folder}/kernel.cubin",
            str(file),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise CudaError(done.stderr[:4000])
    return done.stderr


def compiling_kernel(**make: Any) -> Callable[..., list[mx.array]]:
    """A factory whose kernels are compiled for sm_90a and compute nothing: their outputs are ones.

    Raises CudaError.
    """

    def kernel(*, inputs: Sequence[mx.array], **call: Any) -> list[mx.array]:
        if any(g % t for g, t in zip(call["grid"], call["threadgroup"], strict=True)):
            raise CudaError(f"{make['name']}: grid {call['grid']} is no multiple of {call['threadgroup']}")
        report = _compile(_translation_unit(make, inputs, call))
        spilled = re.search(r"(\d+) bytes spill stores", report)
        if spilled is None or int(spilled[1]):
            raise CudaError(f"{make['name']} spills registers: {report}")
        return [mx.ones(s, d) for s, d in zip(call["output_shapes"], call["output_dtypes"], strict=True)]

    return kernel
