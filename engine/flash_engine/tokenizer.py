"""Text to tokens and back. User text never becomes a control token; control tokens are looked up by name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tokenizers
from numpy.typing import NDArray

from flash_engine.byte_level import ByteLevel
from flash_engine.constraint import SortedVocabulary
from flash_engine.errors import ModelError
from flash_engine.formats import base_folder, gguf_file
from flash_engine.formats.gguf_tokenizer import tokenizer_json
from flash_engine.sentencepiece import SentencePiece

_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


class Scheme(Protocol):
    """What a kind of tokenizer does its own way."""

    pipeline: dict[str, Any]
    """The tokenizer.json to encode text with: without control tokens, and without changes to the text."""

    def use(self, tokenizer: tokenizers.Tokenizer) -> None:
        """Be told the pipeline as loaded."""
        ...

    def token_bytes(self, text: str) -> bytes:
        """The bytes that the token called `text` in the vocabulary stands for."""
        ...

    def reserved(self, text: str) -> str:
        """`text` with U+FFFD for characters that the vocabulary uses for something else; the length stays."""
        ...

    def tail(self, text: str) -> int:
        """An offset near the end of `text` where its encoding can certainly be cut; 0 if none is found."""
        ...

    def last_cut(self, text: str) -> int:
        """The last offset at which `text` can be cut so that, whatever follows, each part is encoded on its own."""
        ...


class Tokenizer:
    """A BPE tokenizer (the `tokenizers` library) without its control tokens: byte-level, or SentencePiece's.

    A character that the vocabulary cannot spell (a lone surrogate; in some vocabularies, a few ASCII controls, or
    SentencePiece's sign for a space) is encoded as U+FFFD rather than dropped, so that text and tokens stay in step.
    """

    def __init__(self, raw: dict[str, Any]) -> None:
        """`raw`: the content of a tokenizer.json. Raises ValueError if it is of another kind."""
        model: dict[str, Any] = raw["model"]
        self._scheme = _scheme(raw)
        self._control: dict[str, int] = {token["content"]: token["id"] for token in raw["added_tokens"]}
        self._tokenizer = tokenizers.Tokenizer.from_str(json.dumps(self._scheme.pipeline))
        self._scheme.use(self._tokenizer)
        ids: dict[str, int] = {**model["vocab"], **self._control}
        self.vocab_size = 1 + max(ids.values())
        self._bytes = [b""] * self.vocab_size
        for text, token in model["vocab"].items():
            if text not in self._control:
                self._bytes[token] = self._scheme.token_bytes(text)
        self._missing = bytes(set(range(256)) - {data[0] for data in self._bytes if len(data) == 1})

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """The tokenizer of the model in `folder`: its tokenizer.json, or what its GGUF file holds.

        Raises ModelError that names the file.
        """
        if not (folder / "tokenizer.json").exists():
            folder = base_folder(folder) or folder
        gguf = gguf_file(folder)
        path = folder / "tokenizer.json" if gguf is None else gguf
        try:
            raw = json.loads(path.read_bytes()) if gguf is None else tokenizer_json(gguf)
        except FileNotFoundError:
            raise ModelError(
                f"{path} is missing: give a folder that holds a model with its tokenizer"
            ) from None
        except ValueError as error:
            raise ModelError(f"{path} is not valid JSON ({error}): fetch the model again") from None
        try:
            return cls(raw)
        except _UnknownKindError as error:
            raise ModelError(f"{path}: {error}") from None
        except Exception as error:  # the library raises bare Exception for whatever it cannot read
            raise ModelError(
                f"{path}: the tokenizer cannot be used ({error}): fetch the model again"
            ) from error

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, no BOS or EOS added. A literal control string in it stays text."""
        ids: list[int] = self._tokenizer.encode(self._spelled(text), add_special_tokens=False).ids
        return ids

    def special(self, name: str) -> int | None:
        """Id of the control token `name` (its exact string), or None if the tokenizer has none such."""
        return self._control.get(name)

    def token_bytes(self, token: int) -> bytes:
        """The bytes that `token` stands for; b"" for control tokens and ids without a token."""
        return self._bytes[token] if token < self.vocab_size else b""

    def decode(self, tokens: Iterable[int]) -> bytes:
        """The bytes of `tokens`, which need not be valid UTF-8 where tokens cut a character."""
        return b"".join(map(self.token_bytes, tokens))

    def difference(self, other: Tokenizer) -> str:
        """How the tokens of `other` differ from these, id by id; empty if they do not."""
        if self.vocab_size != other.vocab_size:
            return f"it has {other.vocab_size} tokens, not {self.vocab_size}"
        for token, (mine, its) in enumerate(zip(self._bytes, other._bytes, strict=True)):
            if mine != its:
                return f"its token {token} is {its!r}, not {mine!r}"
        moved = sorted(self._control.items() ^ other._control.items())
        return f"its control token {moved[0][0]} differs" if moved else ""

    def allowed(self, remainder: bytes) -> NDArray[np.int32]:
        """Ids whose bytes extend `remainder` or are a non-empty prefix of it. See SortedVocabulary."""
        return self._sorted.allowed(remainder)

    @lru_cache(maxsize=16)  # noqa: B019 - a tokenizer lives as long as its engine
    def ending(self, stop: frozenset[int], until: bytes) -> NDArray[np.bool_]:
        """[vocab_size]: the tokens at which text ends: control tokens, those in `stop`, those with `until` (unless
        empty) in them."""
        found = self._ending(until).copy()
        found[[token for token in stop if 0 <= token < self.vocab_size]] = True
        return found

    def prepare(self) -> None:
        """Do what the first request would wait for: sort the vocabulary, find the tokens that end a line or a text."""
        self.allowed(b" ")
        for until in (b"", b"\n"):
            self._ending(until)

    @lru_cache(maxsize=16)  # noqa: B019 - a tokenizer lives as long as its engine
    def _ending(self, until: bytes) -> NDArray[np.bool_]:
        found = [not data or bool(until and until in data) for data in self._bytes]
        return np.array(found, np.bool_)

    def unspellable(self, data: bytes) -> bytes:
        """Those of `data`'s bytes that no token of the vocabulary can spell."""
        return bytes(byte for byte in data if byte in self._missing)

    def hold_back(self, text: str) -> tuple[str, bytes]:
        """Split `text` where its tokens can no longer change: (text to encode, bytes held back).

        For any continuation c, encode(kept) is a prefix of encode(kept + held + c). Held is, with most tokenizers, a
        half-typed word with its leading space, trailing whitespace, or a run of punctuation. Costs O(held).
        """
        start = self._scheme.tail(text)
        cut = start + self._scheme.last_cut(self._spelled(text[start:]))
        return text[:cut], self._spelled(text[cut:]).encode()

    def _spelled(self, text: str) -> str:
        """`text` with each character that has no tokens replaced; the length in characters stays."""
        if not text.isascii():
            text = self._scheme.reserved(_SURROGATE.sub(_REPLACEMENT, text))
        data = text.encode()
        if len(data.translate(None, delete=self._missing)) == len(data):
            return text
        return "".join(_REPLACEMENT if self.unspellable(char.encode()) else char for char in text)

    @cached_property
    def _sorted(self) -> SortedVocabulary:
        return SortedVocabulary(self._bytes)


class _UnknownKindError(ValueError):
    """The message says what the tokenizer is."""


def _scheme(raw: dict[str, Any]) -> Scheme:
    model, decoder = raw.get("model", {}), json.dumps(raw.get("decoder") or {})
    if model.get("type") == "BPE" and "ByteLevel" in decoder:
        return ByteLevel(raw)
    if model.get("type") == "BPE" and model.get("byte_fallback"):
        return SentencePiece(raw)
    raise _UnknownKindError(
        f"a {model.get('type')} tokenizer is not supported (supported: byte-level BPE, and SentencePiece's BPE "
        "with byte fallback)"
    )
