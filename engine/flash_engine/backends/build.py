"""Whether the compiled kernels are those of the sources beside them."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from flash_engine import _native
from flash_engine.errors import DeviceError

BINDINGS = Path(__file__).parents[2] / "native" / "module.cpp"
"""What the compiled module offers to Python; only a checkout has it, a wheel does not."""


def require_current_build(bindings: Path = BINDINGS) -> None:
    """Raise DeviceError if `flash_engine._native` was compiled from other bindings than those of this checkout.

    Called before the first use: calls into an older module would fail with a TypeError that names no remedy.
    """
    if not bindings.is_file():
        return
    built = getattr(_native, "bindings", "")
    if built != sha256(bindings.read_bytes()).hexdigest():
        raise DeviceError(
            f"{_native.__file__} was compiled from other sources than those in {bindings.parent}: "
            "compile it again (pip install -e ., or make demo)"
        )
