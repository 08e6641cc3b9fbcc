"""The kernels' Metal text on an NVIDIA GPU, through mx.fast.cuda_kernel.

CUDA's pointers are generic, so the words for address spaces go; the rest of what the texts use of Metal is defined
in kernels/cuda.h. CUDA rounds the grid up to whole blocks where Metal cuts the last threadgroup: grids must be
multiples of threadgroups.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

import mlx.core as mx

from flash_metal.registry import Kernel, text


def _generic(metal: str) -> str:
    return re.sub(r"\b(device|constant|threadgroup|thread) ", "", metal)


def cuda_header(metal: str) -> str:
    """The helpers of a Metal header as device functions, after the definitions that they need."""
    return text("cuda.h") + re.sub(r"^inline ", "__device__ inline ", _generic(metal), flags=re.MULTILINE)


def cuda_source(metal: str) -> str:
    """The body of a Metal kernel as the body of a CUDA kernel."""
    shared = re.sub(r"^threadgroup (\w+ \w+\[.*\];)$", r"__shared__ \1", metal, flags=re.MULTILINE)
    return _generic(shared)


def kernel(
    *, name: str, input_names: Sequence[str], output_names: Sequence[str], source: str, header: str
) -> Kernel:
    """mx.fast.metal_kernel on CUDA."""
    built = mx.fast.cuda_kernel(
        name=name,
        input_names=input_names,
        output_names=output_names,
        source=cuda_source(source),
        header=cuda_header(header),
    )
    return cast(Kernel, built)
