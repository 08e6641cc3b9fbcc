"""The container of GGUF: metadata and tensors, memory-mapped.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian. Read here and not
with the package `gguf`, which takes seconds for the arrays of a vocabulary.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash_engine.errors import ModelError
from flash_engine.fields import AGAIN

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_STRING, _ARRAY = 8, 9
_LENGTH = struct.Struct("<Q").unpack_from
_MOST_DIMENSIONS = 4


@dataclass(frozen=True, slots=True)
class BlockType:
    """How a type of tensor packs its values."""

    name: str
    values: int
    """Values of one block."""
    size: int
    """Bytes of one block."""


TYPES = {
    0: BlockType("F32", 1, 4),
    1: BlockType("F16", 1, 2),
    2: BlockType("Q4_0", 32, 18),
    3: BlockType("Q4_1", 32, 20),
    6: BlockType("Q5_0", 32, 22),
    7: BlockType("Q5_1", 32, 24),
    8: BlockType("Q8_0", 32, 34),
    12: BlockType("Q4_K", 256, 144),
    13: BlockType("Q5_K", 256, 176),
    14: BlockType("Q6_K", 256, 210),
    30: BlockType("BF16", 1, 2),
}
_OTHER_TYPES = {10: "Q2_K", 11: "Q3_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S"} | {
    20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """A tensor as stored."""

    type: BlockType
    shape: tuple[int, ...]
    """Outermost dimension first, as in numpy."""
    data: NDArray[np.uint8]
    """[rows, bytes of a row], memory-mapped; the rows of all outer dimensions one after the other."""


@dataclass(frozen=True, slots=True)
class Texts:
    """An array of strings, decoded each time it is iterated over."""

    data: memoryview
    """8 bytes of length and the UTF-8 of each."""
    count: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[str]:
        at = 0
        for _ in range(self.count):
            (size,) = _LENGTH(self.data, at)
            at += 8 + size
            yield str(self.data[at - size : at], "utf-8", "replace")


@dataclass(frozen=True, slots=True)
class GgufFile:
    path: Path
    metadata: dict[str, Any]
    """Numbers, strings, truth values, and lists of them; lists of strings as Texts."""
    tensors: dict[str, GgufTensor]


def read_gguf(path: Path) -> GgufFile:
    """Map a GGUF file. Raises ModelError that names the file, and the tensor where one is cut off or unknown."""
    with path.open("rb") as stream:
        try:
            data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
            return _parse(path, data)
        except (ValueError, struct.error, IndexError, UnicodeDecodeError, OverflowError) as error:
            raise ModelError(f"{path} is cut off or not a GGUF file ({error}): {AGAIN}") from None


class _Cursor:
    """Reads one value after the other."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.at = 0

    def number(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self._data, self.at)
        self.at += struct.calcsize(form)
        return value

    def text(self) -> str:
        size = self.number("<Q")
        end = self.at + size
        if end > len(self._data):
            raise ValueError(f"a string should end at byte {end}, the file at {len(self._data)}")
        value = bytes(self._data[self.at : end]).decode("utf-8", errors="replace")
        self.at = end
        return value

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            element, count = self.number("<I"), self.number("<Q")
            if element in _SCALARS:
                return self._numbers(_SCALARS[element], count)
            if count > len(self._data):
                raise ValueError(f"an array of {count} values is longer than the file")
            return self._texts(count) if element == _STRING else [self.value(element) for _ in range(count)]
        if kind not in _SCALARS:
            raise ValueError(f"metadata of unknown type {kind} before byte {self.at}")
        return self.number(_SCALARS[kind])

    def _texts(self, count: int) -> Texts:
        """Hundreds of thousands of strings, a vocabulary and its merges, are passed over until they are asked for."""
        start, data = self.at, self._data
        for _ in range(count):
            (size,) = _LENGTH(data, self.at)
            self.at += 8 + size
        if self.at > len(data):
            raise ValueError(f"an array of strings should end at byte {self.at}, the file at {len(data)}")
        return Texts(data[start : self.at], count)

    def _numbers(self, form: str, count: int) -> list[Any]:
        size = struct.calcsize(form) * count
        values: list[Any] = np.frombuffer(self._data[self.at : self.at + size], form, count).tolist()
        self.at += size
        return values


def _parse(path: Path, data: memoryview) -> GgufFile:
    cursor = _Cursor(data)
    if bytes(data[:4]) != _MAGIC:
        raise ValueError("it does not start with GGUF")
    cursor.at = 4
    version = cursor.number("<I")
    if version not in _VERSIONS:
        raise ModelError(f"{path} is GGUF of version {version}; versions 2 and 3 are supported: {AGAIN}")
    tensor_count, field_count = cursor.number("<Q"), cursor.number("<Q")
    metadata = {}
    for _ in range(field_count):
        name = cursor.text()
        metadata[name] = cursor.value(cursor.number("<I"))
    entries = [_entry(cursor) for _ in range(tensor_count)]
    alignment = metadata.get("general.alignment", 32)
    start = -(-cursor.at // alignment) * alignment
    tensors = {name: _tensor(path, data, name, start + at, shape, kind) for name, shape, kind, at in entries}
    return GgufFile(path, metadata, tensors)


def _entry(cursor: _Cursor) -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape, type and offset of a tensor."""
    name, dimensions = cursor.text(), cursor.number("<I")
    if dimensions > _MOST_DIMENSIONS:
        raise ValueError(f"tensor {name} has {dimensions} dimensions")
    shape = tuple(cursor.number("<Q") for _ in range(dimensions))[::-1]
    return name, shape, cursor.number("<I"), cursor.number("<Q")


def _tensor(
    path: Path, data: memoryview, name: str, start: int, shape: tuple[int, ...], kind: int
) -> GgufTensor:
    block = TYPES.get(kind)
    if block is None:
        raise ModelError(
            f"{path}: tensor {name} is {_OTHER_TYPES.get(kind, f'of type {kind}')}, which is not supported: "
            f"give a file of {', '.join(known.name for known in TYPES.values())}"
        )
    columns = shape[-1] if shape else 1
    rows = int(np.prod(shape[:-1], dtype=np.int64))
    if columns % block.values:
        raise ValueError(f"the {columns} columns of tensor {name} are no multiple of {block.values}")
    row = columns // block.values * block.size
    end = start + rows * row
    if end > len(data):
        raise ModelError(
            f"{path} is cut off: tensor {name} should end at byte {end}, the file ends at {len(data)}: {AGAIN}"
        )
    return GgufTensor(block, shape, np.frombuffer(data[start:end], np.uint8).reshape(rows, row))
