from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flash_lsp.answers import Answer, Answers, Place
from flash_lsp.flight import Flight, ready_part

text = st.text(alphabet="ab \n", max_size=12)


def answer(prefix: str, text: str, suffix: str = "", *, silence: str | None = None) -> Answer:
    return Answer(Place(prefix, suffix), text, complete=True, silence=silence)


def test_the_longest_text_before_the_cursor_wins() -> None:
    answers = Answers()
    answers.add(answer("x", "abcd"))
    answers.add(answer("xab", "zz"))
    answers.add(answer("xa", "bef"))
    found = answers.find(Place("xab", ""))
    assert found is not None
    assert found.text == "zz"
    found = answers.find(Place("xabe", ""))
    assert found is not None
    assert found.text == "f"


def test_a_silence_holds_at_its_own_place_only() -> None:
    answers = Answers()
    answers.add(answer("x", "", silence="blank"))
    found = answers.find(Place("x", ""))
    assert found is not None
    assert found.silence == "blank"
    assert answers.find(Place("xa", "")) is None


def test_a_consumed_answer_and_another_suffix_do_not_serve() -> None:
    answers = Answers()
    answers.add(answer("x", "ab"))
    assert answers.find(Place("xab", "")) is None
    assert answers.find(Place("x", "y")) is None


def test_the_store_is_bounded_by_the_text_it_holds() -> None:
    answers = Answers()
    page = "x" * (Answers.CAPACITY // 3)
    for letter in "abcd":
        answers.add(answer(page + letter, "y"))
    answers.add(answer("z" * Answers.CAPACITY, "y"))
    assert answers.find(Place(page + "a", "")) is None
    assert answers.find(Place(page + "d", "")) is not None


@given(text, text, text, text)
def test_what_is_found_is_what_an_answer_left(prefix: str, whole: str, typed: str, suffix: str) -> None:
    answers = Answers()
    answers.add(answer(prefix, whole, suffix))
    found = answers.find(Place(prefix + typed, suffix))
    serves = whole.startswith(typed) and (len(whole) > len(typed) or not typed)
    assert (found is not None) == serves
    if found is not None:
        assert typed + found.text == whole


@given(text, st.integers(0, 12))
def test_the_ready_part_begins_the_text_and_ends_with_a_whole_word(whole: str, cut: int) -> None:
    ready = ready_part(whole[:cut])
    assert whole.startswith(ready)
    assert not ready or not ready[-1].isspace()
    assert not (ready and whole[len(ready) : len(ready) + 1].isalnum() and ready[-1].isalnum())


def test_ready_parts() -> None:
    assert ready_part("foo") == ""
    assert ready_part("foo ba") == "foo"
    assert ready_part("foo(") == "foo("
    assert ready_part("a = 1\n    b = tw") == "a = 1"
    assert ready_part("\n    retu") == ""
    assert ready_part("\n    return x") == "\n    return"


def test_a_flight_agrees_until_what_it_produced_contradicts() -> None:
    flight = Flight(Place("x = ", ""))
    assert flight.agrees(Place("x = anything", ""))
    assert not flight.agrees(Place("x =", ""))
    assert not flight.agrees(Place("x = ", ")"))
    flight.verified = "ab"
    assert flight.agrees(Place("x = a", ""))
    assert flight.agrees(Place("x = abc", ""))
    assert not flight.agrees(Place("x = b", ""))
