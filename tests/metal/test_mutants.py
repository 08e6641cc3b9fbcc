"""The kernels are clean under the sanitizers; faults put into them on purpose are each reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import pytest

from flash_metal.launches import Heads, Tiling
from flash_metal.problem import ERRORS, TOLERANCE, Problem
from flash_metal.registry import Registry
from offmac import host

pytestmark = pytest.mark.skipif(bool(host.MISSING), reason=host.MISSING)

PROBLEM = Problem(
    Heads(2, 1, 64),
    hidden=64,
    inner=64,
    tokens=2,
    position=140,
    dtype=mx.float32,
    tiling=Tiling(rows=2, splits=2, attention_simdgroups=2, simdgroups=2, split=2),
)
BARRIER = "threadgroup_barrier(mem_flags::mem_threadgroup);"
SIMD_BARRIER = "simdgroup_barrier(mem_flags::mem_threadgroup);"


def error(launch: str, *, sanitizer: str = "", edit: Callable[[str], str] = str, orders: int = 1) -> float:
    def factory(*, source: str, **make: Any) -> Any:
        return host.kernel(**make, source=edit(source), sanitizer=sanitizer, orders=orders)

    return ERRORS[launch](PROBLEM, Registry(factory))


@pytest.mark.parametrize("sanitizer", ["address", "thread"])
@pytest.mark.parametrize("launch", ERRORS)
def test_clean(launch: str, sanitizer: str) -> None:
    assert error(launch, sanitizer=sanitizer) < TOLERANCE[mx.float32]


@dataclass(frozen=True)
class Mutant:
    """`launch` with the last occurrence of `old` replaced by `new` is reported with `match`."""

    launch: str
    old: str
    new: str
    match: str = ""
    sanitizer: str = ""
    orders: int = 1

    def edit(self, source: str) -> str:
        before, found, after = source.rpartition(self.old)
        assert found, f"{self.launch}.metal has no {self.old!r}"
        return before + self.new + after


RACE = "data race"
OVERRUN = "heap-buffer-overflow|stack-buffer-overflow|runtime error: index"
LOST = "order of lanes, or is not written whole"
STUCK = "divergence|returned|deadlock"
MUTANTS = {
    "no barrier before the sum": Mutant("down", BARRIER, "", LOST, orders=3),
    "no barrier, seen as a race": Mutant("down", BARRIER, "", RACE, "thread"),
    "barrier that orders nothing": Mutant(
        "qkv", BARRIER, BARRIER.replace("mem_threadgroup", "mem_none"), RACE, "thread"
    ),
    "no barrier before the next stage": Mutant("attention", SIMD_BARRIER, "", RACE, "thread"),
    "SIMD-group barrier that orders nothing": Mutant(
        "attention", SIMD_BARRIER, SIMD_BARRIER.replace("mem_threadgroup", "mem_none"), RACE, "thread"
    ),
    "cache read past its end": Mutant(
        "attention", "at < start * ROW ?", "at < start * ROW + BLOCK ?", OVERRUN, "address"
    ),
    "new rows read past their end": Mutant(
        "attention", "past < M * ROW ?", "past < 9 * M * ROW ?", OVERRUN, "address"
    ),
    "weights read past their end": Mutant(
        "gate_up", "row + N,c,v,up)", "row + 2 * N,c,v,up)", OVERRUN, "address"
    ),
    "output written past its end": Mutant("head", "y[m * N + n]", "y[m * N + n + 1]", OVERRUN, "address"),
    "threadgroup array overrun": Mutant(
        "qkv", "heads[m * D + first + r]=", "heads[m * D + first + r + D]=", OVERRUN, "address"
    ),
    "thread array overrun": Mutant("project", "v[m * 8 + i]=", "v[m * 8 + i + 8]=", OVERRUN, "address"),
    "misaligned load": Mutant(
        "down", "load8(x + m * K + c * 8,", "load8(x + m * K + c * 8 + (c < 7),", "misaligned", "address"
    ),
    "output not written": Mutant("qkv", "q[(m * H + head)* D + i + HALF]=b[j];", "", LOST, orders=2),
    "scale not written": Mutant("qkv", "row[D / 4]=as_type<uint>(top / 127.0f);", "", LOST, orders=2),
    "lanes write different values": Mutant(
        "gate_up",
        "if(lane==0){\ny[m * N + row + r]=T(",
        "{\ny[m * N + row + r]=T(float(lane)+ ",
        LOST,
        orders=2,
    ),
    "SIMD-group sum in a branch": Mutant(
        "qkv", "top=simd_max(top);", "if(lane < 16){top=simd_max(top);}", STUCK
    ),
    "barrier in a branch": Mutant("project", BARRIER, f"if(lane !=3){{{BARRIER}}}", STUCK),
    "return before a barrier": Mutant("down", BARRIER, f"if(sg==1){{return;}}{BARRIER}", STUCK),
    "barrier in a loop of unequal trips": Mutant("attention", SIMD_BARRIER, BARRIER, STUCK),
    "shuffle from a lane that is not there": Mutant(
        "quantize",
        "simd_shuffle_xor(high,ushort(other))",
        "simd_shuffle(high,ushort(32 + other))",
        "does not take part",
    ),
    "too much threadgroup memory": Mutant(
        "project", "shares[NS * M * H];", "shares[NS * M * H * 4096];", "32768"
    ),
    "max(int, uint)": Mutant("qkv", "float top=0.0f;", "float top=0.0f * float(max(D,lane));", "ambiguous"),
    "sum of bool": Mutant(
        "qkv", "float top=0.0f;", "float top=0.0f * float(simd_sum(lane==0));", "no matching function"
    ),
    "write to an input": Mutant("down", "sum +=", "x[0]=0.0f;sum +=", "read-only"),
    "std::": Mutant("down", "float all=0.0f;", "float all=std::abs(0.0f);", "std"),
}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
def test_mutant(mutant: Mutant) -> None:
    with pytest.raises(host.KernelError, match=mutant.match):
        error(mutant.launch, sanitizer=mutant.sanitizer, edit=mutant.edit, orders=mutant.orders)


WRONG = {
    "key of the future seen": Mutant("attention", "base + lane <=start +", "base + lane <=start + 1 +"),
    "sum not faded": Mutant("attention", "sums[n * DIMS + i] *=fade;", ""),
    "wrong head's share": Mutant("project", "c * 8 / D]", "c * 8 % D / 32]"),
    "gate's rows for up": Mutant("gate_up", "row + N,c,v,up)", "row,c,v,up)"),
    "rotation the other way": Mutant("qkv", "fma(b[j],c,a[j] * s)", "fma(b[j],c,-a[j] * s)"),
    "norm of the wrong row": Mutant("head", "all +=square[from * M + m];", "all +=square[from * M];"),
    "residual of the wrong row": Mutant("down", "float(residual[m * N + n])", "float(residual[n])"),
}


@pytest.mark.parametrize("mutant", WRONG.values(), ids=WRONG.keys())
def test_wrong_result(mutant: Mutant) -> None:
    """Sound but wrong: the comparison with float64 fails."""
    assert error(mutant.launch, edit=mutant.edit) > TOLERANCE[mx.float32]
