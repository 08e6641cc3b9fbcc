"""KV caches on disk: a document that was open before needs no prefill of what is still the same.

One file an entry: MAGIC, the SHA-256 of all that follows, the length of a JSON header (4 bytes, little-endian), the
header (key, number of tokens), the tokens (int32), the cache's content. A file that is not exactly that is deleted,
never used. An entry holds the tokens of the user's text: the folder and its files are the user's alone (0700, 0600).
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from flash_engine.common import common_tokens
from flash_engine.formats import base_folder

MAGIC = b"flashkv1"
SUFFIX = ".kv"
SMALLEST = 64
"""Fewer tokens are computed sooner than read."""

_DIGEST = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the store."""

    path: Path
    key: str
    tokens: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.path.stat().st_size


class KVStore:
    """KV caches of one user in `folder`, at most `cap` bytes of them: the least recently used go first."""

    def __init__(self, folder: Path, cap: int) -> None:
        self.folder = folder
        self.cap = cap

    def put(self, key: str, tokens: Sequence[int], data: bytes) -> Path | None:
        """Keep the cache content `data` of `tokens` under `key` (model, device, template: `store_key`).

        None if there is too little or too much to keep. An entry whose tokens begin these is replaced.
        """
        header = json.dumps({"key": key, "tokens": len(tokens)}).encode()
        body = struct.pack("<I", len(header)) + header + np.asarray(tokens, "<i4").tobytes() + data
        if len(tokens) < SMALLEST or len(body) > self.cap:
            return None
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for entry in self.entries():
            if entry.key == key and entry.tokens == tuple(tokens[: len(entry.tokens)]):
                entry.path.unlink(missing_ok=True)
        digest = hashlib.sha256(body).digest()
        path = self.folder / f"{digest.hex()[:32]}{SUFFIX}"
        partial = path.with_suffix(f".{os.getpid()}.partial")
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(MAGIC + digest + body)
        partial.replace(path)
        self._evict()
        return path

    def find(self, key: str, tokens: Sequence[int]) -> tuple[list[int], bytes] | None:
        """The entry of `key` that has the longest beginning in common with `tokens`: (its tokens, its cache content).

        None if none has SMALLEST tokens in common. A damaged entry is deleted.
        """
        candidates = [
            (common_tokens(entry.tokens, tokens), entry) for entry in self.entries() if entry.key == key
        ]
        for common, entry in sorted(candidates, key=lambda each: -each[0]):
            if common < SMALLEST:
                return None
            content = self._read(entry)
            if content is not None:
                os.utime(entry.path)
                return list(entry.tokens), content
        return None

    def entries(self) -> list[Entry]:
        """All entries, the least recently used first; what is no entry is deleted."""
        found = []
        for path in sorted(self.folder.glob(f"*{SUFFIX}"), key=_used):
            entry = _head(path)
            if entry is None:
                path.unlink(missing_ok=True)
            else:
                found.append(entry)
        return found

    def clear(self) -> int:
        """Delete everything; returns how many files that were."""
        files = [*self.folder.glob(f"*{SUFFIX}"), *self.folder.glob("*.partial")]
        for path in files:
            path.unlink(missing_ok=True)
        return len(files)

    def _read(self, entry: Entry) -> bytes | None:
        """The cache content, or None, and the file deleted, if its sum is wrong."""
        try:
            raw = entry.path.read_bytes()
        except OSError:
            return None
        digest, body = raw[len(MAGIC) : len(MAGIC) + _DIGEST], raw[len(MAGIC) + _DIGEST :]
        if hashlib.sha256(body).digest() != digest:
            entry.path.unlink(missing_ok=True)
            return None
        (size,) = struct.unpack("<I", body[:4])
        return body[4 + size + 4 * len(entry.tokens) :]

    def _evict(self) -> None:
        entries = self.entries()
        total = sum(entry.size for entry in entries)
        for entry in entries:
            if total <= self.cap:
                return
            total -= entry.size
            entry.path.unlink(missing_ok=True)


def store_key(folder: Path, bits: int | None, device: str, template: str) -> str:
    """What a cache can be used with: the files of the model and its base (by size and time of change), the bits that
    16-bit weights got as they were read (None: as stored), the device, the template, the program's version."""
    parts = [str(bits), device, template, version("flash-lsp")]
    for place in filter(None, (folder, base_folder(folder))):
        for file in [place] if place.is_file() else sorted(place.iterdir()):
            if file.is_file() and not file.name.startswith("."):
                status = file.stat()
                parts.append(f"{file.name} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _head(path: Path) -> Entry | None:
    """What a file says of itself; None if it is no entry. Its sum is checked when it is used."""
    try:
        with path.open("rb") as stream:
            if stream.read(len(MAGIC)) != MAGIC:
                return None
            stream.read(_DIGEST)
            (size,) = struct.unpack("<I", stream.read(4))
            if size > 10_000:
                return None
            header = json.loads(stream.read(size))
            count, key = int(header["tokens"]), str(header["key"])
            tokens = np.frombuffer(stream.read(4 * count), "<i4")
            return Entry(path, key, tuple(tokens.tolist())) if len(tokens) == count else None
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return None


def _used(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
