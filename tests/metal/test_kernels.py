"""The launches against float64.

FLASH_METAL_BACKEND=host (default) runs the Metal texts on the CPU; =device, this machine's launches on its GPU (Metal,
or the CUDA texts); =text, the Metal texts on an NVIDIA GPU.
"""

from __future__ import annotations

import os

import mlx.core as mx
import pytest

from flash_metal import cuda
from flash_metal.launches import Heads, Tiling
from flash_metal.problem import ERRORS, TOLERANCE, Problem
from flash_metal.registry import SIGNATURES, Registry, device_registry, header_and_source
from offmac import host

BACKEND = os.environ.get("FLASH_METAL_BACKEND", "host")
ON_HOST = BACKEND == "host"
pytestmark = pytest.mark.skipif(ON_HOST and bool(host.MISSING), reason=host.MISSING)

SMALL = Tiling(splits=2, attention_simdgroups=2, simdgroups=4, split=2)


@pytest.fixture(scope="module")
def kernels() -> Registry:
    if BACKEND == "text":
        return Registry(cuda.kernel)
    return Registry(host.kernel) if ON_HOST else device_registry()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("tokens", [1, 3, 8])
@pytest.mark.parametrize("launch", ERRORS)
def test_types_and_tokens(kernels: Registry, launch: str, tokens: int, dtype: mx.Dtype) -> None:
    problem = Problem(tokens=tokens, dtype=dtype, tiling=SMALL)
    assert ERRORS[launch](problem, kernels) < TOLERANCE[dtype]


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("group", [32, 64])
@pytest.mark.parametrize("launch", [name for name in ERRORS if name not in ("attention", "collect")])
def test_packing(kernels: Registry, launch: str, group: int, bits: int) -> None:
    problem = Problem(tokens=2, bits=bits, group=group, tiling=SMALL, seed=1)
    assert ERRORS[launch](problem, kernels) < TOLERANCE[mx.float16]


@pytest.mark.parametrize("head_norm", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("heads", [Heads(4, 1, 64), Heads(2, 2, 96), Heads(3, 1, 128)], ids=str)
def test_heads(kernels: Registry, heads: Heads, bias: bool, head_norm: bool) -> None:
    problem = Problem(heads, tokens=2, position=3000, bias=bias, head_norm=head_norm, tiling=SMALL)
    assert problem.qkv_error(kernels) < TOLERANCE[mx.float16]


@pytest.mark.parametrize(
    ("heads", "tokens", "position"),
    [
        (Heads(2, 2, 64), 1, 0),  # the first token of all
        (Heads(2, 2, 64), 8, 0),
        (Heads(7, 1, 64), 8, 28),  # the pass crosses the edge of a block; 56 queries in tiles of 8
        (Heads(11, 1, 64), 1, 31),  # 11 queries: tiles of one
        (Heads(2, 1, 96), 3, 32),
        (Heads(4, 2, 128), 2, 200),  # more blocks than SIMD-groups: each sees several
    ],
    ids=str,
)
def test_attention(kernels: Registry, heads: Heads, tokens: int, position: int) -> None:
    problem = Problem(heads, tokens=tokens, position=position, dtype=mx.float32, tiling=SMALL)
    assert problem.attention_error(kernels) < TOLERANCE[mx.float32]


@pytest.mark.parametrize("launch", ERRORS)
def test_default_tiling(kernels: Registry, launch: str) -> None:
    """Shapes of flash-coder: hidden 576 is no multiple of what 32 lanes take in a step."""
    problem = Problem(Heads(9, 3, 64), hidden=576, inner=1536, position=40)
    assert ERRORS[launch](problem, kernels) < TOLERANCE[mx.float16]


@pytest.mark.parametrize("name", SIGNATURES)
def test_text_is_short(name: str) -> None:
    """MLX hashes header and text at every launch: 0.4 us a KiB."""
    assert len("".join(header_and_source(name))) <= 4096


def test_too_many_tokens(kernels: Registry) -> None:
    most = kernels.max_tokens
    with pytest.raises(ValueError, match=f"{most + 1} tokens in a pass: 1 to {most}"):
        Problem(tokens=most + 1, tiling=SMALL).gate_up_error(kernels)


def test_rows_that_do_not_fit(kernels: Registry) -> None:
    with pytest.raises(ValueError, match="gate and up: 250 rows are no multiple of the 16"):
        Problem(inner=250, tiling=SMALL).run_gate_up(kernels, Problem().x())


def test_head_size() -> None:
    with pytest.raises(ValueError, match="size must be 64, 96 or 128"):
        Heads(4, 2, 80)


def test_matrix_that_does_not_fit() -> None:
    matrix = Problem().matrix(8, 64)
    with pytest.raises(ValueError, match="does not fit scales"):
        type(matrix)(matrix.weight, matrix.scales[:4], matrix.biases, 4, 64)
