"""A captured Metal function compiled as C++ and run on the CPU, and a stand-in for mx.fast.metal_kernel made of it.

Lanes are fibers (shim/msl_rt.cpp). Needs g++ with _Float16 (12 or later) on x86-64; CXX names another compiler.
Builds are kept in .cache/metal-offmac at the top of the checkout.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from flash_metal.registry import Grid, Shape
from offmac.capture import Captured, capture
from offmac.text import (
    SHIM,
    Parameter,
    explicit_arguments,
    float_literals,
    parse_signature,
    preamble,
    strip_comments,
    strip_instantiations,
    threadgroup_variables,
)

CXX = os.environ.get("CXX") or shutil.which("g++-12") or "g++"
MISSING = ""
"""Why kernels can't run here; empty if they can."""
if platform.machine() != "x86_64":
    MISSING = f"lanes switch in x86-64 assembly, this is {platform.machine()}"
elif shutil.which(CXX) is None:
    MISSING = f"no C++ compiler {CXX}"
_BUILD = Path(__file__).parents[2] / ".cache/metal-offmac"
# _Float16 rounds at every step, as half does.
_FLAGS = ["-std=c++17", "-O1", "-march=x86-64-v3", "-fexcess-precision=16"]
_FLAGS += ["-fno-exceptions", "-fno-rtti", "-w", f"-I{SHIM}"]
_CONTRACT = {False: ["-ffp-contract=off"], True: ["-ffp-contract=fast"]}
_SANITIZERS = {
    "": ["-shared", "-fPIC"],
    "address": ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-DMSL_CHECK_ALIGN"],
    "thread": ["-g", "-fsanitize=thread"],
}
_RUNTIME = {"": [], "address": ["-DMSL_ASAN", "-DMSL_MAIN"], "thread": ["-DMSL_TSAN", "-DMSL_MAIN"]}
_ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
    "TSAN_OPTIONS": "halt_on_error=1:report_signal_unsafe=0",
}
FORWARD, REVERSE, RANDOM = range(3)
"""The order in which lanes run."""


_RUNS = ((FORWARD, 0xFF), (REVERSE, 0x00), (RANDOM, 0x5A))
"""Orders, and what the outputs hold before: a byte that is not written differs."""


class KernelError(RuntimeError):
    """The kernel doesn't compile, or did what Metal leaves undefined; the message says where."""


def _compile(arguments: list[str], out: Path) -> Path:
    if out.exists():
        return out
    _BUILD.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.{os.getpid()}")
    done = subprocess.run([CXX, *arguments, "-o", str(part)], capture_output=True, text=True)
    if done.returncode:
        raise KernelError(done.stderr[:6000])
    part.rename(out)
    return out


def _key(*parts: str) -> str:
    shim = "".join(p.read_text() for p in sorted(SHIM.rglob("*.[hc]*")))
    return hashlib.sha256("\0".join((shim, CXX, *parts)).encode()).hexdigest()[:16]


def _runtime(sanitizer: str) -> Path:
    flags = ["-std=c++17", "-O2", "-fPIC", *_RUNTIME[sanitizer]]
    return _compile(
        [*flags, "-c", str(SHIM / "msl_rt.cpp")], _BUILD / f"runtime_{sanitizer}_{_key(*flags)}.o"
    )


def build(name: str, unit: str, flags: list[str], sanitizer: str = "") -> Path:
    """The program or library of a translation unit and the run-time. Raises KernelError if it does not compile."""
    stem = _BUILD / f"{name[:60]}_{_key(unit, *flags)}"
    binary = stem.with_suffix(".exe" if sanitizer else ".so")
    if not binary.exists():
        _BUILD.mkdir(parents=True, exist_ok=True)
        source = stem.with_suffix(".cpp")
        source.write_text(unit)
        _compile([*flags, str(source), str(_runtime(sanitizer)), "-lm"], binary)
    return binary


_POSITIONS = ("position", "threads_per_grid", "threadgroups_per_grid", "threads_per_threadgroup")
_CONSTANT_ATTRIBUTES = {
    "thread_execution_width": "32u",
    "threads_per_simdgroup": "32u",
    "thread_index_in_quadgroup": "(t->thread_index_in_simdgroup % 4)",
    "quadgroup_index_in_threadgroup": "(t->thread_index_in_threadgroup / 4)",
}


def _attribute(p: Parameter) -> str:
    if p.attribute in _CONSTANT_ATTRIBUTES:
        return f"{p.type}({_CONSTANT_ATTRIBUTES[p.attribute]})"
    if not any(word in p.attribute for word in _POSITIONS):
        return f"{p.type}(t->{p.attribute})"
    axes = int(p.type[-1]) if p.type[-1] in "23" else 1
    return f"{p.type}({', '.join(f't->{p.attribute}[{i}]' for i in range(axes))})"


def _translation_unit(captured: Captured, parameters: Sequence[Parameter]) -> str:
    body = threadgroup_variables(float_literals(strip_comments(strip_instantiations(captured.text))))
    arguments = [
        f"{'' if p.ref == '*' else '*'}({'const ' * p.const}{template_type(captured, p.type)}*)b[{p.index}]"
        if p.kind == "buffer"
        else _attribute(p)
        for p in parameters
    ]
    return (
        f'{preamble("host")}\n#line 1 "{captured.name}"\n{body}\n'
        'extern "C" void msl_entry(void** b, const MslThread* t) {\n'
        f"  {captured.name}{explicit_arguments(captured.text, captured.name)}(\n    "
        + ",\n    ".join(arguments)
        + ");\n}\n"
    )


def template_type(captured: Captured, name: str) -> str:
    """`name`, or what it stands for if it is a template parameter of `captured`."""
    template, _ = parse_signature(captured.text, captured.name)
    values = explicit_arguments(captured.text, captured.name).strip("<>").split(",")
    return dict(zip((n for _, n in template), (v.strip() for v in values), strict=False)).get(name, name)


class HostKernel:
    """A compiled kernel; `sanitizer` is "", "address" or "thread"; `contract` lets the compiler make fmas."""

    def __init__(self, captured: Captured, sanitizer: str, contract: bool) -> None:
        _, self.parameters = parse_signature(captured.text, captured.name)
        unit = _translation_unit(captured, self.parameters)
        flags = [*_FLAGS, *_CONTRACT[contract], *_SANITIZERS[sanitizer]]
        self._binary = build(captured.name, unit, flags, sanitizer)
        self._library = None if sanitizer else ctypes.CDLL(str(self._binary))

    def run(
        self, buffers: Sequence[NDArray[Any]], grid: Grid, threadgroup: Grid, *, order: int = FORWARD
    ) -> None:
        """Run once, lanes in `order`; outputs are written in place. Raises KernelError."""
        if self._library is None:
            self._run_program(buffers, grid, threadgroup, order)
            return
        pointers = (ctypes.c_void_p * len(buffers))(*[b.ctypes.data for b in buffers])
        sizes = [(ctypes.c_uint * 3)(*x) for x in (grid, threadgroup)]
        error = ctypes.create_string_buffer(512)
        entry = ctypes.cast(self._library.msl_entry, ctypes.c_void_p)
        options = struct.pack("ixxxxQ", order, 7)
        if self._library.msl_launch(entry, pointers, *sizes, options, error, len(error)):
            raise KernelError(error.value.decode())

    def _run_program(
        self, buffers: Sequence[NDArray[Any]], grid: Grid, threadgroup: Grid, order: int
    ) -> None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(struct.pack("9q", len(buffers), *grid, *threadgroup, order, 7))
            offsets = []
            for b in buffers:
                file.write(struct.pack("q", b.nbytes))
                offsets.append(file.tell())
                file.write(b.tobytes())
            file.flush()
            done = subprocess.run(
                [str(self._binary), file.name], capture_output=True, text=True, env=os.environ | _ENVIRONMENT
            )
            if done.returncode:
                raise KernelError((done.stderr or done.stdout)[:4000])
            for b, offset in zip(buffers, offsets, strict=True):
                if b.flags.writeable:
                    file.seek(offset)
                    b.reshape(-1).view(np.uint8)[:] = np.frombuffer(file.read(b.nbytes), np.uint8)


NUMPY = {mx.bfloat16: np.uint16} | {
    getattr(mx, t.__name__): t
    for t in (np.float32, np.float16, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32)
}


def to_numpy(x: mx.array) -> NDArray[Any]:
    """A read-only copy of x, bfloat16 as its bits; 0-d becomes 1-d."""
    array = np.array(x.view(mx.uint16) if x.dtype == mx.bfloat16 else x)
    array = np.atleast_1d(np.ascontiguousarray(array))
    array.flags.writeable = False
    return array


class _Kernel:
    def __init__(self, make: dict[str, Any], orders: int, sanitizer: str, contract: bool) -> None:
        self._make, self._orders, self._sanitizer, self._contract = make, orders, sanitizer, contract
        self._built: dict[str, HostKernel] = {}

    def __call__(
        self,
        *,
        inputs: Sequence[mx.array],
        grid: Grid,
        threadgroup: Grid,
        output_shapes: Sequence[Shape],
        output_dtypes: Sequence[mx.Dtype],
        template: Sequence[tuple[str, Any]] = (),
    ) -> list[mx.array]:
        call = {"output_shapes": output_shapes, "output_dtypes": output_dtypes, "template": list(template)}
        captured = capture(self._make, inputs, {**call, "grid": grid, "threadgroup": threadgroup})
        if captured.text not in self._built:
            self._built[captured.text] = HostKernel(captured, self._sanitizer, self._contract)
        kernel = self._built[captured.text]
        arrays = dict(zip(self._make["input_names"], map(to_numpy, inputs), strict=True))
        shapes = {f"{n}_shape": np.array(x.shape, np.int32) for n, x in zip(arrays, inputs, strict=True)}
        runs = []
        for order, fill in _RUNS[: self._orders]:
            outputs = {
                n: np.full(int(np.prod(s)) * d.size, fill, np.uint8).view(NUMPY[d]).reshape(s)
                for n, s, d in zip(self._make["output_names"], output_shapes, output_dtypes, strict=True)
            }
            named = arrays | shapes | outputs
            buffers = [named[p.name] for p in kernel.parameters if p.kind == "buffer"]
            kernel.run(buffers, grid, threadgroup, order=order)
            runs.append(outputs)
        for name, first in runs[0].items():
            for other in runs[1:]:
                if first.tobytes() != other[name].tobytes():
                    raise KernelError(
                        f"output {name!r} depends on the order of lanes, or is not written whole"
                    )
        return [
            mx.array(o).view(mx.bfloat16) if d == mx.bfloat16 else mx.array(o)
            for o, d in zip(runs[0].values(), output_dtypes, strict=True)
        ]


def kernel(
    *,
    name: str,
    input_names: Sequence[str],
    output_names: Sequence[str],
    source: str,
    header: str = "",
    orders: int = 3,
    sanitizer: str = "",
    contract: bool = False,
) -> _Kernel:
    """mx.fast.metal_kernel on the CPU. Each call runs in `orders` orders of lanes, with as many fill patterns in the
    outputs, and must give the same bytes. `sanitizer` and `contract` as in HostKernel. Raises KernelError."""
    make = {"name": name, "input_names": list(input_names), "output_names": list(output_names)}
    return _Kernel({**make, "source": source, "header": header}, orders, sanitizer, contract)
