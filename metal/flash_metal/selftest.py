"""Every kernel on this machine's GPU, on small random layers: right to rounding, and the same for 1 and 8 tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from flash_metal.invariance import INVARIANT
from flash_metal.launches import Heads, Tiling
from flash_metal.problem import ERRORS, TOLERANCE, Problem
from flash_metal.registry import MAX_TOKENS, Registry

_CHECKS = (*ERRORS.values(), *INVARIANT.values())


@dataclass(frozen=True, slots=True)
class Result:
    """How a kernel did."""

    kernel: str
    error: float
    """The largest of all cases, relative to the largest value; infinite if one did not run."""
    tolerance: float
    fault: str
    """What is wrong; empty if nothing."""


def problems(tiling: Tiling, dtype: mx.Dtype, max_tokens: int = MAX_TOKENS) -> list[Problem]:
    """Between them all head sizes, packings and switches, and passes of 1, 3, 8 and, if there are such, 16 tokens."""
    wide = Problem(Heads(4, 2, 64), hidden=256, inner=512, tokens=16, position=45, dtype=dtype, tiling=tiling)
    return [
        Problem(Heads(9, 3, 64), hidden=576, inner=512, dtype=dtype, tiling=tiling),
        Problem(
            Heads(4, 2, 96), hidden=384, inner=512, group=32, tokens=3, bias=True, dtype=dtype, tiling=tiling
        ),
        Problem(
            Heads(4, 4, 128),
            hidden=256,
            inner=512,
            bits=8,
            tokens=8,
            head_norm=True,
            dtype=dtype,
            tiling=tiling,
        ),
        *([wide] if wide.tokens <= max_tokens else []),
    ]


def run(kernels: Registry, tiling: Tiling, dtype: mx.Dtype) -> Iterator[Result]:
    """The result of each kernel with activations of type `dtype`; one that does not compile is a result too."""
    cases = problems(tiling, dtype, kernels.max_tokens)
    with suppress(RuntimeError, ValueError), np.errstate(all="ignore"):  # told below, of the kernel at fault
        kernels.prepare(lambda dry: [check(case, dry) for case in cases for check in _CHECKS])
    for kernel, error_of in ERRORS.items():
        error = math.inf
        fault = ""
        try:
            error = max(error_of(case, kernels) for case in cases)
            if not error < TOLERANCE[dtype]:
                fault = "results are wrong"
            elif kernel in INVARIANT and not all(INVARIANT[kernel](case, kernels) for case in cases[1:]):
                fault = "a token's result depends on the pass it is in"
        except (RuntimeError, ValueError) as problem:
            fault = str(problem)
        yield Result(kernel, error, TOLERANCE[dtype], fault)
