"""Memory that is taken and freed while a model is read goes back to the system, not into the allocator's store.

glibc keeps freed blocks of up to 32 MiB for later once it has seen such sizes (mallopt(3), M_MMAP_THRESHOLD): after
hundreds of matrices of a few MiB a tenth of the model's size. Other allocators are left as they are.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""Parameters of mallopt."""

_WHILE_READING = 2 << 20
_AFTERWARDS = 32 << 20
"""What glibc would have arrived at: logits of a pass are a few MiB and must not cost page faults each time."""


@contextmanager
def large_blocks_returned() -> Iterator[None]:
    """Blocks of 2 MiB and more that are taken inside are mapped, and unmapped as they are freed."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        yield
        return
    mallopt(_MMAP_THRESHOLD, _WHILE_READING)
    try:
        yield
    finally:
        mallopt(_MMAP_THRESHOLD, _AFTERWARDS)
        mallopt(_TRIM_THRESHOLD, 2 * _AFTERWARDS)
