"""CUDA texts as kernels of MLX: compiled by NVRTC, kept on disk, loaded by name.

MLX hashes what it is given as a kernel at every launch, text or machine code: 0.3 us a KiB, more than a launch
costs. It looks for a module of that name in its folder of compiled kernels first, though. So the machine code is put
there, under the name that MLX gives to an empty text, and a launch passes the empty text. Where that fails (another
release of MLX), the machine code itself is passed.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path

import mlx.core as mx

from flash_metal.places import cache_folder

_EMPTY_HASH_SEED, _MULTIPLIER, _WORD = 0xC70F6907, 0xC6A4A7935BD1E995, (1 << 64) - 1
_OPTIONS = (b"--std=c++17", b"--fmad=false", b"-default-device")
"""Products are contracted into sums where the text says so, and so in every variant alike; lambdas that take anything
are for the GPU, which cannot be said of them."""
_SM_COUNT, _SHARED_BYTES = (
    16,
    97,
)  # CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, _MAX_SHARED_MEMORY_PER_BLOCK_OPTIN


def compiled_kernels() -> Path:
    """Where MLX looks for compiled kernels: MLX_PTX_CACHE_DIR, set to the user's cache folder if it is not.

    Call it before MLX's first kernel: MLX reads the variable once.
    """
    if "MLX_PTX_CACHE_DIR" not in os.environ:
        os.environ["MLX_PTX_CACHE_DIR"] = str(cache_folder() / "cuda" / version("mlx"))
    folder = Path(os.environ["MLX_PTX_CACHE_DIR"])
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@cache
def attribute(number: int) -> int:
    """An attribute of the first GPU (CUdevice_attribute). Raises RuntimeError."""
    driver = ctypes.CDLL("libcuda.so.1")
    value, device = ctypes.c_int(), ctypes.c_int()
    failed = driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0)
    if failed or driver.cuDeviceGetAttribute(ctypes.byref(value), number, device):
        raise RuntimeError("the CUDA driver does not answer: check nvidia-smi")
    return value.value


def multiprocessors() -> int:
    """Of the first GPU."""
    return attribute(_SM_COUNT)


def shared_bytes() -> int:
    """Shared memory that a block may ask for."""
    return attribute(_SHARED_BYTES)


@cache
def architecture() -> str:
    """Of the first GPU, as NVRTC names it: sm_90."""
    info = mx.device_info(mx.gpu)
    return f"sm_{info['compute_capability_major']}{info['compute_capability_minor']}"


@cache
def _nvrtc() -> ctypes.CDLL:
    """The NVRTC that MLX uses. Raises RuntimeError if there is none."""
    names = ["libnvrtc.so.13", "libnvrtc.so.12"]
    for entry in sys.path:
        names += map(str, Path(entry).glob("nvidia/*/lib/libnvrtc.so.1?"))
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise RuntimeError("NVRTC (libnvrtc.so) was not found: reinstall mlx with its CUDA packages")


def compile_text(text: str, target: str) -> bytes:
    """Machine code of `text` for the architecture `target`. Raises RuntimeError with the compiler's log."""
    nvrtc = _nvrtc()
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None)
    options = [b"--gpu-architecture=" + target.encode(), *_OPTIONS]
    failed = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    read = (
        ("nvrtcGetProgramLogSize", "nvrtcGetProgramLog") if failed else ("nvrtcGetCUBINSize", "nvrtcGetCUBIN")
    )
    getattr(nvrtc, read[0])(program, ctypes.byref(size))
    result = ctypes.create_string_buffer(size.value)
    getattr(nvrtc, read[1])(program, result)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    if failed:
        raise RuntimeError(f"NVRTC: {result.value.decode(errors='replace')}")
    return result.raw


def _empty_hash() -> int:
    """std::hash of an empty string in libstdc++ (libsupc++/hash_bytes.cc: MurmurHash 2, 64 bits)."""
    mixed = (_EMPTY_HASH_SEED ^ _EMPTY_HASH_SEED >> 47) * _MULTIPLIER & _WORD
    return mixed ^ mixed >> 47


class Module:
    """The kernel `function` of a CUDA text, compiled when it is first asked for, and once on a machine."""

    def __init__(self, function: str, text: str) -> None:
        digest = hashlib.sha256(f"{architecture()} {_OPTIONS} {text}".encode()).hexdigest()[:16]
        self.function, self.text = function, text
        self._name = f"{function}_{digest}"
        self._kept = compiled_kernels() / f"{self._name}_{_empty_hash():x}.ptx"
        self._lock = threading.Lock()

    def compile(self) -> None:
        """Have its machine code on disk. Raises RuntimeError with the compiler's log."""
        with self._lock:
            if not self._kept.exists():
                code = compile_text(self.text, architecture())
                _write(self._kept.with_suffix(".txt"), f"{self._name}\t{self.function}\n".encode())
                _write(self._kept, code)

    def image(self) -> bytes:
        """The machine code, in which the kernel has the name `function`."""
        self.compile()
        return self._kept.read_bytes()

    @cached_property
    def for_mlx(self) -> tuple[str, bytes]:
        """The name and the machine code to hand to MLX: none, where it finds the name by itself."""
        self.compile()
        return (self._name, b"") if _finds_modules() else (self.function, self.image())


def compile_all(modules: Iterable[Module]) -> None:
    """Compile what is not on disk, as many at a time as there are processors. Raises RuntimeError with the log."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(Module.compile, modules))


def _write(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    Path(file.name).replace(path)


@cache
def _finds_modules() -> bool:
    """Whether this MLX finds a module of its folder by the name of an empty text."""
    text = 'extern "C" __global__ void flash_probe(int* y) { y[0] = 7; }'
    name, folder = "flash_probe", compiled_kernels()
    kept = folder / f"{name}_{_empty_hash():x}.ptx"
    if not kept.exists():
        code = compile_text(text, architecture())
        _write(kept.with_suffix(".txt"), f"{name}\t{name}\n".encode())
        _write(kept, code)
    try:
        (y,) = mx.fast.precompiled_cuda_kernel(
            name=name,
            compiled_source=b"",
            inputs=[],
            output_shapes=[(1,)],
            output_dtypes=[mx.int32],
            scalars=[],
            grid=(1, 1, 1),
            threadgroup=(1, 1, 1),
            stream=mx.gpu,
        )
        return bool((y == 7).item())
    except RuntimeError:
        return False
