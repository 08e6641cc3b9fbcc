"""What MLX would hand to Apple's compiler for a kernel, asked of MLX itself on any machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx


@dataclass(frozen=True, slots=True)
class Captured:
    """A Metal function as MLX generates it for one combination of types and template arguments."""

    name: str
    text: str
    """Header, signature, body and explicit instantiation, without MLX's preamble."""


def capture(make: dict[str, Any], inputs: Sequence[mx.array], call: dict[str, Any]) -> Captured:
    """The source of mx.fast.metal_kernel(**make)(inputs=inputs, **call); nothing is computed.

    Exporting a function records its primitives with or without a Metal back end. The positions of the fields in
    the export event are not documented by MLX; the golden files notice a change.
    """
    kernel: Any = mx.fast.metal_kernel(**make)
    found: list[list[Any]] = []

    def on_event(event: dict[str, Any]) -> None:
        if event.get("type") == "primitive" and event.get("name") == "CustomKernel":
            found.append(event["arguments"])

    mx.export_function(
        on_event,
        lambda *arrays: kernel(inputs=list(arrays), stream=mx.gpu, **call),
        *[mx.zeros(x.shape, x.dtype) for x in inputs],
    )
    return Captured(found[0][0], found[0][1])


class Recorder:
    """A factory whose kernels compute nothing: their outputs are ones, their sources are in `captured`."""

    def __init__(self) -> None:
        self.captured: list[Captured] = []

    def __call__(self, **make: Any) -> Callable[..., list[mx.array]]:
        def kernel(*, inputs: Sequence[mx.array], **call: Any) -> list[mx.array]:
            self.captured.append(capture(make, inputs, call))
            return [mx.ones(s, d) for s, d in zip(call["output_shapes"], call["output_dtypes"], strict=True)]

        return kernel
