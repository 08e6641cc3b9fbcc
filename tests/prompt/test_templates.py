"""The table of formats, resolved against tokenizers that have only the control tokens of each family."""

from __future__ import annotations

import pytest

from flash_engine import ModelError, Tokenizer
from flash_lsp.prompt.templates import FAMILIES, FimTemplate, Order, Slot, choose, resolve

PIPED = [
    "<|endoftext|>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|file_sep|>",
    "<|repo_name|>",
]
STAR = ["<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<filename>", "<reponame>"]
STAR_2 = [*STAR[:4], "<file_sep>", "<repo_name>"]
DEEPSEEK = [
    "<｜begin▁of▁sentence｜>",  # noqa: RUF001
    "<｜end▁of▁sentence｜>",  # noqa: RUF001
    "<｜fim▁hole｜>",  # noqa: RUF001
    "<｜fim▁begin｜>",  # noqa: RUF001
    "<｜fim▁end｜>",  # noqa: RUF001
]


class Controls:
    """A tokenizer as far as the table looks at one: the control tokens `names`, ids from 0 on."""

    def __init__(self, *names: str) -> None:
        self._ids = {name: token for token, name in enumerate(names)}

    def special(self, name: str) -> int | None:
        return self._ids.get(name)


@pytest.mark.parametrize(
    ("model", "controls", "family", "order"),
    [
        ("flash-coder", PIPED, "flash-coder", Order.SPM),
        ("flash-coder-draft", PIPED, "flash-coder", Order.SPM),
        ("Qwen2.5-Coder-1.5B-MLX-4bit", PIPED, "qwen-coder", Order.PSM),
        ("deepseek-coder-6.7b-base", DEEPSEEK, "deepseek-coder", Order.PSM),
        ("starcoder2-3b", STAR_2, "starcoder2", Order.PSM),
        ("granite-3b-code-base", STAR, "starcoder", Order.PSM),
        ("Mellum-4b-base", STAR, "mellum", Order.SPM),
        ("Codestral-22B-v0.1", ["<s>", "</s>", "[SUFFIX]", "[PREFIX]"], "codestral", Order.SPM),
        ("CodeLlama-7b-hf", ["<s>", "</s>", "▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"], "codellama", Order.PSM),
        ("codegemma-2b", ["<bos>", *PIPED[:4], "<|file_separator|>"], "codegemma", Order.PSM),
        (
            "Seed-Coder-8B-Base",
            ["<[begin▁of▁sentence]>", "<[fim-suffix]>", "<[fim-prefix]>", "<[fim-middle]>"],
            "seed-coder",
            Order.SPM,
        ),
    ],
)
def test_a_known_name_with_its_tokens_needs_no_warning(
    model: str, controls: list[str], family: str, order: Order
) -> None:
    template = choose(model, Controls(*controls))
    assert (template.family, template.order, template.warning) == (family, order, None)


@pytest.mark.parametrize(
    ("controls", "family"),
    [(PIPED, "qwen-coder"), (STAR_2, "starcoder2"), (STAR, "starcoder"), (DEEPSEEK, "deepseek-coder")],
)
def test_tokens_alone_decide_with_a_warning(controls: list[str], family: str) -> None:
    template = choose("my-model", Controls(*controls))
    assert template.family == family
    assert template.warning == (
        f"my-model: not a known name; its control tokens are {family}'s, so prompts follow {family}: the setting "
        "template names another format"
    )


@pytest.mark.parametrize(
    ("model", "controls"),
    [
        ("my-model", []),
        ("flash-coder", []),
        ("SmolLM2-135M", STAR_2),
        ("Mistral-Nemo", ["<s>", "</s>", "[SUFFIX]", "[PREFIX]"]),
    ],
)
def test_without_a_format_the_prefix_alone_is_used_with_a_warning(model: str, controls: list[str]) -> None:
    template = choose(model, Controls(*controls))
    assert (template.infill, template.order) == ((Slot.PREFIX,), Order.PLAIN)
    assert "no fill-in-the-middle format" in (template.warning or "")


def test_the_user_s_choice_wins() -> None:
    assert choose("flash-coder", Controls(*PIPED), "qwen-coder").order is Order.PSM
    assert choose("my-model", Controls(), "plain").warning is None
    with pytest.raises(ModelError, match=r"no prompt template 'x': give one of flash-coder, "):
        choose("flash-coder", Controls(*PIPED), "x")
    with pytest.raises(ModelError, match=r"needs the control token <filename>"):
        choose("flash-coder", Controls(*PIPED), "mellum")


def test_flash_coder_is_the_card_s_form(tokenizer: Tokenizer) -> None:
    assert resolve("flash-coder", tokenizer) == FimTemplate(
        family="flash-coder",
        start=(),
        repository=(3, Slot.NAME, "\n"),
        file=(5, Slot.PATH, "\n"),
        infill=(7, 9, Slot.SUFFIX, 8, Slot.PREFIX),
        stop=frozenset({0, 3, 5, 7, 8, 9, 10}),
    )


def test_every_family_has_a_prefix_and_stops_at_its_own_controls() -> None:
    names = {name for entry in FAMILIES.values() for name in entry.stop} | {
        *PIPED, *STAR, *STAR_2, *DEEPSEEK, "<s>", "<bos>", "▁<PRE>", "▁<SUF>", "▁<MID>", "[SUFFIX]", "[PREFIX]",
        "<[begin▁of▁sentence]>", "<[fim-suffix]>", "<[fim-prefix]>", "<[fim-middle]>",
    }  # fmt: skip
    everything = Controls(*sorted(names))
    for family, entry in FAMILIES.items():
        template = resolve(family, everything)
        assert Slot.PREFIX in template.infill
        assert {piece for piece in template.infill if isinstance(piece, int)} <= template.stop
        assert {everything.special(name) for name in entry.stop} <= template.stop
        literal = "".join(piece for piece in (*template.infill, *template.file) if isinstance(piece, str))
        assert "<" not in literal
        assert "[" not in literal
