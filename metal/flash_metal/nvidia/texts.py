"""CUDA texts, put together: helper texts, constants, and a body with its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import mlx.core as mx

from flash_metal.nvidia.module import Module
from flash_metal.registry import code

TYPES = {
    mx.float16: "half",
    mx.bfloat16: "bfloat",
    mx.float32: "float",
    mx.int32: "int",
    mx.uint32: "uint",
}
_BASE = ("ptx.cuh", "types.cuh")
_MATRIX = (*_BASE, "matrix.cuh")
_PRODUCT = (*_MATRIX, "product.cuh", "stage.cuh")
_HEADERS = {
    "attention": _MATRIX,
    "rotate": (*_MATRIX, "heads.cuh"),
    "qkv": (*_PRODUCT, "tiles.cuh", "heads.cuh"),
    "project": (*_PRODUCT, "tiles.cuh"),
    "gate_up": (*_PRODUCT, "tiles.cuh"),
    "linear": (*_PRODUCT, "tiles.cuh"),
    "stage": _PRODUCT,
    "join": _PRODUCT,
    "wide": (*_PRODUCT, "wide.cuh"),
    "wide_gate_up": (*_PRODUCT, "wide.cuh"),
}
"""Of each body in cu/, the helper texts in front of it; of others, _BASE."""


@cache
def text(file: str) -> str:
    """cu/`file` without comments and indentation."""
    return code((files("flash_metal.nvidia") / "cu" / file).read_text("ascii"))


@cache
def module(
    name: str,
    parameters: tuple[str, ...],
    constants: tuple[tuple[str, Any], ...],
    threads: int,
    resident: int = 1,
    body: tuple[str, str] | None = None,
) -> Module:
    """The kernel flash_`name` of cu/`name`.cu, or of `body`: more helpers, and the text.

    threads: of a block; resident: blocks that should fit a multiprocessor at a time. The constant SHARES, where there
    is one: blocks of a cluster.
    """
    more, source = body or ("", text(f"{name}.cu"))
    bounds = f"__launch_bounds__({threads},{resident})"
    if (blocks := dict(constants).get("SHARES", 1)) > 1:
        bounds += f" __cluster_dims__({blocks},1,1)"
    return Module(
        f"flash_{name}",
        "".join(map(text, _HEADERS.get(name, _BASE)))
        + more
        + f'extern "C" __global__ void {bounds} flash_{name}({",".join(parameters)}){{\n'
        + "".join(map(_constant, constants))
        + source
        + "}\n",
    )


def parameters(
    inputs: Mapping[str, mx.Dtype], outputs: Mapping[str, mx.Dtype], scalars: Sequence[str]
) -> tuple[str, ...]:
    """Of a kernel."""
    return (
        *(f"const {TYPES[dtype]}* {name}" for name, dtype in inputs.items()),
        *(f"{TYPES[dtype]}* {name}" for name, dtype in outputs.items()),
        *(f"int {name}" for name in scalars),
    )


def _constant(item: tuple[str, Any]) -> str:
    name, value = item
    if isinstance(value, bool):
        return f"constexpr bool {name}={str(value).lower()};\n"
    return f"constexpr int {name}={value};\n" if isinstance(value, int) else f"using {name}={TYPES[value]};\n"
