"""The launches' kernels in CUDA: which text, with which constants, on which grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import mlx.core as mx

from flash_metal import cuda
from flash_metal.nvidia.module import Module, multiprocessors, shared_bytes
from flash_metal.registry import Grid, Kernel, Shape, code

_TYPES = {
    mx.float16: "half",
    mx.bfloat16: "bfloat",
    mx.float32: "float",
    mx.int32: "int",
    mx.uint32: "uint",
}
_SIXTEEN = (mx.float16, mx.bfloat16)
_MAX_TOKENS = 8
_STATIC_BYTES = 28 * 1024
"""Most shared memory that a text declares besides what it is launched with."""
_SHARED_UNASKED = 48128
"""MLX asks CUDA for more than the 48 KB that any kernel has from 48,000 dynamic bytes on, and for those alone."""
Template = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """One compiled variant and its launch; of a launch that stays as it is, the caller's grid counts."""

    module: Module
    grid: Grid
    """In threads."""
    threadgroup: Grid
    shared: int


@dataclass(frozen=True, slots=True)
class _Layout:
    """What a launch needs besides its text: blocks of warps, and bytes of dynamic shared memory."""

    warps: int
    blocks: tuple[int, int, int]
    shared: int
    resident: int = 1
    """Blocks that should fit a multiprocessor at a time."""
    groups: int = 2
    """Groups of K that a warp has in flight for a row."""


def _product(t: Template, tiles: int, tokens: int, k: int) -> _Layout:
    """Two small blocks a multiprocessor where each has many tiles, else one large one."""
    many = tiles >= 8 * multiprocessors()
    warps, resident = (8, 2) if many else (16, 1)
    groups = k // t["GROUP"]
    in_flight = 4 if groups % 4 == 0 and groups >= 8 * warps else 2
    blocks = min(tiles, multiprocessors() * resident)
    return _Layout(warps, (blocks, 1, 1), _staged(t, tokens, k), resident, in_flight)


def _staged(t: Template, tokens: int, k: int) -> int:
    """Bytes of the tokens' activations and of their sums a group."""
    groups: int = k // t["GROUP"]
    return k * tokens * 2 + groups * max(2, tokens) * 4


def _gate_up(t: Template, tokens: int) -> _Layout:
    return _product(t, t["N"] // 8, tokens, t["K"])


def _linear(t: Template, tokens: int) -> _Layout:
    return _product(t, t["N"] // 16, tokens, t["K"])


def _project(t: Template, tokens: int) -> _Layout:
    return _product(t, t["N"] // 16, tokens, t["H"] * t["D"])


def _qkv(t: Template, tokens: int) -> _Layout:
    tiles = t["D"] // 16
    warps = tiles * (16 // tiles)
    return _Layout(warps, (t["H"] + 2 * t["HK"], 1, 1), _staged(t, tokens, t["K"]))


def _attention(t: Template, tokens: int) -> _Layout:
    warps = 8
    queries = t["M"] * t["H"] // t["HK"]
    return _Layout(warps, (t["HK"], t["NS"], -(-queries // 8)), warps * 2 * 32 * (t["D"] // 4 + 1) * 4)


_LAYOUTS: dict[str, Callable[[Template, int], _Layout]] = {
    "qkv": _qkv,
    "attention": _attention,
    "project": _project,
    "gate_up": _gate_up,
    "linear": _linear,
}
_DROPPED = {"R", "SG", "SPLIT", "Q", "M"}
"""Constants of the Metal texts that the CUDA ones replace by WARPS and their own M."""
_PLAIN = ("embed", "collect", "quantize")
"""Launches that stay as the Metal texts have them."""


@cache
def text(file: str) -> str:
    """cu/`file` without comments and indentation."""
    return code((files("flash_metal.nvidia") / "cu" / file).read_text("ascii"))


def _fits(name: str, t: Template) -> bool:
    """Whether matrix units can do it; must not depend on the number of tokens, whose results are to be the same."""
    if name == "attention":
        return t["T"] in _SIXTEEN
    fits: bool = t["T"] in _SIXTEEN and t["S"] == t["T"] and t.get("N", 16) % 16 == 0
    return fits and _LAYOUTS[name](t, _MAX_TOKENS).shared + _STATIC_BYTES <= shared_bytes()


def _parameters(names: Sequence[str], dtypes: Sequence[mx.Dtype], const: str) -> list[str]:
    return [f"{const}{_TYPES[dtype]}* {name}" for name, dtype in zip(names, dtypes, strict=True)]


def launch(
    module: Module,
    *,
    inputs: Sequence[mx.array],
    output_shapes: Sequence[Shape],
    output_dtypes: Sequence[mx.Dtype],
    scalars: Sequence[int],
    grid: Grid,
    threadgroup: Grid,
    shared_memory: int = 0,
    contiguous: bool = False,
) -> list[mx.array]:
    """A kernel as an operation of MLX; the grid counts threads. contiguous: other inputs are copied."""
    made: list[mx.array] = mx.fast.precompiled_cuda_kernel(
        name=module.name,
        compiled_source=module.code,
        inputs=inputs,
        output_shapes=output_shapes,
        output_dtypes=output_dtypes,
        scalars=scalars,
        grid=grid,
        threadgroup=threadgroup,
        shared_memory=shared_memory,
        ensure_row_contiguous=contiguous,
        stream=mx.gpu,
    )
    return made


Launch = Callable[..., list[mx.array]]
"""`launch`, or what takes launches down in its place."""


class TensorKernel:
    """A launch's kernel on matrix units; other types and shapes go to the Metal text."""

    def __init__(
        self,
        *,
        name: str,
        input_names: Sequence[str],
        output_names: Sequence[str],
        source: str,
        header: str,
        launch: Launch = launch,
    ) -> None:
        self._launch = launch
        self._name = name.removeprefix("flash_")
        self._inputs, self._outputs = input_names, output_names
        self._source, self._header = source, header
        self._metal = cuda.kernel(
            name=name, input_names=input_names, output_names=output_names, source=source, header=header
        )
        self._plans: dict[tuple[Any, ...], Plan | None] = {}

    def __call__(
        self,
        *,
        inputs: Sequence[mx.array],
        template: Sequence[tuple[str, Any]],
        grid: Grid,
        threadgroup: Grid,
        output_shapes: Sequence[Shape],
        output_dtypes: Sequence[mx.Dtype],
    ) -> list[mx.array]:
        key = tuple(value for _, value in template)
        if key not in self._plans:
            self._plans[key] = self._plan(dict(template), inputs, output_dtypes, grid, threadgroup)
        plan = self._plans[key]
        if plan is None and self._launch is not launch:
            raise RuntimeError(
                f"flash_{self._name} is not for matrix units in this shape: it cannot be taken down"
            )
        if plan is None:
            return self._metal(
                inputs=inputs,
                template=template,
                grid=grid,
                threadgroup=threadgroup,
                output_shapes=output_shapes,
                output_dtypes=output_dtypes,
            )
        scalars = [] if self._name in _PLAIN else [dict(template)["M"]]
        if self._name == "attention":
            scalars.append(inputs[1].shape[3])
        return self._launch(
            plan.module,
            inputs=inputs,
            output_shapes=output_shapes,
            output_dtypes=output_dtypes,
            scalars=scalars,
            grid=grid if self._name in _PLAIN else plan.grid,
            threadgroup=plan.threadgroup,
            shared_memory=plan.shared,
            contiguous=True,
        )

    def _plan(
        self,
        t: Template,
        inputs: Sequence[mx.array],
        output_dtypes: Sequence[mx.Dtype],
        grid: Grid,
        threadgroup: Grid,
    ) -> Plan | None:
        parameters = [
            *_parameters(self._inputs, [x.dtype for x in inputs], "const "),
            *_parameters(self._outputs, output_dtypes, ""),
        ]
        function = f"flash_{self._name}"
        if self._name in _PLAIN:
            threads = threadgroup[0] * threadgroup[1]
            unit = _unit(
                function,
                ("types.cuh",),
                cuda.cuda_header(self._header),
                parameters,
                t,
                cuda.cuda_source(self._source),
                f"{threads}",
            )
            return Plan(Module(function, unit), grid, threadgroup, 0)
        if not _fits(self._name, t):
            return None
        tokens = 1 << (t["M"] - 1).bit_length()
        layout = _LAYOUTS[self._name](t, tokens)
        constants = {name: value for name, value in t.items() if name not in _DROPPED}
        constants["WARPS"] = layout.warps
        parameters.append("int tokens")
        if self._name == "attention":
            headers: tuple[str, ...] = ("types.cuh", "matrix.cuh")
            parameters.append("int capacity")
        else:
            headers = ("types.cuh", "matrix.cuh", "product.cuh")
            constants |= {"M": tokens, "U": layout.groups}
        unit = _unit(
            function,
            headers,
            "",
            parameters,
            constants,
            text(f"{self._name}.cu"),
            f"{layout.warps * 32},{layout.resident}",
        )
        x, y, z = layout.blocks
        shared = layout.shared
        if shared + _STATIC_BYTES > _SHARED_UNASKED:
            shared = max(shared, _SHARED_UNASKED)
        return Plan(Module(function, unit), (32 * x, layout.warps * y, z), (32, layout.warps, 1), shared)


def _unit(
    function: str,
    headers: Sequence[str],
    more: str,
    parameters: Sequence[str],
    constants: Template,
    body: str,
    bounds: str,
) -> str:
    return (
        "".join(map(text, headers))
        + more
        + f'extern "C" __global__ void __launch_bounds__({bounds}) {function}({",".join(parameters)}){{\n'
        + "".join(map(_constant, constants.items()))
        + body
        + "}\n"
    )


def _constant(item: tuple[str, Any]) -> str:
    name, value = item
    if isinstance(value, bool):
        return f"constexpr bool {name}={str(value).lower()};\n"
    return (
        f"constexpr int {name}={value};\n" if isinstance(value, int) else f"using {name}={_TYPES[value]};\n"
    )


def kernel(
    *,
    name: str,
    input_names: Sequence[str],
    output_names: Sequence[str],
    source: str,
    header: str,
    launch: Launch = launch,
) -> Kernel:
    """mx.fast.metal_kernel on an NVIDIA GPU of compute capability 8 or later."""
    return TensorKernel(
        name=name,
        input_names=input_names,
        output_names=output_names,
        source=source,
        header=header,
        launch=launch,
    )


def place(
    cache: mx.array, rows: mx.array, position: mx.array, *, launch: Launch = launch
) -> tuple[mx.array, mx.array]:
    """A pass's rows written into `cache` itself; see flash_metal.registry.Place.

    MLX does not know that the cache is written: only what takes the new position comes after it.
    """
    layers, planes, heads, tokens, row = rows.shape
    (following,) = launch(
        plain_module("place"),
        inputs=[cache, rows, position],
        output_shapes=[(4,)],
        output_dtypes=[mx.int32],
        scalars=[tokens, cache.shape[3], row],
        grid=(-(-tokens * row // 32) * 32, layers * planes * heads, 1),
        threadgroup=(32, 1, 1),
    )
    return cache, following


def resident(scalar: mx.array) -> mx.array:
    """[1] -> [4], which MLX keeps in the GPU's memory."""
    return _four("resident", scalar, scalar.dtype)


def address(x: mx.array) -> mx.array:
    """Where `x` lies in the GPU's memory: the low and the high half, then two of no meaning, uint32 [4]."""
    return _four("address", x, mx.uint32)


def _four(name: str, x: mx.array, dtype: mx.Dtype) -> mx.array:
    (y,) = launch(
        plain_module(name),
        inputs=[x],
        output_shapes=[(4,)],
        output_dtypes=[dtype],
        scalars=[],
        grid=(32, 1, 1),
        threadgroup=(32, 1, 1),
    )
    return y


_PARAMETERS = {
    "place": (
        "const uint* cache",
        "const uint* rows",
        "const int* position",
        "int* next",
        "int tokens",
        "int capacity",
        "int row",
    ),
    "resident": ("const uint* x", "uint* y"),
    "address": ("const uint* x", "uint* y"),
    "begin": ("const int* given", "int* ids", "int* position"),
    "choose": (
        "const float* logits",
        "const int* next",
        "int* ids",
        "int* position",
        "int* chosen",
        "int tokens",
        "int width",
        "int vocabulary",
    ),
}
_THREADS = {"choose": 1024}


@cache
def plain_module(name: str) -> Module:
    """The kernel cu/`name`.cu, which is the same for all shapes."""
    function = f"flash_{name}"
    bounds = str(_THREADS.get(name, 32))
    return Module(
        function, _unit(function, ("types.cuh",), "", _PARAMETERS[name], {}, text(f"{name}.cu"), bounds)
    )
