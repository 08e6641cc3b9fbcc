"""Ghost text in real Neovims against a scripted server: where it is drawn, and what the keys do to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Neovim, Start, wait_for

BLOCK = "dd(a, b):\n    return a + b"
RULES = [
    {"before": "def a", "replies": [{"texts": [BLOCK]}]},
    {"before": "def ad", "replies": [{"texts": [BLOCK[1:]]}]},
    {"before": "gäb 🎈 =", "replies": [{"texts": [" größe + übung"]}]},
    {"before": "first", "replies": [{"texts": ["_one", "_two", "_three"]}]},
    {"before": "more", "replies": [{"texts": ["_a"]}, {"texts": ["_a", "_b", "_c"]}]},
    {"before": "short", "replies": [{"texts": ["_a"], "ready": 0.1}, {"texts": ["_a_and_more"]}]},
    {"before": "slow", "replies": [{"texts": ["_late"], "delay": 1.0}]},
    {"before": "call(", "replies": [{"texts": ["x, y"]}]},
    {"before": "word = ", "replies": [{"texts": ["word + 1"], "from": 0}]},
    {
        "before": "run",
        "replies": [{"texts": ["_it"], "extra": {"command": {"title": "", "command": "test.accepted"}}}],
    },
    {"before": "crlf", "replies": [{"texts": [":\r\n\tx"]}]},
]


@pytest.fixture(scope="module")
def editor(program: Path, start: Start) -> Neovim:
    return start(program, RULES)


def test_ghost_text_stands_at_the_cursor_and_not_in_the_buffer(editor: Neovim) -> None:
    editor.fill("# demo\n\n")
    editor.type("def a")
    assert editor.wait_ghost(BLOCK) == (2, 5)
    assert editor.text == "# demo\n\ndef a"
    assert editor.suggestion() == BLOCK


def test_ghost_text_has_a_colour_of_its_own_in_every_colour_scheme(editor: Neovim) -> None:
    colours = "return { vim.api.nvim_get_hl(0, { name = select(1, ...), link = false }).fg or -1 }"
    for scheme in ("default", "habamax"):
        editor.api.command(f"colorscheme {scheme}")
        editor.fill("")
        editor.type("def a")
        editor.wait_ghost(BLOCK)
        group = editor.ghost_group()
        assert editor.lua(colours, group)[0] not in (-1, editor.lua(colours, "Normal")[0])


def test_accept_all(editor: Neovim) -> None:
    editor.fill("# demo\n\n")
    editor.type("def a")
    editor.wait_ghost(BLOCK)
    editor.type("<Tab>")
    wait_for(lambda: editor.text == "# demo\n\ndef a" + BLOCK)
    assert editor.cursor == (4, 16)
    assert editor.mode == "i"
    editor.wait_no_ghost()


def test_accept_is_undone_by_itself(editor: Neovim) -> None:
    editor.fill("")
    editor.type("def a")
    editor.wait_ghost(BLOCK)
    editor.type("<Tab><Esc>u")
    wait_for(lambda: editor.text == "def a")


def test_keys_typed_right_behind_accept_come_behind_it(editor: Neovim) -> None:
    editor.fill("")
    editor.type("def a")
    editor.wait_ghost(BLOCK)
    editor.type("<Tab> # sum<CR>")
    wait_for(lambda: editor.text == "def a" + BLOCK + " # sum\n")


def test_accept_word_by_word(editor: Neovim) -> None:
    editor.fill("")
    editor.type("def a")
    editor.wait_ghost(BLOCK)
    for word in ("dd", "(", "a", ",", " b", "):", "\n    return"):
        remaining = editor.suggestion()
        assert remaining is not None
        editor.type("<M-Right>")
        wait_for(lambda before=remaining: editor.suggestion() != before)
        assert editor.lua("return _G.accepted")[-1] == word
    assert editor.text == "def add(a, b):\n    return"
    assert editor.wait_ghost(" a + b") == (1, 10)


def test_accept_line_by_line(editor: Neovim) -> None:
    editor.fill("")
    editor.type("def a")
    editor.wait_ghost(BLOCK)
    editor.type("<M-C-Right>")
    wait_for(lambda: editor.text == "def add(a, b):")
    assert editor.wait_ghost("\n    return a + b") == (0, 14)
    editor.type("<M-C-Right>")
    wait_for(lambda: editor.text == "def add(a, b):\n    return a + b")


def test_non_ascii_columns_and_words(editor: Neovim) -> None:
    line = "gäb 🎈 ="
    editor.fill("")
    editor.type(line)
    assert editor.wait_ghost(" größe + übung") == (0, len(line.encode()))
    editor.type("<M-Right>")
    wait_for(lambda: editor.text == line + " größe")
    editor.type("<Tab>")
    wait_for(lambda: editor.text == line + " größe + übung")
    assert editor.cursor == (1, len((line + " größe + übung").encode()))


def test_typing_on_keeps_the_rest(editor: Neovim) -> None:
    editor.fill("")
    editor.type("def a")
    editor.wait_ghost(BLOCK)
    editor.type("dd(")
    wait_for(lambda: editor.suggestion() == BLOCK[3:])
    assert editor.ghost() == (0, 8, BLOCK[3:])
    editor.type("<Tab>")
    wait_for(lambda: editor.text == "def a" + BLOCK)


def test_typing_something_else_hides_at_once(editor: Neovim) -> None:
    editor.fill("")
    editor.type("def a")
    editor.wait_ghost(BLOCK)
    editor.type("x")
    wait_for(lambda: editor.text == "def ax")
    assert editor.ghost() is None
    editor.type("<Tab>")
    wait_for(lambda: editor.text == "def ax\t")


def test_a_range_that_begins_before_the_cursor(editor: Neovim) -> None:
    editor.fill("")
    editor.type("word = ")
    wait_for(lambda: editor.events("inlineCompletion")[-1]["before"] == "word = ")
    assert editor.ghost() is None  # "word + 1" does not begin with "word = "


def test_text_behind_the_cursor_stays(editor: Neovim) -> None:
    editor.fill("call)")
    editor.type("<Left>(")
    assert editor.wait_ghost("x, y") == (0, 5)
    editor.type("<Tab>")
    wait_for(lambda: editor.text == "call(x, y)")


def test_dismiss(editor: Neovim) -> None:
    editor.fill("")
    editor.type("def a")
    editor.wait_ghost(BLOCK)
    editor.type("<C-]>")
    editor.wait_no_ghost()
    assert editor.mode == "i"
    editor.type("d")
    editor.wait_ghost(BLOCK[1:])


def test_leaving_insert_mode_hides(editor: Neovim) -> None:
    editor.fill("")
    editor.type("def a")
    editor.wait_ghost(BLOCK)
    editor.type("<Esc>")
    editor.wait_no_ghost()
    assert editor.text == "def a"


def test_cycle(editor: Neovim) -> None:
    editor.fill("")
    editor.type("first")
    editor.wait_ghost("_one")
    for key, text in (("<M-]>", "_two"), ("<M-]>", "_three"), ("<M-]>", "_one"), ("<M-[>", "_three")):
        editor.type(key)
        editor.wait_ghost(text)
    editor.type("<Tab>")
    wait_for(lambda: editor.text == "first_three")


def test_cycling_with_one_suggestion_asks_for_more(editor: Neovim) -> None:
    editor.fill("")
    editor.type("more")
    editor.wait_ghost("_a")
    assert editor.events("inlineCompletion")[-1]["kind"] == 2
    editor.type("<M-]>")
    editor.wait_ghost("_b")
    assert editor.events("inlineCompletion")[-1]["kind"] == 1
    editor.type("<M-[>")
    editor.wait_ghost("_a")


def test_ready_makes_it_ask_again(editor: Neovim) -> None:
    editor.fill("")
    editor.type("short")
    editor.wait_ghost("_a_and_more")
    assert [event["before"] for event in editor.events("inlineCompletion")].count("short") == 2


def test_a_late_reply_is_cancelled_and_not_shown(editor: Neovim) -> None:
    editor.fill("")
    editor.type("slow")
    wait_for(lambda: editor.events("inlineCompletion")[-1]["before"] == "slow")
    editor.type(" first")
    wait_for(lambda: editor.events("$/cancelRequest"))
    editor.wait_ghost("_one")
    assert editor.text == "slow first"


def test_the_command_of_an_item_runs_when_all_is_accepted(editor: Neovim) -> None:
    editor.fill("")
    editor.type("run")
    editor.wait_ghost("_it")
    editor.type("<M-Right>")
    wait_for(lambda: editor.events("workspace/executeCommand"))
    assert editor.text == "run_it"


def test_line_ends_of_other_systems(editor: Neovim) -> None:
    editor.fill("")
    editor.type("crlf")
    wait_for(lambda: editor.suggestion() == ":\n\tx")
    editor.type("<Tab>")
    wait_for(lambda: editor.text == "crlf:\n\tx")


def test_tab_stays_tab_where_nothing_is_shown(editor: Neovim) -> None:
    editor.fill("")
    editor.type("<Tab>x")
    wait_for(lambda: editor.text == "\tx")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_other_position_encodings(program: Path, start: Start, encoding: str) -> None:
    editor = start(program, RULES, encoding=encoding)
    line = "gäb 🎈 ="
    editor.fill("")
    editor.type(line)
    assert editor.wait_ghost(" größe + übung") == (0, len(line.encode()))
    editor.type("<Tab>")
    wait_for(lambda: editor.text == line + " größe + übung")
