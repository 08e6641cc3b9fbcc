"""The backends, and which one a device name means."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from flash_engine.backend import Backend
from flash_engine.checkpoint import Checkpoint
from flash_engine.errors import DeviceError

DEVICES = ("auto", "native", "mlx", "reference")


def load(device: str, checkpoint: Checkpoint, *, capacity: int, threads: int | None = None) -> Backend:
    """The backend for `device` with the weights of `checkpoint`; `auto`: Metal, else CUDA, else native.

    Raises DeviceError if this machine or installation does not have it, ModelError for bad weights.
    """
    if device not in DEVICES:
        raise DeviceError(f"no device {device!r}: choose one of {', '.join(DEVICES)}")
    if device == "auto":
        device = "mlx" if _has_gpu() else "native"
    if device == "mlx":
        if find_spec("mlx") is None:
            raise DeviceError("device mlx needs the package mlx: pip install 'flash-lsp[mlx]'")
        from flash_engine.backends.mlx import MlxBackend

        return MlxBackend.load(checkpoint, capacity=capacity, threads=threads)
    if device == "native":
        if find_spec("flash_engine._native") is None:
            raise DeviceError("device native was not built: install a C++ compiler, then reinstall flash-lsp")
        from flash_engine.backends.native import NativeBackend

        return NativeBackend.load(checkpoint, capacity=capacity, threads=threads)
    from flash_engine.backends.reference import ReferenceBackend

    return ReferenceBackend.load(checkpoint, capacity=capacity, threads=threads)


def _has_gpu() -> bool:
    """Whether MLX is installed and has a GPU (Metal or CUDA) to run on."""
    if find_spec("mlx") is None:
        return False
    mx = import_module("mlx.core")
    return bool(mx.metal.is_available() or mx.cuda.is_available())
