"""The launches' kernels in CUDA: which text, with which constants, on which grid.

Passes of up to eight tokens run one text a launch, which stages the tokens in shared memory. Wider ones, and matrices
whose K is too long for that, stage them in memory first. A token gets the same bits from both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import mlx.core as mx

from flash_metal import cuda
from flash_metal.nvidia import texts
from flash_metal.nvidia.launch import Launch, Run, by_mlx
from flash_metal.nvidia.module import Module, multiprocessors, shared_bytes
from flash_metal.nvidia.tile import TYPES, tile
from flash_metal.registry import Grid, Kernel, Registry, Shape

MAX_TOKENS = 64
"""Of a pass."""
_NARROW = 8
_RESERVED = 1024
"""Shared memory that CUDA takes of a multiprocessor's for each block."""
_STATIC_BYTES = 14 * 1024
"""Most shared memory that a text declares besides what it is launched with."""
_SHARED_UNASKED = 48128
"""MLX asks CUDA for more than the 48 KB that any kernel has from 48,000 dynamic bytes on, and for those alone."""
_WIDE_WARPS, _WIDE_TILES = 8, 2
"""Warps of a block of the wide products, and tiles of 16 rows that each takes."""
_WARPS = 16
"""Of a block of the narrow products, which share the K of a tile of 16 rows; the wide ones cut K as they do."""
_ATTENTION_WARPS = 8
"""Of a block, whose keys they take in turn, 32 at a time."""
_CLUSTER = 8
"""Blocks of a cluster, at most."""
CHOOSERS = _CLUSTER
"""Blocks that look for the most likely token."""
_DROPPED = {"R", "SG", "SPLIT", "Q", "M", "TILED"}
"""Constants of the Metal texts that the CUDA ones replace."""
_PLAIN = ("embed", "quantize")
"""Launches that stay as the Metal texts have them."""
Template = Mapping[str, Any]
Arrays = dict[str, mx.array]
Made = dict[str, tuple[Shape, mx.Dtype]]


def _in_flight(t: Template) -> int:
    """Groups of K that a warp has in flight for a row, none beyond its end where two or four divide them. What decides
    the order of sums must not depend on the number of tokens, and doesn't."""
    groups = _k(t) // t["GROUP"]
    return 4 if groups >= 4 * _WARPS and groups % 4 == 0 else 2


def _alone() -> int:
    """Dynamic bytes with which a block has a multiprocessor to itself: the next launch's block takes the place of one
    of this launch, on every multiprocessor. Two beside each other would take twice as long, and the launch with them.
    """
    return (shared_bytes() + _RESERVED) // 2


def _k(t: Template) -> int:
    k: int = t["K"] if "K" in t else t["H"] * t["D"]
    return k


def _tiles(name: str, t: Template) -> int:
    n: int = (t["H"] + 2 * t["HK"]) * t["D"] if name == "qkv" else t["N"]
    return n // (8 if name == "gate_up" else 16)


def _staged(t: Template, tokens: int) -> int:
    """Bytes of the tokens' activations, of their sums a group, and of the sums of eight, four or one tiles, which a
    block adds up while it makes the next: see Product in cu/product.cuh."""
    groups: int = _k(t) // t["GROUP"]
    columns = max(tokens // 2, 1)
    together = 8 if tokens <= 2 else 4 if tokens <= 4 else 1
    return (
        -(-(_k(t) * tokens * 2 + groups * max(2, tokens) * 4) // 16) * 16
        + 2 * together * _WARPS * columns * 128
    )


def _takes(name: str, t: Template) -> bool:
    """Whether a CUDA text can do it; must not depend on the number of tokens, whose results are to be the same."""
    if name == "attention":
        return t["T"] in TYPES
    return name in (*_PLAIN, "collect") or "TILED" in t


class TensorKernel:
    """A launch's kernel on matrix units; other types go to the Metal text."""

    def __init__(
        self,
        *,
        name: str,
        input_names: Sequence[str],
        output_names: Sequence[str],
        source: str,
        header: str,
        run: Run,
    ) -> None:
        self._run_launch = run
        self._name = name.removeprefix("flash_")
        self._inputs, self._outputs = input_names, output_names
        self._plain = cuda.cuda_header(header), f"earlier();\n{cuda.cuda_source(source)}"
        self._metal = cuda.kernel(
            name=name, input_names=input_names, output_names=output_names, source=source, header=header
        )

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
        t = dict(template)
        if "TILED" in t and t["S"] != t["T"]:
            raise ValueError(f"flash_{self._name}: tiled matrices of {t['S']} and activations of {t['T']}")
        if not _takes(self._name, t):
            if self._run_launch is not by_mlx:
                raise RuntimeError(
                    f"flash_{self._name} is not for matrix units in this shape: it cannot be taken down"
                )
            return self._metal(
                inputs=inputs,
                template=template,
                grid=grid,
                threadgroup=threadgroup,
                output_shapes=output_shapes,
                output_dtypes=output_dtypes,
            )
        given = dict(zip(self._inputs, inputs, strict=True))
        if "TILED" in t:
            del given["biases"]
        made = dict(
            zip(self._outputs, zip(output_shapes, output_dtypes, strict=True), strict=True),
        )
        if self._name in _PLAIN:
            blocks = cast(Grid, tuple(whole // part for whole, part in zip(grid, threadgroup, strict=True)))
            return self._run(self._name, t, given, made, {}, blocks, threadgroup, body=self._plain)
        if self._name == "collect":
            blocks = -(-t["SIZE"] // 256), grid[1], 1
            return self._run("collect", t, given, made, {}, blocks, (256, 1, 1))
        if self._name == "attention":
            return self._attention(t, given, made)
        if t["M"] <= _NARROW and _staged(t, _NARROW) + _STATIC_BYTES <= shared_bytes():
            return self._narrow(t, given, made)
        wide: Callable[[Template, Arrays, Made], list[mx.array]] = getattr(self, f"_wide_{self._name}")
        return wide(t, given, made)

    def _run(
        self,
        name: str,
        constants: Template,
        inputs: Arrays,
        outputs: Made,
        scalars: Mapping[str, int],
        blocks: Grid,
        threads: Grid,
        *,
        shared: int = 0,
        resident: int = 1,
        body: tuple[str, str] | None = None,
    ) -> list[mx.array]:
        parameters = texts.parameters(
            {each: x.dtype for each, x in inputs.items()},
            {each: dtype for each, (_, dtype) in outputs.items()},
            [*scalars],
        )
        count = threads[0] * threads[1] * threads[2]
        if shared + _STATIC_BYTES > _SHARED_UNASKED:
            shared = max(shared, _SHARED_UNASKED)
        return self._run_launch(
            Launch(
                texts.module(name, parameters, tuple(constants.items()), count, resident, body),
                [*inputs.values()],
                [*outputs.values()],
                [*scalars.values()],
                blocks,
                threads,
                shared,
            )
        )

    def _attention(self, t: Template, inputs: Arrays, outputs: Made) -> list[mx.array]:
        warps, narrow, queries = _ATTENTION_WARPS, t["M"] <= _NARROW, t["M"] * t["H"] // t["HK"]
        constants = {name: value for name, value in t.items() if name not in _DROPPED}
        blocks, shared = t["HK"] * t["NS"] * -(-queries // 8), warps * 2 * 32 * (t["D"] // 4 + 1) * 4
        return self._run(
            "attention",
            constants | {"WARPS": warps},
            inputs,
            outputs,
            {"tokens": t["M"], "capacity": inputs["cache"].shape[3]},
            (max(blocks, multiprocessors()) if narrow else blocks, 1, 1),
            (32, warps, 1),
            shared=max(shared, _alone()) if narrow else shared,
            resident=2,
        )

    def _narrow(self, t: Template, inputs: Arrays, outputs: Made) -> list[mx.array]:
        """A block a multiprocessor, about; of q, k and v, one or more a head."""
        tokens, blocks = t["M"] + t["M"] % 2 if t["M"] > 1 else 1, multiprocessors()
        constants = {name: value for name, value in t.items() if name not in _DROPPED}
        if self._name == "qkv":
            heads = t["H"] + 2 * t["HK"]
            shares = self._shares(heads, t["D"] // 16)
            blocks = max(heads, blocks // shares) * shares
            constants["SHARES"] = shares
        return self._run(
            self._name,
            constants | {"M": tokens, "WARPS": _WARPS, "U": _in_flight(t)},
            inputs,
            outputs,
            {"tokens": t["M"]},
            (blocks, 1, 1),
            (32, _WARPS, 1),
            shared=max(_staged(t, tokens), _alone()),
        )

    def _shares(self, heads: int, tiles: int) -> int:
        """Blocks that make a head of q, k or v, of so many tiles: a power of two, so many that all fit the
        multiprocessors. One where MLX runs them: after a kernel of clusters, MLX 0.32.4 at times gives wrong results of
        its own operations."""
        shares = 1
        if self._run_launch is by_mlx:
            return shares
        while tiles % (2 * shares) == 0 and 2 * shares * heads <= multiprocessors() and shares < _CLUSTER:
            shares *= 2
        return shares

    def _wide_qkv(self, t: Template, inputs: Arrays, outputs: Made) -> list[mx.array]:
        heads, tokens = t["H"] + 2 * t["HK"], t["M"]
        made = (tokens, heads * t["D"]), mx.float32
        more = inputs["bias"] if t["BIAS"] else None
        (y,) = self._product(t, self._stage(t, inputs, normed=True), inputs, {"y": made}, bias=more)
        return self._run(
            "rotate",
            {name: t[name] for name in ("T", "H", "HK", "D", "HEAD_NORM")} | {"WARPS": 4},
            {"y": y} | {name: inputs[name] for name in ("head_norm", "frequency", "position", "eps")},
            outputs,
            {"tokens": tokens},
            (heads, -(-tokens // 4), 1),
            (32, 4, 1),
        )

    def _wide_project(self, t: Template, inputs: Arrays, outputs: Made) -> list[mx.array]:
        (image,) = self._run(
            "join",
            {name: t[name] for name in ("T", "H", "D", "NS", "BITS", "GROUP")}
            | {"WARPS": _WARPS, "U": _in_flight(t)},
            {name: inputs[name] for name in ("parts", "stats")},
            {"y": _image(t)},
            {"tokens": t["M"]},
            (t["M"], 1, 1),
            (32, _WARPS, 1),
        )
        return self._product(t, image, inputs, outputs, residual=inputs["residual"])

    def _wide_linear(self, t: Template, inputs: Arrays, outputs: Made) -> list[mx.array]:
        image = self._stage(t, inputs, normed=t["NORM"])
        residual = inputs["residual"] if t["RESIDUAL"] else None
        return self._product(t, image, inputs, outputs, residual=residual)

    def _wide_gate_up(self, t: Template, inputs: Arrays, outputs: Made) -> list[mx.array]:
        return self._product(t, self._stage(t, inputs, normed=True), inputs, outputs)

    def _stage(self, t: Template, inputs: Arrays, *, normed: bool) -> mx.array:
        constants = {name: t[name] for name in ("T", "K", "BITS", "GROUP")}
        constants |= {"NORM": normed, "WARPS": _WARPS, "U": _in_flight(t)}
        (image,) = self._run(
            "stage",
            constants,
            {name: inputs[name] for name in ("x", "norm", "eps")},
            {"y": _image(t)},
            {},
            (t["M"], 1, 1),
            (32, _WARPS, 1),
        )
        return image

    def _product(
        self,
        t: Template,
        image: mx.array,
        inputs: Arrays,
        outputs: Made,
        *,
        bias: mx.array | None = None,
        residual: mx.array | None = None,
    ) -> list[mx.array]:
        tiles, gated, columns = _tiles(self._name, t), self._name == "gate_up", -(-t["M"] // 8)
        constants = {name: t[name] for name in ("T", "S", "BITS", "GROUP")}
        constants |= {"N": tiles * (8 if gated else 16), "K": _k(t), "WARPS": _WIDE_WARPS}
        constants |= {"SPLIT": _WARPS, "U": _in_flight(t), "R": _WIDE_TILES, "C": columns}
        arrays = {"x": image} | {name: inputs[name] for name in ("weight", "scales")}
        if not gated:
            constants |= {"Y": outputs["y"][1], "RESIDUAL": residual is not None, "BIAS": bias is not None}
            arrays["more"] = next((x for x in (residual, bias) if x is not None), inputs["scales"])
        return self._run(
            "wide_gate_up" if gated else "wide",
            constants,
            arrays,
            outputs,
            {"tokens": t["M"]},
            (-(-tiles // _WIDE_TILES), 1, 1),
            (32, _WIDE_WARPS, 1),
            shared=_WARPS * _WIDE_TILES * columns * 512,
        )


def _image(t: Template) -> tuple[Shape, mx.Dtype]:
    """Images of eight tokens each: their activations, and the sums of these a group."""
    k = _k(t)
    return (-(-t["M"] // 8), k * 4 + k // t["GROUP"] * 8), mx.uint32


def kernel(
    *,
    name: str,
    input_names: Sequence[str],
    output_names: Sequence[str],
    source: str,
    header: str,
    run: Run,
) -> Kernel:
    """mx.fast.metal_kernel on an NVIDIA GPU of compute capability 9 or later."""
    return TensorKernel(
        name=name,
        input_names=input_names,
        output_names=output_names,
        source=source,
        header=header,
        run=run,
    )


def place(
    cache: mx.array, rows: mx.array, position: mx.array, *, run: Run = by_mlx
) -> tuple[mx.array, mx.array]:
    """A pass's rows written into `cache` itself; see flash_metal.registry.Place.

    MLX does not know that the cache is written: only what takes the new position comes after it.
    """
    layers, planes, heads, tokens, row = rows.shape
    blocks = -(-tokens * row // 128), layers * planes * heads, 1
    scalars = [tokens, cache.shape[3], row]
    inputs = [cache, rows, position]
    (following,) = run(
        Launch(plain_module("place"), inputs, [((4,), mx.int32)], scalars, blocks, (128, 1, 1))
    )
    return cache, following


def registry(
    run: Run, resident: Callable[[mx.array], mx.array] = lambda scalar: scalar, **device: Any
) -> Registry:
    """The launches' kernels through `run`; device: what else Registry takes of the device that runs them."""
    return Registry(
        partial(kernel, run=run),
        partial(place, run=run),
        resident,
        in_order=True,
        max_tokens=MAX_TOKENS,
        tile=tile,
        **device,
    )


def resident(scalar: mx.array) -> mx.array:
    """[1] -> [4], which MLX keeps in the GPU's memory."""
    return _four("resident", scalar, scalar.dtype)


def address(x: mx.array) -> mx.array:
    """Where `x` lies in the GPU's memory: the low and the high half, then two of no meaning, uint32 [4]."""
    return _four("address", x, mx.uint32)


def _four(name: str, x: mx.array, dtype: mx.Dtype) -> mx.array:
    (y,) = by_mlx(Launch(plain_module(name), [x], [((4,), dtype)], [], (1, 1, 1), (32, 1, 1)))
    return y


_PARAMETERS = {
    "place": "const uint* cache,const uint* rows,const int* position,int* next,int tokens,int capacity,int row",
    "resident": "const uint* x,uint* y",
    "address": "const uint* x,uint* y",
    "begin": "const int* given,int* ids,int* position",
    "choose": "const float* logits,const int* next,int* ids,int* position,int* chosen,int tokens,int width",
}
_THREADS = {"choose": 1024, "place": 128}
_CONSTANTS = {"begin": (("MOST", MAX_TOKENS),), "choose": (("SHARES", CHOOSERS),)}


def plain_module(name: str) -> Module:
    """The kernel cu/`name`.cu, which is the same for all shapes."""
    return texts.module(name, (_PARAMETERS[name],), _CONSTANTS.get(name, ()), _THREADS.get(name, 32))
