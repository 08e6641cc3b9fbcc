"""What the shim takes Metal to mean, as small kernels with known answers.

On a Mac (FLASH_METAL_BACKEND=device) these test the shim's idea of Metal itself.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray

from offmac import host

ON_HOST = os.environ.get("FLASH_METAL_BACKEND", "host") == "host"
pytestmark = [
    pytest.mark.skipif(ON_HOST and bool(host.MISSING), reason=host.MISSING),
    pytest.mark.skipif(not ON_HOST and not mx.metal.is_available(), reason="Metal's semantics need Metal"),
]

X = mx.arange(32).astype(mx.float32) * 1.5 + 1
x = np.array(X)
LANES = np.arange(32)


def run(
    source: str,
    inputs: Sequence[mx.array],
    shape: tuple[int, ...],
    dtype: mx.Dtype = mx.float32,
    *,
    grid: tuple[int, int, int] = (32, 1, 1),
    threadgroup: tuple[int, int, int] = (32, 1, 1),
    template: Sequence[tuple[str, Any]] = (),
    **make: Any,
) -> NDArray[Any]:
    names = [f"x{i}" for i in range(len(inputs))]
    factory: Any = host.kernel if ON_HOST else mx.fast.metal_kernel
    kernel = factory(name="shim", input_names=names, output_names=["o"], source=source, **make)
    launch = {"grid": grid, "threadgroup": threadgroup, "output_shapes": [shape], "output_dtypes": [dtype]}
    return np.array(kernel(inputs=inputs, template=template, **launch)[0])


OPERATIONS = {
    "simd_sum(v)": np.full(32, x.sum()),
    "simd_max(v)": np.full(32, x.max()),
    "simd_min(v)": np.full(32, x.min()),
    "simd_prefix_inclusive_sum(v)": np.cumsum(x),
    "simd_prefix_exclusive_sum(v)": np.cumsum(x) - x,
    "simd_broadcast(v, 5)": np.full(32, x[5]),
    "simd_broadcast_first(v)": np.full(32, x[0]),
    "simd_shuffle(v, 31 - l)": x[::-1],
    "simd_shuffle_xor(v, 9)": x[LANES ^ 9],
    "simd_shuffle_rotate_down(v, 3)": np.roll(x, -3),
    "simd_shuffle_rotate_up(v, 3)": np.roll(x, 3),
    "simd_shuffle_and_fill_up(v, -v, 2)": np.r_[-x[30:], x[:30]],
    "simd_shuffle_and_fill_down(v, -v, 2)": np.r_[x[2:], -x[:2]],
    "quad_sum(v)": np.repeat(x.reshape(8, 4).sum(1), 4),
    "quad_broadcast(v, 2)": np.repeat(x.reshape(8, 4)[:, 2], 4),
    "float(uint(ulong(simd_ballot(l % 3 == 0))) >> l & 1u)": (LANES % 3 == 0).astype(float),
    "float(simd_sum(ushort(l)))": np.full(32, 496.0),
    "simd_sum(float2(v, 1.0f)).y": np.full(32, 32.0),
    # a multiplication by a power of two undoes the place of a field that was or-ed into 2^23
    "as_type<float>(0x4b000000u | (l << 8)) * (1.0f / 256.0f) - 32768.0f": LANES.astype(float),
    # 2048 + 1 == 2048 in half; 16777216 + 1 == 16777216 in float, which unsuffixed literals are
    "float(half(2048.0f) + half(1.0f))": np.full(32, 2048.0),
    "16777216.0 + 1.0 == 16777216.0 ? 1.0f : 2.0f": np.ones(32),
}


@pytest.mark.parametrize("expression", OPERATIONS)
def test_operation(expression: str) -> None:
    source = f"uint l = thread_index_in_simdgroup; float v = x0[l]; o[l] = {expression};"
    np.testing.assert_allclose(run(source, [X], (32,)), OPERATIONS[expression], rtol=1e-6)


def test_shuffle_past_the_end() -> None:
    """Of lanes whose source exists; past the end Metal promises nothing useful."""
    source = """uint l = thread_index_in_simdgroup;
    o[l] = simd_shuffle_down(x0[l], 3); o[32 + l] = simd_shuffle_up(x0[l], 3);"""
    down, up = run(source, [X], (2, 32))
    np.testing.assert_array_equal(down[:29], x[3:])
    np.testing.assert_array_equal(up[3:], x[:29])


def test_cut_threadgroup() -> None:
    """The grid counts threads; its last threadgroup is cut, and says so."""
    source = """uint i = thread_position_in_grid.x; o[3 * i] = int(threads_per_threadgroup.x);
    o[3 * i + 1] = int(dispatch_threads_per_threadgroup.x); o[3 * i + 2] = int(threads_per_grid.x + x0[0] * 0);"""
    zeros = mx.zeros((8,), mx.int32)
    o = run(source, [zeros], (100, 3), mx.int32, grid=(100, 1, 1), threadgroup=(64, 1, 1))
    assert (o[:64] == [64, 64, 100]).all()
    assert (o[64:] == [36, 64, 100]).all()


def test_positions() -> None:
    source = """uint i = thread_position_in_grid.x + 16 * (thread_position_in_grid.y + 6 * thread_position_in_grid.z);
    uint v[8] = {thread_index_in_threadgroup, simdgroup_index_in_threadgroup, thread_index_in_simdgroup,
                 threadgroup_position_in_grid.y, threadgroups_per_grid.x, simdgroups_per_threadgroup,
                 thread_position_in_threadgroup.z, threads_per_simdgroup};
    for (int j = 0; j < 8; j++) { o[8 * i + j] = int(v[j]) + x0[0]; }"""
    zeros = mx.zeros((8,), mx.int32)
    o = run(source, [zeros], (2, 6, 16, 8), mx.int32, grid=(16, 6, 2), threadgroup=(8, 3, 2))
    z, y, column = np.meshgrid(np.arange(2), np.arange(6), np.arange(16), indexing="ij")
    index = column % 8 + 8 * (y % 3 + 3 * z)
    want = [index, index // 32, index % 32, y // 3, 0 * z + 2, 0 * z + 2, z, 0 * z + 32]
    np.testing.assert_array_equal(o, np.stack(want, -1))


def test_arguments() -> None:
    """Small inputs are constant, shapes come on demand; type, int and bool template arguments."""
    source = """uint i = thread_position_in_grid.x;
    o[i] = T(x0[i] * 2.0f + float(x1[1]) + float(x0_shape[1] * N) + (F ? 1.0f : 0.0f));"""
    inputs = [mx.arange(32).astype(mx.float32).reshape(8, 4), mx.array([5, 7], mx.int32)]
    o = run(source, inputs, (32,), mx.float16, template=[("T", mx.float16), ("N", 3), ("F", True)])
    np.testing.assert_array_equal(o, LANES * 2.0 + 7 + 12 + 1)


def test_simdgroup_matrix() -> None:
    a, b = (mx.random.normal((8, 8), key=mx.random.key(i)) for i in range(2))
    source = """simdgroup_float8x8 A, B, C = make_filled_simdgroup_matrix<float, 8>(0.0f);
    simdgroup_load(A, x0, 8); simdgroup_load(B, x1, 8, ulong2(0, 0), true);
    simdgroup_multiply_accumulate(C, A, B, C); simdgroup_store(C, o, 8);
    if (thread_index_in_simdgroup == 99) { o[0] = 0.0f; }"""
    np.testing.assert_allclose(run(source, [a, b], (8, 8)), np.array(a) @ np.array(b).T, atol=1e-5)


@pytest.mark.skipif(not ON_HOST, reason="the thread sanitizer runs on the host")
@pytest.mark.parametrize(
    ("barrier", "sound"),
    [
        ("", False),
        ("simdgroup_barrier(mem_flags::mem_threadgroup);", True),
        ("simdgroup_barrier(mem_flags::mem_none);", False),
    ],
)
def test_simd_operations_order_no_memory(barrier: str, sound: bool) -> None:
    source = f"""threadgroup float t[32]; uint l = thread_index_in_simdgroup; t[l] = x0[l]; float v = simd_sum(x0[l]);
    {barrier} o[l] = t[31 - l] + v;"""
    if sound:
        run(source, [X], (32,), sanitizer="thread", orders=1)
    else:
        with pytest.raises(host.KernelError, match="data race"):
            run(source, [X], (32,), sanitizer="thread", orders=1)
