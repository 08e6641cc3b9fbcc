"""The kernels by name, each built once from its text by mx.fast.metal_kernel or by a stand-in for it.

A stand-in runs the same text elsewhere: `flash_metal.cuda.kernel` on an NVIDIA GPU, the shim of the tests on a
CPU. MLX hashes header and text at every launch, so comments and indentation are taken out when they are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Protocol, cast

import mlx.core as mx

if TYPE_CHECKING:
    from flash_metal.launches import Matrix

MAX_TOKENS = 8
"""Of a pass of the Metal texts."""
Shape = tuple[int, ...]
Grid = tuple[int, int, int]


class Kernel(Protocol):
    """A kernel as mx.fast.metal_kernel returns it; the grid counts threads and is a multiple of threadgroup."""

    def __call__(
        self,
        *,
        inputs: Sequence[mx.array],
        template: Sequence[tuple[str, Any]],
        grid: Grid,
        threadgroup: Grid,
        output_shapes: Sequence[Shape],
        output_dtypes: Sequence[mx.Dtype],
    ) -> list[mx.array]: ...


class Factory(Protocol):
    """mx.fast.metal_kernel, or what stands in for it."""

    def __call__(
        self, *, name: str, input_names: Sequence[str], output_names: Sequence[str], source: str, header: str
    ) -> Kernel: ...


@dataclass(frozen=True, slots=True)
class Signature:
    """The arrays of a kernel, in order, and the helper texts in front of it."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    headers: tuple[str, ...] = ("common", "gemv")


SIGNATURES = {
    "qkv": Signature(
        ("x", "norm", "weight", "scales", "biases", "bias", "head_norm", "frequency", "position", "eps"),
        ("q", "rows"),
    ),
    "attention": Signature(
        ("q", "cache", "fresh", "layer", "position", "scale"), ("y", "stats"), headers=("common",)
    ),
    "project": Signature(("parts", "stats", "weight", "scales", "biases", "residual"), ("y",)),
    "gate_up": Signature(("x", "norm", "weight", "scales", "biases", "eps"), ("y",)),
    "linear": Signature(("x", "weight", "scales", "biases", "norm", "eps", "residual"), ("y",)),
    "embed": Signature(("tokens", "weight", "scales", "biases"), ("y",), headers=("common",)),
    "collect": Signature(("before", *(f"r{i}" for i in range(16))), ("y",), headers=()),
    "quantize": Signature(("x",), ("weight", "scales", "biases")),
}


@cache
def text(file: str) -> str:
    """kernels/`file` without comments and needless blanks, a line for a line of code."""
    return code((files("flash_metal") / "kernels" / file).read_text("ascii"))


def code(raw: str) -> str:
    """The lines of a text that the compiler needs."""
    bare = re.sub(r" *([,;(){}=]) *", r"\1", re.sub(r"//[^\n]*", "", raw))
    return "".join(f"{line.strip()}\n" for line in bare.splitlines() if line.strip())


def header_and_source(name: str) -> tuple[str, str]:
    """The text of the kernel `name` of SIGNATURES as it is handed to MLX."""
    return "".join(text(f"{part}.metal") for part in SIGNATURES[name].headers), text(f"{name}.metal")


Place = Callable[[mx.array, mx.array, mx.array], tuple[mx.array, mx.array]]
"""(cache, rows [layers, 2, HK, M, row], position [1]) -> the cache with the rows there, and the position behind them.

What reads that cache later must take that position, or start when it has been read: on CUDA nothing else tells MLX
that the one comes after the other.
"""


def place_by_update(cache: mx.array, rows: mx.array, position: mx.array) -> tuple[mx.array, mx.array]:
    """Place by MLX's own update: in place if the caller keeps no other reference to the cache."""
    return mx.slice_update(cache, rows, position, axes=[3]), position + rows.shape[3]


class Tile(Protocol):
    """Puts a matrix into the order in which a device's products read it; pairs: of launch 4."""

    def __call__(self, matrix: Matrix, *, pairs: bool = False) -> Matrix: ...


def as_given(matrix: Matrix, *, pairs: bool = False) -> Matrix:
    """MLX's order, row by row."""
    return matrix


class Registry:
    """Builds each kernel once with `factory`.

    `place` puts a pass's rows into the cache; `resident` is its argument, a scalar [1], where kernels read it fast:
    MLX keeps arrays of up to eight bytes in the host's memory on CUDA, and every block would wait for the bus.
    """

    def __init__(
        self,
        factory: Factory,
        place: Place = place_by_update,
        resident: Callable[[mx.array], mx.array] = lambda scalar: scalar,
        *,
        in_order: bool = False,
        on_device: bool = False,
        records: bool = False,
        max_tokens: int = MAX_TOKENS,
        prepare: Callable[[Callable[[Registry], object]], None] = lambda run: None,
        tile: Tile = as_given,
    ) -> None:
        self._factory = factory
        self.place = place
        self.resident = resident
        self.in_order = in_order
        """Whether rows may be placed before their pass has run: else MLX would copy the cache."""
        self.on_device = on_device
        """Whether the launches are MLX operations, which mx.compile can keep."""
        self.records = records
        """Whether passes of these launches can be recorded as CUDA graphs: flash_metal.nvidia.recorded."""
        self.max_tokens = max_tokens
        """Of a pass."""
        self.prepare = prepare
        """Compiles, all at once, the kernels that a function would launch through the registry that it is given."""
        self.tile = tile
        """For the matrices of all launches but `embed`, once."""
        self._built: dict[str, Kernel] = {}

    def __getitem__(self, name: str) -> Kernel:
        """The kernel `name` of SIGNATURES. Raises KeyError if there is none."""
        if name not in self._built:
            signature = SIGNATURES[name]
            header, source = header_and_source(name)
            self._built[name] = self._factory(
                name=f"flash_{name}",
                input_names=signature.inputs,
                output_names=signature.outputs,
                header=header,
                source=source,
            )
        return self._built[name]


def device_registry() -> Registry:
    """The kernels of this machine's GPU. Raises RuntimeError if MLX has none here."""
    if mx.metal.is_available():
        return Registry(cast(Factory, mx.fast.metal_kernel), on_device=True)
    if mx.cuda.is_available():
        from flash_metal.nvidia import kernels
        from flash_metal.nvidia.launch import by_mlx
        from flash_metal.nvidia.prepare import prepare

        return kernels.registry(by_mlx, kernels.resident, on_device=True, records=True, prepare=prepare)
    raise RuntimeError("MLX has no GPU back end here: use the native backend (device=native)")
