"""Text to tokens and back. User text never becomes a control token; control tokens are looked up by name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from flash_engine.constraint import SortedVocabulary
from flash_engine.errors import ModelError

_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\ufffd"

_PROBES = ("s", "e", "l", "1", " ", "\n", "=", "'", "é")
"""One continuation of each kind that a pre-tokenizer's pattern tells apart (s, e, l end the contractions
's, 're, 've and 'll)."""

_TAIL = 24
"""Characters of a text's end that hold_back looks at, at least."""


class Tokenizer:
    """A byte-level BPE tokenizer (the `tokenizers` library) without its control tokens.

    A character that the vocabulary cannot spell (a lone surrogate; in some vocabularies, a few ASCII
    controls) is encoded as U+FFFD rather than dropped, so that text and tokens stay in step.
    """

    def __init__(self, raw: dict[str, Any]) -> None:
        """`raw`: the content of a tokenizer.json."""
        model: dict[str, Any] = raw["model"]
        self._control: dict[str, int] = {token["content"]: token["id"] for token in raw["added_tokens"]}
        self._tokenizer = tokenizers.Tokenizer.from_str(json.dumps({**raw, "added_tokens": []}))
        ids: dict[str, int] = {**model["vocab"], **self._control}
        self.vocab_size = 1 + max(ids.values())
        self._bytes = [b""] * self.vocab_size
        for text, token in model["vocab"].items():
            if text not in self._control:
                self._bytes[token] = text.translate(_BYTE_OF).encode("latin-1")
        self._missing = bytes(set(range(256)) - {data[0] for data in self._bytes if len(data) == 1})

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """Read `folder`/tokenizer.json. Raises ModelError that names the file."""
        path = folder / "tokenizer.json"
        try:
            raw = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise ModelError(
                f"{path} is missing: give a folder that holds a model with its tokenizer"
            ) from None
        except ValueError as error:
            raise ModelError(f"{path} is not valid JSON ({error}): fetch the model again") from None
        kind = (raw.get("model", {}).get("type"), (raw.get("decoder") or {}).get("type"))
        if kind != ("BPE", "ByteLevel"):
            raise ModelError(f"{path}: a {kind[0]} tokenizer is not supported (supported: byte-level BPE)")
        try:
            return cls(raw)
        except Exception as error:  # the library raises bare Exception for whatever it cannot read
            raise ModelError(f"{path} cannot be used ({error}): fetch the model again") from error

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

    def unspellable(self, data: bytes) -> bytes:
        """Those of `data`'s bytes that no token of the vocabulary can spell."""
        return bytes(byte for byte in data if byte in self._missing)

    def hold_back(self, text: str) -> tuple[str, bytes]:
        """Split `text` where its tokens can no longer change: (text to encode, bytes held back).

        For any continuation c, encode(kept) is a prefix of encode(kept + held + c). Held is the text from the
        last boundary of the pre-tokenizer that no continuation can move, and before which the kept text is cut
        alike when it stands alone: a half-typed word with its leading space, trailing whitespace, a run of
        punctuation. Costs O(tail): only the end of the text is read, from a place where a space follows a
        visible character, which is a boundary in every byte-level BPE pattern known.
        """
        start = _word_start(text, len(text) - _TAIL)
        tail = self._spelled(text[start:])
        cuts = [self._boundaries(tail + probe) for probe in _PROBES]
        stable = set.intersection(*cuts)
        first_unstable = min(set.union(*cuts) - stable, default=len(tail) + 1)
        candidates = sorted((cut for cut in stable if cut < first_unstable), reverse=True)
        cut = next(
            cut for cut in candidates if self._boundaries(tail[:cut]) == {c for c in stable if c < cut}
        )
        return text[: start + cut], tail[cut:].encode()

    def _boundaries(self, text: str) -> set[int]:
        """Offsets at which the pre-tokenizer cuts `text`."""
        return {start for _, (start, _) in self._tokenizer.pre_tokenizer.pre_tokenize_str(text)}

    def _spelled(self, text: str) -> str:
        """`text` with each character that has no tokens replaced; the length in characters stays."""
        if not text.isascii():
            text = _SURROGATE.sub(_REPLACEMENT, text)
        data = text.encode()
        if len(data.translate(None, delete=self._missing)) == len(data):
            return text
        return "".join(_REPLACEMENT if self.unspellable(char.encode()) else char for char in text)

    @cached_property
    def _sorted(self) -> SortedVocabulary:
        return SortedVocabulary(self._bytes)


def _word_start(text: str, before: int) -> int:
    """The last place up to offset `before` where a space follows a visible ASCII character; else 0."""
    space = text.rfind(" ", 0, max(before, 0) + 1)
    while space > 0 and not "!" <= text[space - 1] <= "~":
        space = text.rfind(" ", 0, space)
    return max(space, 0)


def _byte_alphabet() -> dict[int, int]:
    """Code point of a vocabulary character -> the byte it stands for (GPT-2's printable byte alphabet)."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in visible]
    return {byte: byte for byte in visible} | {256 + index: byte for index, byte in enumerate(others)}


_BYTE_OF = _byte_alphabet()
