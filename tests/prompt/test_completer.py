"""The completer over the engine's own sessions: a scripted model here, the bundled one at the end."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from engine.scripted import CONFIG, ScriptedBackend

from flash_engine import CapacityError, Engine, ModelError, Session, Token, Tokenizer
from flash_lsp.completer import Completer
from flash_lsp.filters.statement import statement_end
from flash_lsp.prompt.window import PromptState
from flash_lsp.suggestion import Output, Suggestion

END_OF_TEXT = 0
MIDDLE = 8

Complete = Callable[..., Suggestion]


@pytest.fixture
def writer(tokenizer: Tokenizer) -> Iterator[Callable[[str], Complete]]:
    """Makes a `complete` whose model goes on, after whatever is before the cursor, with a given text."""
    engines: list[Engine] = []

    def make(continuation: str, capacity: int = 400) -> Complete:
        wanted: list[int] = []

        def choose(tokens: Sequence[int]) -> int:
            written = len(tokens) - 1 - tokens.index(MIDDLE) if MIDDLE in tokens else 0
            return wanted[written] if written < len(wanted) else END_OF_TEXT

        engine = Engine("flash-coder", Path(), CONFIG, tokenizer, ScriptedBackend(choose, capacity))
        engines.append(engine)
        completer = Completer(engine)

        def complete(prefix: str, suffix: str = "\n", max_lines: int = 1, **options: object) -> Suggestion:
            wanted[:] = tokenizer.encode(prefix + continuation)
            options = {"session": engine.session(), "max_tokens": 60} | options
            return completer.complete("a.py", prefix, suffix, max_lines=max_lines, **options)  # type: ignore[arg-type]

        return complete

    yield make
    for engine in engines:
        engine.close()


def test_a_half_typed_word_is_completed_without_being_repeated(writer: Callable[[str], Complete]) -> None:
    suggestion = writer("urn value\nnext()")("def f(value):\n    ret")
    assert (suggestion.text, suggestion.finish, suggestion.silence) == ("urn value", "line", None)


@pytest.mark.parametrize(
    ("prefix", "continuation", "max_lines", "text", "finish"),
    [
        ("x = ", "1", 1, "1", "stop"),
        ("x = ", "1  \r\ny", 1, "1  ", "line"),
        ("x = ", "", 1, "", "stop"),
        ("x = 1", "\ny = 2\nz", 1, "\ny = 2", "line"),
        ("def f():", "\n    a = 1\n    return a\n\nx", 9, "\n    a = 1\n    return a", "block"),
        ("def f():", "\n    a = 1\n    return a\n\nx", 2, "\n    a = 1\n    return a", "block"),
        ("x = [", "0, " * 40, 1, None, "repetition"),
        ("a = 'h", "éé 中😀'\n", 1, "éé 中😀'", "line"),
    ],
)
def test_where_a_suggestion_ends(
    writer: Callable[[str], Complete],
    prefix: str,
    continuation: str,
    max_lines: int,
    text: str | None,
    finish: str,
) -> None:
    suggestion = writer(continuation)(prefix, max_lines=max_lines)
    assert suggestion.finish == finish
    assert suggestion.text == text if text is not None else continuation.startswith(suggestion.text)


@pytest.mark.parametrize(
    ("continuation", "text"),
    [
        ("f(\n    1,\n)\ny = 2\n", "f(\n    1,\n)"),
        ("f(\n    1,\n\n\n", "f("),
        ("f(\n    1,", "f("),
    ],
)
def test_a_line_goes_on_until_its_brackets_are_closed(
    writer: Callable[[str], Complete], continuation: str, text: str
) -> None:
    seen: list[str] = []
    statement = partial(statement_end, "python", 8)
    suggestion = writer(continuation)("x = ", statement_end=statement, progress=seen.append)
    assert suggestion.text.rstrip() == text
    assert {each.rstrip() for each in seen} <= {"f", "f(", text}, "no half of a statement is shown"


def test_progress_grows_by_whole_characters(writer: Callable[[str], Complete]) -> None:
    seen: list[str] = []
    suggestion = writer("日本語 = '𐐀𐐀' + x\n")("# ", progress=seen.append)
    assert seen[-1] == suggestion.text == "日本語 = '𐐀𐐀' + x"
    assert all(later.startswith(earlier) for earlier, later in pairwise(seen))
    assert not any("\ufffd" in text for text in seen)


def test_max_tokens_counts_what_comes_after_the_held_text(writer: Callable[[str], Complete]) -> None:
    suggestion = writer("ssertEqual(a, b, c, d, e)")("self.a", max_tokens=3)
    assert suggestion.finish == "length"
    assert suggestion.text == "ssertEqual(a"


def test_an_unlikely_text_is_not_completed(writer: Callable[[str], Complete]) -> None:
    go_on = writer("one + two + three + four + five\n")
    sure = go_on("x = ")
    assert sure.finish == "line"
    unsure = go_on("x = ", min_logprob=0.0)
    assert unsure.finish == "unsure"
    assert sure.text.startswith(unsure.text)
    assert unsure.text != sure.text
    assert go_on("x = ", min_logprob=sure.logprob - 0.001).text == sure.text


@pytest.mark.parametrize(
    ("tokens", "held", "likely"),
    [
        ([("self", -0.5), (".", -0.5), ("total", -9.0), ("\n", 0.0)], "", "self."),
        ([("to", -0.5), ("tal", -9.0), ("\n", 0.0)], "", ""),
        ([("to", -0.5), ("tal", -0.5), (" = ", -9.0), ("\n", 0.0)], "to", "tal"),
        ([("x", -9.0), ("\n", 0.0)], "", ""),
        ([("ab", -2.4), (" = ", -9.0), ("\n", 0.0)], "", "ab"),
        ([("ab", -2.6), (" = ", -9.0), ("\n", 0.0)], "", ""),
        ([("ab", -0.9), (".", -0.2), ("c", -9.0), ("\n", 0.0)], "", "ab"),
        ([(" été", -0.1), (" 中", -0.1), ("文", -9.0), ("\n", 0.0)], "", " été"),
        ([("a", -0.1), (" = 1", -0.1), ("\n", -0.1), ("b", -9.0), (" = 2", -0.1)], "", "a = 1"),
        ([("\n    ", -0.1), ("return", -0.1), (" x", -9.0), ("\n", -0.1)], "", "\n    return"),
        ([("x = ", -1.5)], "", ""),
        ([], "", ""),
    ],
)
def test_the_likely_beginning(tokens: list[tuple[str, float]], held: str, likely: str) -> None:
    prefix = "" if likely != "\n    return" else "def f():"
    output = Output(prefix, held.encode(), max_lines=9, max_tokens=99, gate=-7.2)
    for text, logprob in tokens:
        output.add(Token(0, logprob, text.encode()))
    assert output.likely == likely
    assert output.text.startswith(likely)


@pytest.mark.parametrize(
    ("tokens", "logprob", "finish"),
    [
        ([("a", -1.0), (" = 1", -1.0), ("\n", -1.0), ("b", -2.0), (" = 2", -2.0)], -5.0, None),
        ([("a", -1.0), (" = 1", -1.0), ("\nb", -4.0), (" = 2", -0.5)], -4.5, None),
        ([("a", -5.0), (" = 1", -1.0)], -6.0, None),
        ([("a", -5.0), (" = 1", -2.0)], -7.0, "unsure"),
        ([("a", -5.0), ("\n", 0.0), ("b", -5.0)], -5.0, None),
        ([("a", -1.0), ("\n", 0.0), ("b", -6.5)], -6.5, "unsure"),
    ],
)
def test_every_line_has_its_own_probability(
    tokens: list[tuple[str, float]], logprob: float, finish: str | None
) -> None:
    output = Output("", b"", max_lines=9, max_tokens=99, gate=-6.0)
    for text, each in tokens:
        output.add(Token(0, each, text.encode()))
    assert (output.logprob, output.finish) == (pytest.approx(logprob), finish)


def test_log_probability_is_that_of_all_tokens_of_the_text_alone(writer: Callable[[str], Complete]) -> None:
    chosen, others = math.exp(10.0), CONFIG.vocab_size - 1
    of_a_token = math.log(chosen / (chosen + others))
    text = writer(" = 1\n")("x")
    assert text.logprob == pytest.approx((text.tokens - 2) * of_a_token, abs=1e-3), "but x and the line end"
    assert writer("")("x = ").logprob == 0.0


def test_work_cut_short_says_why(writer: Callable[[str], Complete]) -> None:
    cancelled = threading.Event()
    cancelled.set()
    suggestion = writer("1")("x = ", cancel=cancelled)
    assert (suggestion.text, suggestion.finish, suggestion.silence) == ("", "cancelled", "cancelled")
    late = writer("123 + 456\n")("x = ", deadline=time.monotonic() - 1)
    assert late.finish == "deadline"
    assert len(late.text) < 9


def test_a_prompt_beyond_the_context_is_cut_to_it(writer: Callable[[str], Complete]) -> None:
    long = "value = compute(value)\n" * 200 + "value"
    suggestion = writer("", 256)(long, max_tokens=32)
    assert suggestion.text
    assert 100 < suggestion.computed <= 256
    with pytest.raises(CapacityError):
        writer("1", 4)("x", max_tokens=2)


def test_an_unknown_template_is_named(tokenizer: Tokenizer) -> None:
    with Engine("m", Path(), CONFIG, tokenizer, ScriptedBackend(lambda tokens: 0)) as engine:
        with pytest.raises(ModelError, match="no prompt template 'xyz'"):
            Completer(engine, template="xyz")
        assert Completer(engine).template.warning is not None


@pytest.mark.bundled
@pytest.mark.parametrize(
    ("prefix", "suffix", "text"),
    [
        ("def fib(n: int) -> int:\n    if n < 2:\n        ret", "\n\nprint(fib(10))\n", "urn n"),
        ("TOKEN = '<|fim_middle|>'\nprint(TOK", "\n# <|fim_suffix|> is text\n", "EN)"),
        ("with open(path) as f<|endoftext|>ile:\n    text = fi", "\n    print(text)\n", None),
    ],
)
@pytest.mark.parametrize("state", [None, PromptState()])
def test_the_bundled_model(
    engine: Engine, prefix: str, suffix: str, text: str | None, state: PromptState | None
) -> None:
    completer, session = Completer(engine), engine.session()
    suggestion = engine.submit(
        lambda: completer.complete(
            "a.py", prefix, suffix, session=session, state=state, max_lines=1, max_tokens=24
        )
    ).result()
    assert suggestion.text.strip()
    assert suggestion.finish in {"line", "stop"}
    assert text is None or suggestion.text == text


@pytest.mark.bundled
def test_a_key_costs_a_few_tokens_and_the_history_does_not_matter(engine: Engine) -> None:
    """Typing on one session gives what a fresh session gives, for the price of the new tokens."""
    completer, session = Completer(engine), engine.session()
    text = "def area(width, height):\n    return width * height\n\n\nprint(area(height=3, width=4))\n"
    state = PromptState()

    def complete(at: int, session: Session, state: PromptState) -> Suggestion:
        def work() -> Suggestion:
            return completer.complete(
                "a.py", text[:at], "\n\n", session=session, state=state, max_lines=1, max_tokens=6
            )

        return engine.submit(work).result()

    typed = {at: complete(at, session, state) for at in range(60, len(text))}
    costs = [suggestion.computed - suggestion.tokens for suggestion in typed.values()]
    assert sum(costs[1:]) / len(costs[1:]) <= 2
    for at in (70, len(text) - 1):
        fresh = complete(at, engine.session(), PromptState())
        assert (fresh.text, fresh.logprob) == (typed[at].text, typed[at].logprob)


def test_alternatives_are_different_and_leave_the_first_as_it_is(engine: Engine) -> None:
    completer = Completer(engine)
    place = ("a.py", "class Stack:\n    def __init__(self):\n        self.items = []\n\n    def p", "\n")
    limits = {"session": engine.session(), "state": PromptState(), "max_lines": 1, "max_tokens": 24}

    def work() -> tuple[Suggestion, list[Suggestion], Suggestion]:
        first = completer.complete(*place, **limits)  # type: ignore[arg-type]
        others = completer.alternatives(first, *place, count=3, **limits)  # type: ignore[arg-type]
        return first, others, completer.complete(*place, **limits)  # type: ignore[arg-type]

    first, others, again = engine.submit(work).result()
    texts = [first.text, *(other.text for other in others)]
    assert len(texts) == len(set(texts)) == 4
    assert not any(a.startswith(b) for a in texts for b in texts if a is not b)
    assert again.text == first.text, "the fork leaves the prompt's cache as it was"
    assert again.computed <= first.tokens + 1
