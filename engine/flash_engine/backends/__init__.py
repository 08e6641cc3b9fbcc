"""The backends, and which one a device name means."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

from flash_engine.allocation import large_blocks_returned
from flash_engine.backend import Backend
from flash_engine.backends.metal import set_buffer_limits
from flash_engine.checkpoint import Checkpoint
from flash_engine.errors import DeviceError

DEVICES = ("auto", "native", "mlx", "reference")


def resolve(device: str) -> str:
    """The device that `device` means here: `auto` is mlx if MLX has a GPU (Metal or CUDA), else native.

    Raises DeviceError if there is no such device, or this installation lacks what it needs.
    """
    if device not in DEVICES:
        raise DeviceError(f"no device {device!r}: choose one of {', '.join(DEVICES)}")
    set_buffer_limits()
    if device == "auto":
        device = "mlx" if _has_gpu() else "native"
    if device == "mlx" and not _has_mlx():
        raise DeviceError("device mlx needs the package mlx: pip install 'flash-lsp[mlx]'")
    if device == "native" and find_spec("flash_engine._native") is None:
        raise DeviceError("device native was not built: install a C++ compiler, then reinstall flash-lsp")
    return device


def load(
    device: str,
    checkpoint: Checkpoint,
    *,
    capacity: int,
    threads: int | None = None,
    report: Callable[[str, float], None] = lambda stage, done: None,
) -> Backend:
    """The backend for `device` with the weights of `checkpoint`. `report` is called as long work begins, with the
    share done before.

    Raises DeviceError, ModelError (bad weights).
    """
    device = resolve(device)
    with large_blocks_returned():
        match device:
            case "mlx":
                return _mlx(checkpoint, capacity, report)
            case "native":
                from flash_engine.backends.native import NativeBackend

                return NativeBackend.load(checkpoint, capacity=capacity, threads=threads)
            case _:
                from flash_engine.backends.reference import ReferenceBackend

                return ReferenceBackend.load(checkpoint, capacity=capacity, threads=threads)


def _mlx(checkpoint: Checkpoint, capacity: int, report: Callable[[str, float], None]) -> Backend:
    """Fused launches where the GPU passed their self-test and they can compute the model; else plain operations,
    whose name then says why."""
    from flash_engine.backends.mlx import MlxBackend

    if not _has_gpu():
        return MlxBackend.load(checkpoint, capacity=capacity)
    from flash_engine.backends import fused_model
    from flash_engine.backends.fused import FusedBackend

    reason = fused_model.obstacle(checkpoint) or fused_model.fault(
        fused_model.choose_tiling(checkpoint), report
    )
    if reason:
        return MlxBackend.load(checkpoint, capacity=capacity, note=f"not fused: {reason}")
    return FusedBackend.load(checkpoint, capacity=capacity, report=report)


def _has_mlx() -> bool:
    """Whether the package is there, and not just some folder of that name on the path."""
    return find_spec("mlx") is not None and find_spec("mlx.core") is not None


def _has_gpu() -> bool:
    if not _has_mlx():
        return False
    mx = import_module("mlx.core")
    return bool(mx.metal.is_available() or mx.cuda.is_available())
