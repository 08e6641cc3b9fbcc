"""Passes as CUDA graphs: recorded once, then replayed with one call each, the chosen token fed on by the GPU.

MLX spends 6 to 10 us of the host on every launch, which for a small model is most of a pass. All launches of a pass
read the position and the tokens from the GPU's memory, so the same graph serves every pass of a size on a cache. The
launches are those of the decoder, in its order, on arrays that MLX allocated: it just runs once on a registry that
takes them down.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Sequence
from ctypes import c_int, c_ulonglong, c_void_p
from dataclasses import dataclass
from functools import cache, partial

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from flash_metal.decoder import Decoder
from flash_metal.nvidia import kernels
from flash_metal.nvidia.driver import Argument, driver
from flash_metal.nvidia.module import Module
from flash_metal.registry import Grid, Registry, Shape

SLOTS = 16
"""Positions whose chosen tokens are kept for the host: those of a pass of 8 and of 8 passes behind it."""
MOST = 8
"""Tokens of a pass, and passes of one run."""
_SMALLEST = 16
"""Bytes of an array that MLX keeps in the GPU's memory."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A launch."""

    module: Module
    arguments: Sequence[Argument]
    blocks: Grid
    threads: Grid
    shared: int


class _Recorder:
    """Takes down launches in place of MLX; what they make lies in buffers that serve again when nobody holds them."""

    def __init__(self) -> None:
        self.steps: list[_Step] = []
        self._buffers: list[mx.array] = []
        self._addresses: dict[int, tuple[mx.array, int]] = {}

    def launch(
        self,
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
        """As flash_metal.nvidia.kernels.launch."""
        made = [self._buffer(s, t) for s, t in zip(output_shapes, output_dtypes, strict=True)]
        x, y, z = (-(-whole // part) for whole, part in zip(grid, threadgroup, strict=True))
        pointers = [self.address(array) for array in (*inputs, *made)]
        self.add(module, pointers, scalars, (x, y, z), threadgroup, shared_memory)
        return made

    def add(
        self,
        module: Module,
        pointers: Sequence[int],
        scalars: Sequence[int],
        blocks: Grid,
        threads: Grid,
        shared: int = 0,
    ) -> None:
        arguments: list[Argument] = [*map(c_ulonglong, pointers), *map(c_int, scalars)]
        self.steps.append(_Step(module, arguments, blocks, threads, shared))

    def address(self, x: mx.array) -> int:
        """Where `x` lies on the GPU; it is kept until `forget`."""
        if id(x) not in self._addresses:
            mx.eval(x)
            low, high, *_ = np.array(kernels.address(x)).tolist()
            self.know(x, high << 32 | low)
        return self._addresses[id(x)][1]

    def know(self, x: mx.array, address: int) -> None:
        """Take `x` to lie at `address`."""
        self._addresses[id(x)] = x, address

    def forget(self, x: mx.array) -> None:
        self._addresses.pop(id(x), None)

    def _buffer(self, shape: Shape, dtype: mx.Dtype) -> mx.array:
        for buffer in self._buffers:
            if buffer.shape == tuple(shape) and buffer.dtype == dtype and sys.getrefcount(buffer) == _UNHELD:
                return buffer
        made = mx.zeros(shape, dtype=dtype)
        if made.nbytes < _SMALLEST:
            raise ValueError(f"an array {shape} of {dtype} may lie in the host's memory")
        mx.eval(made)
        self._buffers.append(made)
        return made


def _unheld() -> int:
    """References to a buffer that only the recorder has, in its loop."""
    buffers, addresses = [mx.zeros((4,))], {}
    addresses[0] = buffers[0], 0
    for buffer in buffers:
        return sys.getrefcount(buffer)
    raise AssertionError


_UNHELD = _unheld()


class Recording:
    """A decoder whose passes are recorded. Raises RuntimeError where the driver refuses."""

    def __init__(self, make: Callable[[Registry], Decoder]) -> None:
        """make: the decoder, of a registry's launches."""
        self._recorder = _Recorder()
        launch = self._recorder.launch
        self._decoder = make(
            Registry(
                partial(kernels.kernel, launch=launch),
                partial(kernels.place, launch=launch),
                _resident,
                in_order=True,
            )
        )
        self._position = mx.zeros((4,), dtype=mx.int32)
        self._ids = [mx.zeros((max(size, 4),), dtype=mx.int32) for size in range(MOST + 1)]
        self.given, self._given_at = driver().host_words(MOST + 1)
        self.chosen, self._chosen_at = driver().host_words(2 * SLOTS)

    def graph(self, cache: mx.array, tokens: int, vocabulary: int, *, given: bool) -> Graph:
        """A pass of so many tokens on `cache`: of those `given` by the host, or of the one chosen last.

        Tokens are chosen among the ids below `vocabulary`.
        """
        recorder = self._recorder
        recorder.steps = []
        ids, position = recorder.address(self._ids[MOST]), recorder.address(self._position)
        if given:
            pointers = [self._given_at, ids, position]
            recorder.add(kernels.plain_module("begin"), pointers, [], (1, 1, 1), (32, 1, 1))
        read = mx.zeros((tokens,), dtype=mx.int32)
        recorder.know(read, ids)
        logits, rows = self._decoder(read, cache, self._position, logits=tokens)
        _, following = self._decoder.place(cache, rows, self._position)
        ends = [recorder.address(x) for x in (logits, following)]
        recorder.add(
            kernels.plain_module("choose"),
            [*ends, ids, position, self._chosen_at],
            [tokens, logits.shape[1], vocabulary],
            (tokens, 1, 1),
            (1024, 1, 1),
        )
        for array in (read, cache):
            recorder.forget(array)
        return Graph(recorder.steps, logits.shape, ends[0])


def _resident(scalar: mx.array) -> mx.array:
    """Those of a recording are already in the GPU's memory."""
    return scalar if scalar.nbytes >= _SMALLEST else kernels.resident(scalar)


class Graph:
    """Launches that the GPU runs one after the other at one call: a pass, whose logits then lie at an address."""

    def __init__(self, steps: Sequence[_Step], shape: Shape, logits: int) -> None:
        """shape: of the logits."""
        self.shape, self.logits = shape, logits
        cuda = driver()
        functions = {step.module: _function(step.module) for step in steps}
        cuda.capture()
        for step in steps:
            cuda.launch(functions[step.module], step.arguments, step.blocks, step.threads, step.shared)
        self._executable = cuda.captured()
        weakref.finalize(self, cuda.forget, self._executable)

    def start(self) -> None:
        driver().replay(self._executable)


@cache
def _function(module: Module) -> c_void_p:
    return driver().function(module.image(), module.function)


@cache
def _host_words(count: int) -> NDArray[np.int32]:
    return driver().host_words(count)[0]


class Replay:
    """Passes on one cache. What MLX has to do with the cache must have been done before, and its results been read;
    nothing is left to do on return."""

    def __init__(self, recording: Recording, cache: mx.array) -> None:
        self._recording, self._cache = recording, cache
        self._graphs: dict[tuple[int, int, bool], Graph] = {}

    def choose(
        self, tokens: Sequence[int], position: int, vocabulary: int, *, passes: int = 1
    ) -> list[tuple[int, float]]:
        """A pass of `tokens`, 1 to 8, at `position`, and `passes` - 1, up to 7, each of the token chosen last.

        Returns what is chosen after each of `tokens`, and then in each pass, among the ids below `vocabulary`: the most
        likely one, the lowest of equals, and its log-probability.
        """
        self._begin(tokens, position, vocabulary)
        for _ in range(passes - 1):
            self._graph(1, vocabulary, given=False).start()
        driver().wait()
        slots = np.arange(position, position + len(tokens) + passes - 1) % SLOTS
        chosen, logprobs = np.split(self._recording.chosen, 2)
        return list(zip(chosen[slots].tolist(), logprobs.view(np.float32)[slots].tolist(), strict=True))

    def logits(self, tokens: Sequence[int], position: int, count: int) -> NDArray[np.float32]:
        """A pass of `tokens`, 1 to 8, at `position`: the logits of the last `count`, float32 [count, vocabulary]."""
        graph = self._begin(tokens, position, 1)
        width = graph.shape[1]
        words = _host_words(MOST * width)[: count * width]
        driver().read(words, graph.logits + 4 * (len(tokens) - count) * width)
        driver().wait()
        return words.view(np.float32).reshape(count, width).copy()

    def _begin(self, tokens: Sequence[int], position: int, vocabulary: int) -> Graph:
        driver().enter()
        given = self._recording.given
        graph = self._graph(len(tokens), vocabulary, given=True)
        given[: len(tokens)] = tokens
        given[MOST] = position
        graph.start()
        return graph

    def _graph(self, tokens: int, vocabulary: int, *, given: bool) -> Graph:
        key = tokens, vocabulary, given
        if key not in self._graphs:
            self._graphs[key] = self._recording.graph(self._cache, tokens, vocabulary, given=given)
        return self._graphs[key]
