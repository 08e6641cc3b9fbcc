"""Passes as CUDA graphs: recorded once, then replayed with one call each, the chosen token fed on by the GPU.

MLX spends 6 to 10 us of the host on every launch, which for a small model is most of a pass. All launches of a pass
read the position and the tokens from the GPU's memory, so the same graph serves every pass of a size; those that take
the cache, attention and the one that places the rows, are given another when it changes, a microsecond each. The
launches are those of the decoder, in its order, on arrays that MLX allocated: it just runs once on a registry that
takes them down.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Sequence
from ctypes import c_int, c_ulonglong, c_void_p
from dataclasses import dataclass
from functools import cache

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from flash_metal.decoder import Decoder
from flash_metal.nvidia import kernels
from flash_metal.nvidia.driver import Argument, Node, driver
from flash_metal.nvidia.launch import Launch
from flash_metal.nvidia.module import Module
from flash_metal.registry import Grid, Registry, Shape

SLOTS = 16
"""Positions whose chosen tokens are kept for the host: those of a pass of 8 and of 7 passes behind it."""
MOST = kernels.MAX_TOKENS
"""Tokens of a pass."""
ROWS = 8
"""Tokens of a pass of which there are logits, at most: the last ones."""
_UNKNOWN = 0x3F800000
"""1.0, which is no log-probability."""
_LOOKS = 50_000
"""At a token that is awaited, before the GPU is waited for: a look takes some 0.2 us."""
_NOWHERE = -1
_SMALLEST = 16
"""Bytes of an array that MLX keeps in the GPU's memory."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A launch."""

    module: Module
    arguments: Sequence[Argument]
    blocks: Grid
    threads: Grid
    shared: int = 0


class _Recorder:
    """Takes down launches in place of MLX; what they make lies in buffers that serve again when nobody holds them."""

    def __init__(self) -> None:
        self.steps: list[_Step] = []
        self._buffers: list[mx.array] = []
        self._addresses: dict[int, tuple[mx.array, c_ulonglong]] = {}

    def take(self, launch: Launch) -> list[mx.array]:
        made = [self._buffer(shape, dtype) for shape, dtype in launch.outputs]
        arguments: list[Argument] = [self.argument(array) for array in (*launch.inputs, *made)]
        arguments += map(c_int, launch.scalars)
        self.steps.append(_Step(launch.module, arguments, launch.blocks, launch.threads, launch.shared))
        return made

    def add(
        self,
        module: Module,
        pointers: Sequence[int],
        scalars: Sequence[int],
        blocks: Grid,
        threads: Grid,
    ) -> None:
        arguments: list[Argument] = [*map(c_ulonglong, pointers), *map(c_int, scalars)]
        self.steps.append(_Step(module, arguments, blocks, threads))

    def address(self, x: mx.array) -> int:
        """Where `x` lies on the GPU; it is kept until `forget`."""
        return self.argument(x).value

    def argument(self, x: mx.array) -> c_ulonglong:
        """Its address, the same object for every launch that takes it."""
        if id(x) not in self._addresses:
            self.know(x, address(x))
        return self._addresses[id(x)][1]

    def know(self, x: mx.array, address: int) -> None:
        """Take `x` to lie at `address`."""
        self._addresses[id(x)] = x, c_ulonglong(address)

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


def address(x: mx.array) -> int:
    """Where `x` lies on the GPU."""
    mx.eval(x)
    low, high, *_ = np.array(kernels.address(x)).tolist()
    return int(high << 32 | low)


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
        self._decoder = make(kernels.registry(self._recorder.take, _resident))
        self._position = mx.zeros((4,), dtype=mx.int32)
        self._graphs: dict[tuple[object, ...], Graph] = {}
        self._ids = mx.zeros((MOST,), dtype=mx.int32)
        mx.eval(self._position, self._ids)  # a thread cannot evaluate what another one has begun
        self.given, self._given_at = driver().host_words(MOST + 2)
        self.chosen, self._chosen_at = driver().host_words(2 * SLOTS)

    def graph(self, cache: mx.array, tokens: int, *, given: bool, chooses: bool) -> Graph:
        """A pass of so many tokens on caches of the shape of `cache`: of those `given` by the host, or of the one
        chosen last. chooses: what follows each of them, at most 8, is chosen."""
        key = tokens, given, chooses, cache.shape
        if key not in self._graphs:
            self._graphs[key] = self._record(cache, tokens, given=given, chooses=chooses)
        return self._graphs[key]

    def _record(self, cache: mx.array, tokens: int, *, given: bool, chooses: bool) -> Graph:
        recorder, rows = self._recorder, min(tokens, ROWS)
        recorder.steps = []
        ids, position = recorder.address(self._ids), recorder.address(self._position)
        if given:
            pointers = [self._given_at, ids, position]
            recorder.add(kernels.plain_module("begin"), pointers, [], (1, 1, 1), (32, 1, 1))
        read = mx.zeros((tokens,), dtype=mx.int32)
        recorder.know(read, ids)
        logits, fresh = self._decoder(read, cache, self._position, logits=rows)
        _, following = self._decoder.place(cache, fresh, self._position)
        at = recorder.address(logits)
        if chooses:
            pointers = [at, recorder.address(following), ids, position, self._chosen_at]
            scalars = [rows, logits.shape[1]]
            blocks = rows * kernels.CHOOSERS, 1, 1
            recorder.add(kernels.plain_module("choose"), pointers, scalars, blocks, (1024, 1, 1))
        graph = Graph(recorder.steps, recorder.argument(cache), logits.shape, at)
        for array in (read, cache):
            recorder.forget(array)
        return graph


def _resident(scalar: mx.array) -> mx.array:
    """Those of a recording are already in the GPU's memory."""
    return scalar if scalar.nbytes >= _SMALLEST else kernels.resident(scalar)


class Graph:
    """Launches that the GPU runs one after the other at one call: a pass on any cache of a shape."""

    def __init__(self, steps: Sequence[_Step], cache: c_ulonglong, shape: Shape, logits: int) -> None:
        """cache: that of the arguments which is the cache's address. shape: of the logits, which then lie at the
        address `logits`."""
        self.shape, self.logits = shape, logits
        self._cache, self._at = cache, cache.value
        self._taking: list[Node] = []
        cuda = driver()
        functions = {step.module: _function(step.module) for step in steps}
        cuda.capture()
        for step in steps:
            cuda.launch(functions[step.module], step.arguments, step.blocks, step.threads, step.shared)
            if any(each is cache for each in step.arguments):
                self._taking.append(cuda.node(step.arguments))
        self._steps, self._graph = steps, cuda.captured()
        weakref.finalize(self, cuda.forget, self._graph)

    def start(self, cache: int) -> None:
        """Run on the cache at this address."""
        cuda = driver()
        if self._at != cache:
            self._at = 0
            self._cache.value = cache
            for node in self._taking:
                cuda.set(self._graph, node)
            self._at = cache
        cuda.replay(self._graph)


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
        self._at = address(cache)
        self._fed, self._next = list[int](), _NOWHERE
        """What the GPU would feed on, and where: no pass need be given these."""

    def choose(
        self, tokens: Sequence[int], position: int, vocabulary: int, *, passes: int = 1
    ) -> list[tuple[int, float]]:
        """A pass of `tokens`, 1 to 8, at `position`, and `passes` - 1, up to 7, each of the token chosen last.

        Returns what is chosen after each of `tokens`, and then in each pass, among the ids below `vocabulary`: the most
        likely one, the lowest of equals, and its log-probability.
        """
        self._begin(tokens, position, vocabulary)
        for _ in range(passes - 1):
            self._feed()
        driver().wait()
        chosen = self._recording.chosen
        ids, logprobs = chosen[:SLOTS].tolist(), chosen[SLOTS:].view(np.float32).tolist()
        places = range(position, position + len(tokens) + passes - 1)
        return [(ids[at % SLOTS], logprobs[at % SLOTS]) for at in places]

    def start(self, tokens: Sequence[int], position: int, vocabulary: int) -> list[tuple[int, float]]:
        """What is chosen after each of `tokens`, as by `choose`, as soon as it is known. The GPU may be about to end
        the pass: only `start` and `finish` may follow."""
        places = range(position, position + len(tokens))
        chosen = self._recording.chosen
        for place in places:
            chosen[place % SLOTS], chosen[SLOTS + place % SLOTS] = -1, _UNKNOWN
        if [*tokens] == self._fed and position == self._next:
            self._feed()
        else:
            self._begin(tokens, position, vocabulary)
        found = [self._awaited(place % SLOTS) for place in places]
        self._fed, self._next = [found[-1][0]], places.stop
        return found

    def finish(self) -> None:
        """Until the passes have ended."""
        driver().wait()
        self._next = _NOWHERE

    def _feed(self) -> None:
        """Start a pass of the token chosen last."""
        self._recording.graph(self._cache, 1, given=False, chooses=True).start(self._at)

    def _awaited(self, slot: int) -> tuple[int, float]:
        chosen, looks = self._recording.chosen, _LOOKS
        while looks and (chosen[slot] < 0 or chosen[SLOTS + slot] == _UNKNOWN):
            looks -= 1
        if not looks:
            driver().wait()
        return int(chosen[slot]), float(chosen[SLOTS:].view(np.float32)[slot])

    def logits(self, tokens: Sequence[int], position: int, count: int) -> NDArray[np.float32]:
        """A pass of `tokens`, 1 to 64, at `position`: the logits of the last `count`, at most 8, float32
        [count, vocabulary]."""
        graph = self._begin(tokens, position, 0)
        rows, width = graph.shape
        words = _host_words(ROWS * width)[: count * width]
        if count:
            driver().read(words, graph.logits + (rows - count) * width * words.itemsize)
        driver().wait()
        return words.view(np.float32).reshape(count, width).copy()

    def _begin(self, tokens: Sequence[int], position: int, vocabulary: int) -> Graph:
        """Start a pass; with a vocabulary, one that chooses among the ids below it."""
        driver().enter()
        given = self._recording.given
        graph = self._recording.graph(self._cache, len(tokens), given=True, chooses=vocabulary > 0)
        given[: len(tokens)] = tokens
        given[MOST:] = position, vocabulary
        graph.start(self._at)
        return graph
