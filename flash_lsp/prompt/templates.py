"""The one table of fill-in-the-middle formats, and its resolution to the token ids of a loaded tokenizer.

The order of prefix and suffix is a property of a model, stated on its card: flash-coder and Qwen2.5-Coder
have the same control tokens, yet one is trained suffix-first (SPM) and the other prefix-first (PSM; Bavarian
et al., "Efficient training of language models to fill in the middle", 2022). So the model's name decides; the
control tokens alone decide only for a model of unknown name, and then with a warning.
"""

# ruff: noqa: RUF001  (DeepSeek spells its control tokens with fullwidth bars)

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from flash_engine.errors import ModelError

PLAIN = "plain"


class ControlTokens(Protocol):
    """What the table needs of a tokenizer."""

    def special(self, name: str) -> int | None:
        """Id of the control token with this exact string, None if there is none."""
        ...


class Slot(Enum):
    """A place in a format that text goes into."""

    NAME = "{name}"
    PATH = "{path}"
    PREFIX = "{prefix}"
    SUFFIX = "{suffix}"


class Order(Enum):
    PSM = "prefix, suffix, middle"
    SPM = "suffix, prefix, middle"
    PLAIN = "prefix only"


@dataclass(frozen=True, slots=True)
class Family:
    """One line of the table: the formats as a model's card spells them.

    In a format `{slot}` is text; `<...>`, `▁<...>` and `[...]` are control strings; the rest is literal text.
    """

    names: tuple[str, ...]
    """Fragments of a model's name, lower case; the first family in the table with one that fits is taken."""
    infill: str
    file: str = ""
    repository: str = ""
    start: str = ""
    stop: tuple[str, ...] = ()
    """Control strings that end a middle, besides those of the formats."""
    by_tokens: bool = True
    """Whether a model of unknown name with this family's control tokens is taken for one of its members."""


_FIM = "<fim_prefix>{prefix}<fim_suffix>{suffix}<fim_middle>"
_PIPED_FIM = "<|fim_prefix|>{prefix}<|fim_suffix|>{suffix}<|fim_middle|>"

FAMILIES: dict[str, Family] = {
    "flash-coder": Family(
        names=("flash-coder",),
        infill="<|fim_prefix|><|fim_suffix|>{suffix}<|fim_middle|>{prefix}",
        file="<|file_sep|>{path}\n",
        repository="<|repo_name|>{name}\n",
        stop=("<|endoftext|>", "<|fim_pad|>"),
        by_tokens=False,
    ),
    "qwen-coder": Family(
        names=("qwen2.5-coder", "qwen3"),
        infill=_PIPED_FIM,
        file="<|file_sep|>{path}\n",
        repository="<|repo_name|>{name}\n",
        stop=("<|endoftext|>", "<|fim_pad|>", "<|im_end|>"),
    ),
    "deepseek-coder": Family(
        names=("deepseek-coder",),
        infill="<｜fim▁begin｜>{prefix}<｜fim▁hole｜>{suffix}<｜fim▁end｜>",
        file="#{path}\n",
        start="<｜begin▁of▁sentence｜>",
        stop=("<｜end▁of▁sentence｜>", "<|EOT|>"),
    ),
    "codellama": Family(
        names=("codellama", "code-llama"),
        infill="▁<PRE>{prefix}▁<SUF>{suffix}▁<MID>",
        start="<s>",
        stop=("▁<EOT>", "</s>"),
    ),
    "codestral": Family(
        names=("codestral",),
        infill="[SUFFIX]{suffix}[PREFIX]{prefix}",
        file="+++++ {path}\n",
        start="<s>",
        stop=("</s>",),
        by_tokens=False,
    ),
    "mellum": Family(
        names=("mellum",),
        infill="<fim_suffix>{suffix}<fim_prefix>{prefix}<fim_middle>",
        file="<filename>{path}\n",
        stop=("<|endoftext|>", "<fim_pad>"),
        by_tokens=False,
    ),
    "seed-coder": Family(
        names=("seed-coder",),
        infill="<[fim-suffix]>{suffix}<[fim-prefix]>{prefix}<[fim-middle]>",
        start="<[begin▁of▁sentence]>",
        stop=("<[end▁of▁sentence]>",),
    ),
    "codegemma": Family(
        names=("codegemma",),
        infill=_PIPED_FIM,
        start="<bos>",
        stop=("<|file_separator|>", "<eos>"),
    ),
    "starcoder2": Family(
        names=("starcoder2",),
        infill=_FIM,
        file="<file_sep>{path}\n",
        repository="<repo_name>{name}\n",
        stop=("<|endoftext|>", "<fim_pad>"),
    ),
    "starcoder": Family(
        names=("starcoder", "granite"),
        infill=_FIM,
        file="<filename>{path}\n",
        repository="<reponame>{name}\n",
        stop=("<|endoftext|>", "<fim_pad>"),
    ),
    PLAIN: Family(names=("smollm", "llama-3"), infill="{prefix}", by_tokens=False),
}

_PLAIN_WARNING = (
    "no fill-in-the-middle format is known for this model, so only the text before the cursor is used: "
    "if it was trained to fill in, name its format by the setting template"
)

Piece = int | str | Slot
"""A control token's id, literal text, or a place for text."""


@dataclass(frozen=True, slots=True)
class FimTemplate:
    """A family's formats with their control strings resolved to one tokenizer's ids."""

    family: str
    start: tuple[Piece, ...]
    repository: tuple[Piece, ...]
    file: tuple[Piece, ...]
    infill: tuple[Piece, ...]
    stop: frozenset[int]
    warning: str | None = None
    """For the user: why this template may not be what the model was trained on."""

    @property
    def order(self) -> Order:
        if Slot.SUFFIX not in self.infill:
            return Order.PLAIN
        suffix_first = self.infill.index(Slot.SUFFIX) < self.infill.index(Slot.PREFIX)
        return Order.SPM if suffix_first else Order.PSM


def choose(model: str, tokenizer: ControlTokens, family: str | None = None) -> FimTemplate:
    """The template of the model called `model` (a bundled name or a folder's); of `family` if one is given.

    Raises ModelError if `family` is not in the table, or needs control tokens that the tokenizer lacks.
    """
    if family is not None:
        if family not in FAMILIES:
            raise ModelError(f"no prompt template {family!r}: give one of {', '.join(FAMILIES)}")
        return replace(resolve(family, tokenizer), warning=None)
    fitting = [key for key, entry in FAMILIES.items() if not _missing(entry, tokenizer)]
    for key in fitting:
        if any(name in model.lower() for name in FAMILIES[key].names):
            return resolve(key, tokenizer)
    for key in fitting:
        if FAMILIES[key].by_tokens:
            warning = (
                f"{model}: not a known name; its control tokens are {key}'s, so prompts follow {key}: the setting "
                "template names another format"
            )
            return replace(resolve(key, tokenizer), warning=warning)
    return resolve(PLAIN, tokenizer)


def resolve(family: str, tokenizer: ControlTokens) -> FimTemplate:
    """The template of `family`. Raises ModelError that names a control token the tokenizer lacks."""
    entry = FAMILIES[family]
    if missing := _missing(entry, tokenizer):
        raise ModelError(
            f"prompt template {family!r} needs the control token {missing[0]}, which tokenizer.json"
            " lacks: choose another template"
        )
    stops = (tokenizer.special(name) for name in (*entry.stop, *_controls(entry)))
    return FimTemplate(
        family=family,
        start=_pieces(entry.start, tokenizer),
        repository=_pieces(entry.repository, tokenizer),
        file=_pieces(entry.file, tokenizer),
        infill=_pieces(entry.infill, tokenizer),
        stop=frozenset(token for token in stops if token is not None),
        warning=_PLAIN_WARNING if family == PLAIN else None,
    )


_CONTROL = re.compile(r"(▁?<[^<>]+>|\[[A-Z]+\])")
_SLOT = re.compile(r"(\{\w+\})")


def _controls(entry: Family) -> list[str]:
    return _CONTROL.findall(entry.start + entry.repository + entry.file + entry.infill)


def _missing(entry: Family, tokenizer: ControlTokens) -> list[str]:
    return [name for name in _controls(entry) if tokenizer.special(name) is None]


def _pieces(text: str, tokenizer: ControlTokens) -> tuple[Piece, ...]:
    def piece(part: str) -> Piece:
        if _SLOT.fullmatch(part):
            return Slot(part)
        token = tokenizer.special(part)
        return part if token is None else token

    parts = (part for chunk in _SLOT.split(text) for part in _CONTROL.split(chunk))
    return tuple(piece(part) for part in parts if part)
