"""What the draft model reads along: looked up as a search of everything would, and as much as pays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flash_engine.speculation import Ahead, Lookup, NGrams, PassCosts

FEW = st.lists(st.integers(0, 3), max_size=40)
FLAT, DEAR = [1.0] * 8, [float(size) for size in range(1, 9)]


def by_search(known: list[int], tokens: list[int]) -> tuple[int, int] | None:
    """What followed the last 5, 3, 2 or 1 of `tokens` where that was last seen in `known`."""
    for length in (5, 3, 2, 1):
        for place in range(len(known) - 1, length - 1, -1):
            if len(tokens) >= length and known[place - length : place] == tokens[-length:]:
                return known[place], length
    return None


@given(FEW, FEW, st.lists(st.integers(1, 5), max_size=8))
def test_the_latest_place_of_the_longest_sequence_is_found(
    known: list[int], tokens: list[int], steps: list[int]
) -> None:
    ngrams, done = NGrams(), 0
    for step in [*steps, len(known)]:
        end = min(done + step, len(known))
        ngrams.add(known, done, end)
        done = end
    found = ngrams.after(tokens, 4)
    for count in range(len(found) + (len(found) < 4)):
        behind = [*tokens, *(token for token, _ in found[:count])]
        assert by_search(known, behind) == (found[count] if count < len(found) else None)


def test_it_begins_anew() -> None:
    ngrams = NGrams()
    ngrams.add([1, 2], 0, 2)
    assert ngrams.after([1], 3) == [(2, 1)]
    for start in range(100, 30_000, 100):
        ngrams.add(range(start, start + 100), 0, 100)
    assert ngrams.after([1], 3) == []
    assert ngrams.after([29_990], 1) == [(29_991, 1)]
    assert ngrams.begun == 2
    assert sum(map(len, ngrams._following.values())) <= 4 * (100 + (1 << 14))


def test_as_many_are_read_along_as_pay() -> None:
    likely = [(7, 5)] * 7
    assert Lookup(PassCosts(FLAT)).worth(likely, 1) == 7
    assert Lookup(PassCosts(DEAR)).worth(likely, 1) == 0
    pairs = Lookup(PassCosts([1, 1.1, 1.3, 1.3, 1.5, 1.5, 1.6, 1.6]))
    assert pairs.worth([(7, 2)] * 7, 1) == 3
    assert pairs.worth([(7, 1)], 1) == 1
    assert pairs.worth([], 1) == 0


def test_what_is_wrong_is_read_along_no_more() -> None:
    lookup = Lookup(PassCosts([1 + 0.2 * more for more in range(8)]))
    assert lookup.worth([(7, 1)], 1) == 1
    for _ in range(60):
        lookup.judge([(7, 1), (8, 2)], 0)
    assert lookup.worth([(7, 1)], 1) == 0
    assert lookup.right[2] == 0.5
    for _ in range(60):
        lookup.judge([(7, 1), (8, 2)], 2)
    assert lookup.worth([(7, 1)], 1) == 1
    assert lookup.right[2] > 0.5


def test_costs_are_those_of_passes_behind_the_first() -> None:
    times = iter([0.0, 10.0, 12.0])
    costs = PassCosts(FLAT)
    lookup = Lookup(costs, lambda: next(times))
    ahead = Ahead(lookup, lambda drafted, most: [(7, 5), (8, 5)][:most])
    assert ahead.after([], 7, 1) == [7]
    ahead.judge(0)
    assert costs.seconds(8) == 1
    assert ahead.after([3], 1, 2) == [7, 8]
    ahead.judge(2)
    assert costs.seconds(3) == pytest.approx(2 ** (0.1 + 0.06))
