"""The little of the CUDA driver's interface that graphs of launches need (CUDA Driver API, cuda.h)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_int, c_uint, c_ulonglong, c_void_p
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from flash_metal.registry import Grid

_MAX_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING
_RELAXED = 2  # CU_STREAM_CAPTURE_MODE_RELAXED
_MAPPED = 2  # CU_MEMHOSTALLOC_DEVICEMAP
_OVERLAPPED = 6  # CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION

Argument = c_ulonglong | c_int
"""Of a kernel: an address, or a number."""


class _Attribute(ctypes.Structure):
    _fields_ = (("id", c_int), ("pad", c_int), ("value", c_int * 16))


class _Configuration(ctypes.Structure):
    _fields_ = (
        ("blocks", c_uint * 3),
        ("threads", c_uint * 3),
        ("shared", c_uint),
        ("stream", c_void_p),
        ("attributes", ctypes.POINTER(_Attribute)),
        ("count", c_uint),
    )


class _Parameters(ctypes.Structure):
    """CUDA_KERNEL_NODE_PARAMS_v2."""

    _fields_ = (
        ("function", c_void_p),
        ("grid", c_uint * 6),
        ("shared", c_uint),
        ("arguments", c_void_p),
        ("extra", c_void_p),
        ("kernel", c_void_p),
        ("context", c_void_p),
    )


@dataclass(frozen=True, slots=True)
class Node:
    """A launch of a graph."""

    handle: c_void_p
    parameters: _Parameters
    arguments: ctypes.Array[c_void_p]
    """Where each lies."""


@dataclass(frozen=True, slots=True)
class Graph:
    """What was captured, its nodes' handles valid as long as it is, and the same ready to run."""

    captured: c_void_p
    executable: c_void_p


class Driver:
    """Calls into libcuda in the first GPU's primary context, which MLX uses too. Raises RuntimeError."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcuda.so.1")
        self._context = c_void_p()
        self._shared: dict[int | None, int] = {}
        """The most shared memory that a function may have: as much as any launch of it in a graph."""
        device = c_int()
        self._call("cuInit", 0)
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device)
        self.enter()
        self.stream = c_void_p()
        self._call("cuStreamCreate", ctypes.byref(self.stream), _NON_BLOCKING)

    def enter(self) -> None:
        """Make the context this thread's: once in every thread that calls."""
        self._call("cuCtxSetCurrent", self._context)

    def function(self, code: bytes, name: str) -> c_void_p:
        """The kernel `name` of machine code."""
        module, function = c_void_p(), c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(module), code)
        self._call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
        return function

    def host_words(self, count: int) -> tuple[NDArray[np.int32], int]:
        """Zeros, int32 [count], that the host and kernels share, and their address on the GPU."""
        at, address = c_void_p(), c_ulonglong()
        self._call("cuMemHostAlloc", ctypes.byref(at), ctypes.c_size_t(4 * count), _MAPPED)
        self._call("cuMemHostGetDevicePointer_v2", ctypes.byref(address), at, 0)
        assert at.value is not None
        words = np.ctypeslib.as_array((c_int * count).from_address(at.value))
        words[:] = 0
        return words, address.value

    def launch(
        self,
        function: c_void_p,
        arguments: Sequence[Argument],
        blocks: Grid,
        threads: Grid,
        shared: int,
    ) -> None:
        """Launch on the stream, or add to the graph that is being captured.

        It may start before the launch ahead of it has ended: programmatic dependent launch, see cu/ptx.cuh.
        """
        if shared > self._shared.get(function.value, 0):
            self._call("cuFuncSetAttribute", function, _MAX_DYNAMIC_SHARED, shared)
            self._shared[function.value] = shared
        pointers = _pointers(arguments)
        attributes = (_Attribute * 1)(_Attribute(_OVERLAPPED, 0, (c_int * 16)(1)))
        configuration = _Configuration(
            (c_uint * 3)(*blocks), (c_uint * 3)(*threads), shared, self.stream, attributes, 1
        )
        self._call("cuLaunchKernelEx", ctypes.byref(configuration), function, pointers, None)

    def capture(self) -> None:
        """Let launches be recorded from here on."""
        self._call("cuStreamBeginCapture_v2", self.stream, _RELAXED)

    def node(self, arguments: Sequence[Argument]) -> Node:
        """The launch captured last; `arguments`, which are its own, must live as long as it is set."""
        status, number, count = c_int(), c_ulonglong(), ctypes.c_size_t()
        graph, nodes, edges = c_void_p(), ctypes.POINTER(c_void_p)(), c_void_p()
        found = map(ctypes.byref, (status, number, graph, nodes, edges, count))
        self._call("cuStreamGetCaptureInfo_v3", self.stream, *found)
        node = Node(c_void_p(nodes[0]), _Parameters(), _pointers(arguments))
        self._call("cuGraphKernelNodeGetParams_v2", node.handle, ctypes.byref(node.parameters))
        node.parameters.arguments = ctypes.addressof(node.arguments)
        return node

    def captured(self) -> Graph:
        """What was launched since `capture`."""
        graph, executable = c_void_p(), c_void_p()
        self._call("cuStreamEndCapture", self.stream, ctypes.byref(graph))
        self._call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, c_ulonglong(0))
        return Graph(graph, executable)

    def set(self, graph: Graph, node: Node) -> None:
        """Let the node's arguments be, from the next replay on, what they hold now."""
        parameters = ctypes.byref(node.parameters)
        self._call("cuGraphExecKernelNodeSetParams_v2", graph.executable, node.handle, parameters)

    def replay(self, graph: Graph) -> None:
        self._call("cuGraphLaunch", graph.executable, self.stream)

    def forget(self, graph: Graph) -> None:
        self._call("cuGraphExecDestroy", graph.executable)
        self._call("cuGraphDestroy", graph.captured)

    def read(self, words: NDArray[np.int32], address: int) -> None:
        """Fill `words`, some of `host_words`, with what lies at `address` on the GPU, in the stream's order."""
        size = ctypes.c_size_t(words.nbytes)
        self._call(
            "cuMemcpyDtoHAsync_v2", c_void_p(words.ctypes.data), c_ulonglong(address), size, self.stream
        )

    def wait(self) -> None:
        """Until all that was launched has run."""
        self._call("cuStreamSynchronize", self.stream)

    def _call(self, name: str, *arguments: object) -> None:
        try:
            function = getattr(self._library, name)
        except AttributeError:
            raise RuntimeError(f"{name}: the NVIDIA driver is older than CUDA 12.3") from None
        code = function(*arguments)
        if code:
            text = ctypes.c_char_p()
            self._library.cuGetErrorString(code, ctypes.byref(text))
            what = text.value.decode() if text.value else "unknown error"
            raise RuntimeError(f"{name}: {what} ({code})")


def _pointers(arguments: Sequence[Argument]) -> ctypes.Array[c_void_p]:
    return (c_void_p * len(arguments))(*(ctypes.addressof(each) for each in arguments))


@cache
def driver() -> Driver:
    """The process's."""
    return Driver()
