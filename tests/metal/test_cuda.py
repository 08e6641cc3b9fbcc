"""The same text compiles for an NVIDIA GPU, and keeps its sums in registers there."""

from __future__ import annotations

import mlx.core as mx
import pytest

from flash_metal.launches import Heads
from flash_metal.problem import ERRORS, Problem
from flash_metal.registry import Registry
from offmac.cuda import NVCC, compiling_kernel

pytestmark = pytest.mark.skipif(NVCC is None, reason="needs nvcc, of the CUDA toolkit 12 or later")


@pytest.mark.parametrize("launch", ERRORS)
@pytest.mark.parametrize(
    "problem",
    [
        Problem(Heads(8, 8, 128), hidden=1024, inner=2816),
        Problem(Heads(8, 8, 128), hidden=1024, inner=2816, tokens=8, dtype=mx.bfloat16, bits=8, group=32),
    ],
    ids=["one", "eight"],
)
def test_compiles(launch: str, problem: Problem) -> None:
    ERRORS[launch](problem, Registry(compiling_kernel))
