"""Acceptance inferred from edits, the file of counts, and the server that writes it."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from lsprotocol import types

from flash_lsp.acceptance import Acceptance, kept_share
from flash_lsp.cli.stats import sparkline
from flash_lsp.statistics import ACCEPTED, JUDGED, KEPT, PARTIAL, SHOWN, Statistics, delete, percentile, read
from flash_lsp.text import Document
from tests.server.conftest import connect
from tests.server.fakes import FakeClock


class Desk:
    """A document with a suggestion."""

    def __init__(self, text: str) -> None:
        self.clock = FakeClock()
        self.counts: Counter[str] = Counter()
        self.document = Document("file:///a.py", "python", 1, text)
        self.acceptance = Acceptance(
            self.document, lambda name: self.counts.update([name]), self.clock.call_later
        )

    def edit(self, start: int, removed: int, inserted: str) -> None:
        span = types.Range(
            types.Position(*self.document.position(start, "utf-32")),
            types.Position(*self.document.position(start + removed, "utf-32")),
        )
        self.acceptance.changed(
            self.document.apply([types.TextDocumentContentChangePartial(span, inserted)], "utf-32")
        )


def test_accepted_and_kept() -> None:
    desk = Desk("x = \nend\n")
    desk.acceptance.shown(4, "compute(first)")
    desk.edit(4, 0, "compute(first)")
    assert desk.counts == {SHOWN: 1, ACCEPTED: 1}
    desk.edit(0, 0, "import os\n")
    desk.edit(10 + 12, 5, "second")
    desk.clock.advance(31)
    assert desk.counts == {SHOWN: 1, ACCEPTED: 1, JUDGED: 1, KEPT: 1}


def test_accepted_and_thrown_away() -> None:
    desk = Desk("x = ")
    desk.acceptance.shown(4, "compute(first)")
    desk.edit(4, 0, "compute(first)")
    desk.edit(4, 14, "1")
    desk.clock.advance(31)
    assert desk.counts == {SHOWN: 1, ACCEPTED: 1, JUDGED: 1}


def test_word_after_word_and_typing_through() -> None:
    desk = Desk("x = ")
    desk.acceptance.shown(4, "first + second")
    desk.edit(4, 0, "f")
    desk.acceptance.shown(5, "irst + second")
    desk.edit(5, 0, "irst")
    desk.edit(9, 0, " + ")
    assert desk.counts == {SHOWN: 1, PARTIAL: 1}
    desk.edit(12, 0, "second")
    assert desk.counts == {SHOWN: 1, PARTIAL: 1, ACCEPTED: 1}


@pytest.mark.parametrize(
    "edit", [(4, 0, "other"), (0, 0, "com"), (4, 0, "\n    "), (3, 1, "com"), (4, 0, "c")]
)
def test_what_is_no_acceptance(edit: tuple[int, int, str]) -> None:
    desk = Desk("x = ")
    desk.acceptance.shown(4, "\n    compute" if edit[2][0] == "\n" else "compute")
    desk.edit(*edit)
    desk.acceptance.close()
    desk.clock.advance(31)
    assert desk.counts == {SHOWN: 1}


def test_kept_share() -> None:
    assert kept_share("a + b", "a + b") == 1
    assert kept_share("a + b", "x = a * b") == pytest.approx(2 / 3)
    assert kept_share("a", "") == 0
    assert kept_share("  ", "") == 1


def test_two_servers_add_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "statistics.sqlite3"
    assert not read(path)
    for _ in range(2):
        statistics = Statistics(path)
        statistics.count("python", SHOWN, 3)
        for ms in (1, 1, 10, 100):
            statistics.latency("python", ms)
        statistics.flush()
        statistics.flush()
    counts = read(path)
    assert {name: amount for (_, _, name), amount in counts.items()}[SHOWN] == 6
    by_name = [(name, amount) for (_, _, name), amount in counts.items()]
    assert percentile(by_name, 0.5) == pytest.approx(1, rel=0.05)
    assert percentile(by_name, 0.95) == pytest.approx(100, rel=0.05)
    assert percentile([], 0.5) is None
    assert delete(path)
    assert not delete(path)


def test_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "statistics.sqlite3"
    path.write_text("this is no database, however long the text may be")
    with pytest.raises(sqlite3.Error):
        read(path)
    statistics = Statistics(path)
    statistics.count("python", SHOWN)
    with pytest.raises(sqlite3.Error):
        statistics.flush()


def test_sparkline() -> None:
    assert sparkline([0, 1, 4, 8]) == " ▁▄█"
    assert sparkline([]) == ""


@pytest.mark.parametrize("on", [True, False])
async def test_the_server_counts_and_writes_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on: bool
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    path = tmp_path / "flash-lsp" / "statistics.sqlite3"
    async with connect("nvim-0.12.4", statistics=on) as client:
        document = client.open("total = \nnothing\n")
        item = await client.suggest(document, 8)
        assert item is not None
        client.edit(document, 8, 0, str(item.insert_text))
        assert await client.suggest(document, len(document.text)) is None
    if not on:
        assert not path.exists()
        return
    counts = {(language, name): amount for (_, language, name), amount in read(path).items()}
    assert counts["python", "requests"] == 2
    assert counts["python", SHOWN] == counts["python", ACCEPTED] == 1
    assert [name for _, name in counts if name.startswith("silence:")]
    assert b"compute" not in path.read_bytes()
    assert b"total" not in path.read_bytes()
