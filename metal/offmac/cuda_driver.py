"""CUDA graphs on the CPU: a stand-in for flash_metal.nvidia.driver, whose kernels are texts run as by cuda_host.py.

Arrays of MLX get memory of the GPU's as their addresses are asked for, slices that of what they are cut from. A graph
keeps the values that its launches' arguments had when they were captured or set, as CUDA's do.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from flash_metal.nvidia.driver import Argument
from flash_metal.registry import Grid
from offmac.cuda_host import library, run


@dataclass(slots=True)
class Node:
    """A launch of a graph."""

    name: str
    code: ctypes.CDLL
    arguments: Sequence[Argument]
    values: list[Argument]
    blocks: Grid
    threads: Grid


class HostDriver:
    """The part of the driver that passes need."""

    def __init__(self) -> None:
        self._captured: list[Node] = []
        self._memory: list[tuple[NDArray[Any], NDArray[Any]]] = []
        self.set_nodes = 0

    def enter(self) -> None: ...

    def wait(self) -> None: ...

    def function(self, code: bytes, name: str) -> tuple[str, ctypes.CDLL]:
        """The kernel `name` of a text."""
        return name, library(code.decode(), name)

    def host_words(self, count: int) -> tuple[NDArray[np.int32], int]:
        words = np.zeros(count, np.int32)
        return words, words.ctypes.data

    def capture(self) -> None:
        self._captured = []

    def launch(
        self,
        function: tuple[str, ctypes.CDLL],
        arguments: Sequence[Argument],
        blocks: Grid,
        threads: Grid,
        shared: int,
    ) -> None:
        self._captured.append(Node(*function, arguments, _values(arguments), blocks, threads))

    def node(self, arguments: Sequence[Argument]) -> Node:
        node = self._captured[-1]
        assert node.arguments is arguments
        return node

    def captured(self) -> list[Node]:
        return self._captured

    def set(self, graph: list[Node], node: Node) -> None:
        assert any(each is node for each in graph)
        self.set_nodes += 1
        node.values = _values(node.arguments)

    def replay(self, graph: list[Node]) -> None:
        for node in graph:
            run(node.name, node.code, node.values, node.blocks, node.threads)

    def memory(self, x: mx.array) -> NDArray[Any]:
        """What `x`, not bfloat16, is on the GPU."""
        mine = np.asarray(memoryview(x))
        for whole, copy in self._memory:
            offset = mine.ctypes.data - whole.ctypes.data
            if 0 <= offset <= whole.nbytes - mine.nbytes:
                flat = copy.reshape(-1).view(np.uint8)[offset : offset + mine.nbytes]
                return flat.view(mine.dtype).reshape(mine.shape)
        self._memory.append((mine, mine.copy()))
        return self._memory[-1][1]

    def address(self, x: mx.array) -> mx.array:
        """As flash_metal.nvidia.kernels.address."""
        at: int = self.memory(x).ctypes.data
        return mx.array([at & 0xFFFFFFFF, at >> 32, 0, 0], dtype=mx.uint32)

    def forget(self, graph: list[Node]) -> None: ...

    def read(self, words: NDArray[np.int32], address: int) -> None:
        ctypes.memmove(words.ctypes.data, address, words.nbytes)


def _values(arguments: Sequence[Argument]) -> list[Argument]:
    return [type(each)(each.value) for each in arguments]
