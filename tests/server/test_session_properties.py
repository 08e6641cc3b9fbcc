"""What holds for any order of typing, asking, decoding and waiting."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.fakes import Editor

CODE = "alpha(beta, 1)\n    gamma = delta\n"
OTHER = "alpha.beta = gamma"
"""What the draft model may say instead."""

steps = st.lists(
    st.one_of(
        st.tuples(st.just("type"), st.sampled_from("ab(\n ,")),
        st.tuples(st.just("accept"), st.integers(1, 8)),
        st.tuples(st.just("delete"), st.integers(1, 3)),
        st.tuples(st.just("move"), st.integers(0, 40)),
        st.tuples(st.just("ask"), st.booleans()),
        st.tuples(st.just("cancel"), st.none()),
        st.tuples(st.just("say"), st.integers(1, len(CODE))),
        st.tuples(
            st.just("guess"), st.tuples(st.sampled_from([CODE, OTHER]), st.integers(0, 12), st.booleans())
        ),
        st.tuples(st.just("end"), st.integers(0, len(CODE))),
        st.tuples(st.just("wait"), st.sampled_from([0.01, 0.05, 0.4])),
    ),
    max_size=40,
)


@settings(max_examples=1000, deadline=None)
@given(steps, st.booleans())
def test_every_request_gets_exactly_one_reply_for_its_own_version(
    script: list[tuple[str, object]], loaded: bool
) -> None:
    editor = Editor("x = ", loaded=loaded)
    versions = []
    for action, value in script:
        if action == "ask":
            versions.append(editor.document.version)
            editor.ask(invoked=bool(value))
        else:
            act(editor, action, value)
        assert len(editor.decoder.running) <= 1, "one decode at a time"
        assert all(len(asked.replies) <= 1 for asked in editor.asked)
        assert all(asked.replies for asked in editor.asked[:-1]), "only the newest may wait"
    editor.clock.advance(1.0)
    replies = [asked.reply for asked in editor.asked]
    assert [reply.version for reply in replies] == versions
    assert all(bool(reply.text) != bool(reply.silence) for reply in replies)


verdicts = st.lists(
    st.one_of(
        st.tuples(st.just("accept"), st.integers(1, 5)),
        st.tuples(st.just("delete"), st.integers(1, 3)),
        st.tuples(st.just("say"), st.integers(1, len(CODE))),
        st.tuples(
            st.just("guess"), st.tuples(st.sampled_from([CODE, OTHER]), st.integers(0, 12), st.booleans())
        ),
        st.tuples(st.just("end"), st.integers(0, len(CODE))),
        st.tuples(st.just("wait"), st.sampled_from([0.01, 0.06, 0.3])),
    ),
    max_size=20,
)


@settings(max_examples=1000, deadline=None)
@given(
    guess=st.sampled_from([CODE, OTHER]).flatmap(
        lambda text: st.integers(1, len(text)).map(lambda size: text[:size])
    ),
    complete=st.booleans(),
    moves=verdicts,
)
def test_a_guess_that_is_shown_stays_whatever_the_model_says(
    guess: str, complete: bool, moves: list[tuple[str, object]]
) -> None:
    """The draft model answers first; the model then agrees, goes further, or says something else."""
    editor = Editor("def f():\n    ")
    asked = editor.ask()
    editor.decoder.last.guess(guess, complete=complete)
    editor.clock.advance(0.05)
    if asked.replies and asked.reply.text:
        assert asked.reply.verified is None
        assert guess.startswith(asked.reply.text)
        stays_while_typed(editor, asked.reply.text, moves)


@settings(max_examples=1000, deadline=None)
@given(
    before=st.integers(1, len(CODE)),
    moves=st.lists(
        st.one_of(
            st.tuples(st.just("accept"), st.integers(1, 5)),
            st.tuples(st.just("delete"), st.integers(1, 3)),
            st.tuples(st.just("say"), st.integers(1, len(CODE))),
            st.tuples(st.just("end"), st.integers(0, len(CODE))),
            st.tuples(st.just("wait"), st.sampled_from([0.01, 0.06])),
        ),
        max_size=20,
    ),
)
def test_typing_what_is_shown_never_changes_or_hides_the_rest(
    before: int, moves: list[tuple[str, object]]
) -> None:
    editor = Editor("def f():\n    ")
    asked = editor.ask()
    editor.decoder.last.say(CODE[:before])
    editor.clock.advance(0.05)
    if not asked.replies or not asked.reply.text:
        return
    stays_while_typed(editor, asked.reply.text, moves)


def stays_while_typed(editor: Editor, shown: str, moves: list[tuple[str, object]]) -> None:
    """Through `moves`, what is left of `shown` is answered at every step; it may grow, nothing else."""
    start = editor.cursor
    for action, value in moves:
        typed = editor.cursor - start
        if action == "accept":
            editor.type(shown[typed : typed + int(str(value))])
        elif action == "delete":
            editor.delete(min(int(str(value)), typed)) if typed else None
        else:
            act(editor, action, value)
        typed = editor.cursor - start
        if typed == len(shown):
            return
        reply = editor.ask().reply
        assert reply.source == "shown"
        assert reply.text.startswith(shown[typed:]), "it may grow, nothing else"
        shown = shown[:typed] + reply.text


def act(editor: Editor, action: str, value: object) -> None:
    running = editor.decoder.running
    if action == "type":
        editor.type(str(value))
    elif action == "accept":
        shown = [asked.reply.text for asked in editor.asked if asked.replies and asked.reply.text]
        editor.type(shown[-1][: int(str(value))] if shown else "a")
    elif action == "delete":
        editor.delete(min(int(str(value)), editor.cursor))
    elif action == "move":
        editor.cursor = min(int(str(value)), len(editor.document.text))
    elif action == "cancel" and editor.asked:
        editor.asked[-1].withdraw()
    elif action == "wait":
        editor.clock.advance(float(str(value)))
    elif action == "say" and running:
        running[-1].say(CODE[: int(str(value))])
    elif action == "guess" and running:
        text, size, complete = value  # type: ignore[misc]
        running[-1].guess(text[:size], complete=complete)
    elif action == "end" and running:
        running[-1].end(CODE[: int(str(value))])


BLOCK = "alpha(beta, [1])\n    gamma = 'delta'\n    return gamma"
PAIRS = {"(": ")", "[": "]", "'": "'"}


@settings(max_examples=400, deadline=None)
@given(
    crlf=st.booleans(),
    closing=st.booleans(),
    moves=st.lists(
        st.one_of(
            st.tuples(st.just("type"), st.integers(1, 6)),
            st.tuples(st.just("accept"), st.sampled_from(["word", "line", "all"])),
            st.tuples(st.just("undo"), st.integers(1, 3)),
            st.tuples(st.just("other"), st.sampled_from("xq ")),
            st.tuples(st.just("wait"), st.sampled_from([0.06, 0.3])),
        ),
        max_size=25,
    ),
)
def test_a_shown_block_stays_while_it_is_typed_accepted_and_undone(
    crlf: bool, closing: bool, moves: list[tuple[str, object]]
) -> None:
    """Through line ends, brackets that the editor closes, partial accepts and undo, and away from it and back."""
    newline = "\r\n" if crlf else "\n"
    editor = Editor(f"def f():{newline}    {newline}x = 1", 12 + len(newline))
    editor.ask()
    editor.decoder.last.end(BLOCK, "block")
    start, typed, astray = editor.cursor, "", 0
    history: list[tuple[str, int]] = []

    def replace(rest: str) -> None:
        """Make the lines below `def` read as typed, with what the editor has closed."""
        nonlocal typed
        typed = rest
        open_ones = [PAIRS[c] for c in _left_open(typed)] if closing else []
        text = typed.replace("\n", newline)
        closed = "".join(reversed(open_ones))
        tail = f"{newline}x = 1"
        body = editor.document.text[start : len(editor.document.text) - len(tail)]
        kept = 0
        while kept < min(len(body), len(text)) and body[kept] == text[kept]:
            kept += 1
        editor.edit(start + kept, len(body) - kept, text[kept:] + closed)
        editor.cursor = start + len(text)

    for action, value in moves:
        before = typed
        if action == "wait":
            editor.clock.advance(float(str(value)))
        elif action == "undo" and history:
            for _ in range(min(int(str(value)), len(history))):
                before, astray = history.pop()
            replace(before)
        elif action == "other":
            history.append((typed, astray))
            astray += 1
            replace(typed + str(value))
        elif action in ("type", "accept") and not astray:
            rest = BLOCK[len(typed) :]
            size = int(str(value)) if action == "type" else len(_part(rest, str(value)))
            history.append((typed, astray))
            replace(typed + rest[:size])
        asked = editor.ask()
        if astray:
            if not asked.replies:
                editor.decoder.last.end("", "stop")
            continue
        rest = BLOCK[len(typed) :]
        if not rest:
            continue
        wanted = _until_closed(rest) if closing and _left_open(typed) else rest
        assert asked.replies, f"{rest!r} is known"
        assert asked.reply.text == wanted
        assert asked.reply.version == editor.document.version


def _left_open(text: str) -> list[str]:
    opened: list[str] = []
    for character in text:
        if opened and character == PAIRS[opened[-1]]:
            opened.pop()
        elif character in PAIRS:
            opened.append(character)
    return opened


def _until_closed(rest: str) -> str:
    depth = 0
    for offset, character in enumerate(rest):
        if character in "([":
            depth += 1
        elif character in ")]'":
            if not depth:
                return rest[:offset]
            depth -= 1
    return rest


def _part(rest: str, size: str) -> str:
    """The next word of a text, its next line, or all of it."""
    if size == "all":
        return rest
    pattern = r"\s*(?:\w+|[^\w\s]+)?" if size == "word" else r"\n*[^\n]*"
    found = re.match(pattern, rest)
    return found[0] if found else ""
