"""Memory-mapped safetensors files.

Format: https://huggingface.co/docs/safetensors (8 bytes of header length, JSON header, data). Not through the
library of that name: its numpy interface copies tensors and knows no bfloat16.
"""

from __future__ import annotations

import json
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash_engine.errors import ModelError
from flash_engine.fields import AGAIN
from flash_engine.matrices import widen

_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "U32": "<u4",
    "I32": "<i4",
    "U8": "u1",
    "I8": "i1",
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor in a file."""

    file: Path
    dtype: str
    """The format's name for it: F16, BF16, U32, ..."""
    shape: tuple[int, ...]
    _stored: NDArray[Any]

    def raw(self, part: int | None = None) -> NDArray[Any]:
        """The tensor, or one of its parts along the first dimension: read-only and memory-mapped. bfloat16 is given as
        uint16, its bits."""
        return self._stored if part is None else self._stored[part]

    def read(self) -> NDArray[Any]:
        """`raw`, bfloat16 widened to float32."""
        return widen(self._stored)


def read_header(path: Path) -> dict[str, Tensor]:
    """Name -> tensor of the safetensors file `path`. Raises ModelError if it is damaged."""
    with path.open("rb") as stream:
        try:
            data = np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
            start = 8 + int.from_bytes(data[:8].tobytes(), "little")
            if start > len(data):
                raise ValueError(f"the header should end at byte {start}, the file at {len(data)}")
            header: dict[str, Any] = json.loads(data[8:start].tobytes())
            header.pop("__metadata__", None)
            return {name: _tensor(path, data[start:], entry) for name, entry in header.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{path} is truncated or not safetensors ({error}): {AGAIN}") from None


def _tensor(path: Path, data: NDArray[np.uint8], entry: dict[str, Any]) -> Tensor:
    first, last = entry["data_offsets"]
    if not 0 <= first <= last <= len(data):
        raise ValueError(f"a tensor should end at byte {last} of the data, which end at {len(data)}")
    shape = tuple(entry["shape"])
    return Tensor(path, entry["dtype"], shape, data[first:last].view(_DTYPES[entry["dtype"]]).reshape(shape))
