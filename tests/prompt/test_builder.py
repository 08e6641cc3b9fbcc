"""Prompts: the card's form, what stays put while typing, and how little a keystroke adds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise, takewhile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flash_lsp
from flash_engine import Tokenizer
from flash_lsp.prompt.builder import Prompt, build
from flash_lsp.prompt.encoder import BlockEncoder
from flash_lsp.prompt.templates import FimTemplate, resolve
from flash_lsp.prompt.window import PromptState, below_cursor

SOURCE = Path(flash_lsp.__file__).with_name("text.py").read_text(encoding="utf-8")
CONTROL = "<|fim_middle|>"


@pytest.fixture(scope="module")
def spm(tokenizer: Tokenizer) -> FimTemplate:
    return resolve("flash-coder", tokenizer)


@pytest.fixture(scope="module")
def psm(tokenizer: Tokenizer) -> FimTemplate:
    return resolve("qwen-coder", tokenizer)


def spell(tokenizer: Tokenizer, prompt: Prompt) -> str:
    """The prompt as text, control tokens as <id>."""
    parts = [tokenizer.token_bytes(token) or f"<{token}>".encode() for token in [*prompt.tokens]]
    return b"".join([*parts, prompt.held]).decode()


def test_spm_is_the_card_s_form_with_nothing_lost(tokenizer: Tokenizer, spm: FimTemplate) -> None:
    prompt = build(spm, tokenizer, "src/a.py", "def f(x):\n    ret", "\n\nprint(f(1))\n", budget=500)
    assert spell(tokenizer, prompt) == "<5>src/a.py\n<7><9>\n\nprint(f(1))\n<8>def f(x):\n    ret"
    assert prompt.held == b" ret"


def test_the_repository_header(tokenizer: Tokenizer, psm: FimTemplate) -> None:
    prompt = build(psm, tokenizer, "a.py", "x = ", "\ny", budget=500, repository="demo")
    assert spell(tokenizer, prompt) == "<3>demo\n<5>a.py\n<7><9>\ny<8>x = "


@pytest.mark.parametrize("state", [None, PromptState()])
def test_psm_splits_at_a_line_start_and_forces_the_rest_after_the_middle_token(
    tokenizer: Tokenizer, psm: FimTemplate, state: PromptState | None
) -> None:
    prompt = build(psm, tokenizer, "a.py", "a = 1\nb = f", "\nc", budget=500, state=state)
    assert spell(tokenizer, prompt) == "<5>a.py\n<7>a = 1\n<9>\nc<8>b = f"


@pytest.mark.parametrize("state", [None, PromptState()])
def test_control_strings_in_a_file_stay_text(
    tokenizer: Tokenizer, spm: FimTemplate, state: PromptState | None
) -> None:
    prompt = build(
        spm, tokenizer, CONTROL, f"a = '{CONTROL}'\nb", f"\nc = '{CONTROL}'\n", budget=500, state=state
    )
    assert [token for token in prompt.tokens if not tokenizer.token_bytes(token)] == [5, 7, 9, 8]
    assert spell(tokenizer, prompt).count(CONTROL) == 3


def test_text_over_the_budget_loses_its_beginning(tokenizer: Tokenizer, spm: FimTemplate) -> None:
    prompt = build(spm, tokenizer, "a.py", SOURCE, SOURCE, budget=300)
    assert 150 < len(prompt.tokens) <= 300
    text = spell(tokenizer, prompt)
    assert SOURCE.endswith(text.split("<8>")[1])
    assert SOURCE.startswith(text.split("<9>")[1].split("<8>")[0])


@pytest.mark.parametrize("text", ["0," * 4000, "中文" * 3000, "\n" * 5000, " " * 5000, "x" * 9000])
def test_odd_texts_keep_to_the_budget(tokenizer: Tokenizer, spm: FimTemplate, text: str) -> None:
    prompt = build(spm, BlockEncoder(tokenizer), "a.py", text, text, budget=400, state=PromptState())
    assert len(prompt.tokens) <= 400


fragments = st.sampled_from(
    [
        "foo",
        "bar",
        " ",
        "    ",
        "\n",
        "\n\n",
        "\r\n",
        "\t",
        "(",
        ")):",
        "==",
        "'s",
        "12",
        "é",
        "中",
        "😀",
        "\ud800",
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(fragments, max_size=400).map("".join))
def test_blocks_give_the_tokenizer_s_own_tokens(tokenizer: Tokenizer, text: str) -> None:
    encoder = BlockEncoder(tokenizer)
    encoder.BLOCK = 16
    assert encoder.encode(text) == tokenizer.encode(text) == encoder.encode(text)


def test_blocks_of_real_code(tokenizer: Tokenizer) -> None:
    assert BlockEncoder(tokenizer).encode(SOURCE) == tokenizer.encode(SOURCE)


@pytest.mark.parametrize(
    ("suffix", "window"),
    [
        ("\nabc\n", "\nabc\n"),
        (")]\nabc\n", "\nabc\n"),
        ("  \r\nabc", "\nabc"),
        ("x)\nabc", "x)\nabc"),
        ("\nabc\ndefghi\nxyz", "\nabc\n"),
        (");", ""),
        ("", ""),
    ],
)
def test_the_suffix_window(suffix: str, window: str) -> None:
    assert below_cursor(suffix, 9) == window


def test_the_suffix_is_frozen_while_it_changes_little() -> None:
    state = PromptState()
    below = "\n" + "".join(f"line {number}\n" for number in range(20))
    assert state.freeze(below, 500) == below
    assert state.freeze(below.replace("line 7\n", "line seven\n"), 500) == below
    changed_first = below.replace("line 0\n", "line zero\n")
    assert state.freeze(changed_first, 500) == changed_first
    changed_much = changed_first.replace("line 1", "line x")
    assert state.freeze(changed_much, 500) == changed_much


def type_through(text: str, start: int, seed: int) -> Iterator[tuple[str, str]]:
    """(prefix, suffix) after each key of typing `text` from `start` on: characters, mistakes taken back,
    accepted suggestions; auto-closed brackets come and go right of the cursor."""
    rng = random.Random(seed)
    below = "\n" + "".join(f"after_{number} = {number}\n" for number in range(30))
    at = start
    while at < len(text):
        event = rng.random()
        if event < 0.05:
            for wrong in ("q", "qz", "q"):
                yield text[:at] + wrong, below
        elif event < 0.08:
            at = text.find("\n", at + 1) if text.find("\n", at + 1) > 0 else len(text)
        else:
            at += 1
        yield text[:at], ")" + below if text[at - 1] == "(" else below


@pytest.mark.parametrize("family", ["flash-coder", "qwen-coder"])
def test_a_keystroke_only_appends(tokenizer: Tokenizer, family: str) -> None:
    """Every prompt extends the one before or is a beginning of it, but where the window or the anchor moves."""
    template = resolve(family, tokenizer)
    encoder, state = BlockEncoder(tokenizer), PromptState()
    budget = 500
    prompts = [
        build(template, encoder, "text.py", prefix, suffix, budget=budget, state=state)
        for prefix, suffix in type_through(SOURCE[:6000], 300, seed=3)
    ]
    assert all(len(prompt.tokens) <= budget for prompt in prompts)
    computed = moves = 0
    for before, after in pairwise(prompts):
        same = len(common(before.tokens, after.tokens))
        moves += same < min(len(before.tokens), len(after.tokens))
        computed += len(after.tokens) - same
    assert moves <= 12
    assert computed / len(prompts) < 2


def common(a: list[int], b: list[int]) -> list[int]:
    return [x for x, _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False))]


def test_the_window_is_found_again_when_text_above_it_grows(tokenizer: Tokenizer, spm: FimTemplate) -> None:
    state = PromptState()
    encoder = BlockEncoder(tokenizer)
    before = build(spm, encoder, "a.py", SOURCE, "", budget=400, state=state)
    after = build(spm, encoder, "a.py", "import os\n" + SOURCE, "", budget=400, state=state)
    assert after == before


def test_a_jump_up_gets_a_window_of_its_own(tokenizer: Tokenizer, spm: FimTemplate) -> None:
    state = PromptState()
    build(spm, tokenizer, "a.py", SOURCE, "", budget=400, state=state)
    upper = SOURCE[: len(SOURCE) // 2]
    jumped = build(spm, tokenizer, "a.py", upper, SOURCE[len(upper) :], budget=400, state=state)
    fresh = build(spm, tokenizer, "a.py", upper, SOURCE[len(upper) :], budget=400, state=PromptState())
    assert jumped == fresh
