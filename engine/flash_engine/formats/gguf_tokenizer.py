"""The tokenizer that a GGUF file holds, as the content of a tokenizer.json.

Patterns by name: src/llama-vocab.cpp of https://github.com/ggml-org/llama.cpp.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flash_engine.errors import ModelError
from flash_engine.fields import AGAIN
from flash_engine.formats.gguf_file import Texts, read_gguf

_NORMAL, _BYTE, _UNUSED = 1, 6, 5
"""Types of tokens; all others (unknown, control, user-defined) never come from text."""

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_WORDS = r"|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_DIGITS_APART = (r"\p{N}", _GPT2)
_LLAMA3 = (_CONTRACTIONS + _WORDS + r"\p{N}{1,3}" + _REST,)
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"

PATTERNS: dict[str, tuple[str, ...]] = {
    "gpt-2": (_GPT2,),
    "mellum": (_GPT2,),
    "starcoder": _DIGITS_APART,
    "refact": _DIGITS_APART,
    "smollm": _DIGITS_APART,
    "codeshell": _DIGITS_APART,
    "mellum2": _DIGITS_APART,
    "qwen2": (_CONTRACTIONS + _WORDS + r"\p{N}" + _REST,),
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "llama-bpe": _LLAMA3,
    "seed-coder": (_CONTRACTIONS + _WORDS + r"\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",),
    "tekken": (
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
        r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
    "deepseek-coder": (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", r"\p{N}"),
    "deepseek-llm": (
        r"[\r\n]",
        r"\s?[\p{Lu}\p{Ll}\p{Lt}]+",
        r"\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
        r"\s+$",
        r"[一-龥ࠀ-一가-퟿]+",
        r"\p{N}+",
    ),
}
"""`tokenizer.ggml.pre` -> the patterns that cut text into words, one after the other."""


def tokenizer_json(path: Path) -> dict[str, Any]:
    """The tokenizer of the GGUF file `path`. Raises ModelError that names the field at fault."""
    metadata = read_gguf(path).metadata
    tokens: Texts = _field(path, metadata, "tokens")
    types: list[int] = metadata.get("tokenizer.ggml.token_type", [_NORMAL] * len(tokens))
    if len(types) != len(tokens):
        raise ModelError(
            f"{path}: field 'tokenizer.ggml.token_type' has {len(types)} entries for {len(tokens)} tokens: {AGAIN}"
        )
    vocabulary, control = {}, []
    for token, (text, kind) in enumerate(zip(tokens, types, strict=True)):
        if kind in (_NORMAL, _BYTE):
            vocabulary[text] = token
        elif kind != _UNUSED:
            control.append({"id": token, "content": text, "special": True})
    match metadata.get("tokenizer.ggml.model"):
        case "gpt2":
            return _byte_level(path, metadata, vocabulary, control)
        case "llama":
            scores: list[float] = _field(path, metadata, "scores")
            merges = merges_by_score({text: scores[token] for text, token in vocabulary.items()})
            return {
                "added_tokens": control,
                "decoder": {"type": "ByteFallback"},
                "model": {"type": "BPE", "byte_fallback": True, "vocab": vocabulary, "merges": merges},
            }
        case other:
            raise ModelError(
                f"{path}: field 'tokenizer.ggml.model' is {other!r}, which is not supported "
                "(supported: 'gpt2', 'llama')"
            )


def _byte_level(
    path: Path, metadata: dict[str, Any], vocabulary: dict[str, int], control: list[dict[str, Any]]
) -> dict[str, Any]:
    name = metadata.get("tokenizer.ggml.pre", "default")
    if name not in PATTERNS:
        raise ModelError(
            f"{path}: field 'tokenizer.ggml.pre' is {name!r}, which is not known (known: {', '.join(PATTERNS)}): "
            "give the model as safetensors with its tokenizer.json"
        )
    splits = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in PATTERNS[name]
    ]
    bytes_only = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    merges = [merge.split(" ") for merge in _field(path, metadata, "merges")]
    model = {"type": "BPE", "vocab": vocabulary, "merges": merges, "ignore_merges": name in _IGNORE_MERGES}
    return {
        "added_tokens": control,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*splits, bytes_only]},
        "decoder": bytes_only,
        "model": model,
    }


_IGNORE_MERGES = {"llama3", "llama-v3", "llama-bpe", "tekken"}
"""Tokenizers that take a word which is a token as it is."""


def merges_by_score(scores: dict[str, float]) -> list[tuple[str, str]]:
    """The merges of a SentencePiece vocabulary: every two pieces that make a third, the likeliest result first."""
    merges = [
        (-score, len(text[:cut]), (text[:cut], text[cut:]))
        for text, score in scores.items()
        for cut in range(1, len(text))
        if text[:cut] in scores and text[cut:] in scores
    ]
    return [pair for _, _, pair in sorted(merges, key=lambda merge: merge[:2])]


def _field(path: Path, metadata: dict[str, Any], name: str) -> Any:
    key = f"tokenizer.ggml.{name}"
    if key not in metadata:
        raise ModelError(f"{path}: field '{key}' is missing: {AGAIN}")
    return metadata[key]
