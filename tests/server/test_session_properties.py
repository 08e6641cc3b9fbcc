"""What holds for any order of typing, asking, decoding and waiting."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.fakes import Editor

CODE = "alpha(beta, 1)\n    gamma = delta\n"

steps = st.lists(
    st.one_of(
        st.tuples(st.just("type"), st.sampled_from("ab(\n ,")),
        st.tuples(st.just("accept"), st.integers(1, 8)),
        st.tuples(st.just("delete"), st.integers(1, 3)),
        st.tuples(st.just("move"), st.integers(0, 40)),
        st.tuples(st.just("ask"), st.booleans()),
        st.tuples(st.just("cancel"), st.none()),
        st.tuples(st.just("say"), st.integers(1, len(CODE))),
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
    start, shown = editor.cursor, asked.reply.text
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
    elif action == "end" and running:
        running[-1].end(CODE[: int(str(value))])
