"""`flash-lsp stats` in a data folder of its own."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flash_engine.speculation import Choice, Controller, DraftCosts, PassCosts, Source
from flash_lsp import statistics
from flash_lsp.cli.app import app


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "statistics.sqlite3"
    monkeypatch.setattr(statistics, "default_path", lambda: path)
    return path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["stats", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_tables_json_and_delete(path: Path) -> None:
    assert "no statistics yet" in run()
    counts = statistics.Statistics(path)
    for name, amount in ((statistics.REQUESTS, 9), (statistics.SHOWN, 4), (statistics.ACCEPTED, 2)):
        counts.count("python", name, amount)
    counts.count("python", "silence:mid-line", 5)
    counts.latency("python", 12.0)
    counts.flush()
    text = run()
    for part in ("python", "2 (50%)", "mid-line", "code right of the cursor", "█", "12 ms"):
        assert part in text
    figures = json.loads(run("--json"))
    assert figures["languages"]["python"]["shown"] == 4
    assert figures["silences"] == {"mid-line": 5}
    assert "deleted" in run("--delete")
    assert not path.exists()
    assert "there are no statistics" in run("--delete")


def test_what_the_controller_of_speculation_knew_last(path: Path) -> None:
    """By model; the latest state replaces the one before."""
    counts = statistics.Statistics(path)
    known = Controller(PassCosts([0.002] * 8), DraftCosts(0.0003, 0.0003))
    known.acceptance[Source.MODEL].verified(0, True)
    known.choices[Choice.PAUSED] += 3
    for rounds in (1, 5):
        known.choices[Choice.MODEL] += rounds
        counts.count("python", statistics.REQUESTS)
        counts.speculation("a model on a device", known.figures())
        counts.flush()
    kept = json.loads(run("--json"))["speculation"]["a model on a device"]
    assert kept["choices"] == {"model": 6, "plain: the draft model did not pay": 3}
    text = run()
    for part in ("a model on a device", "did not pay", "67%", "33%", "100%", "2.0"):
        assert part in text


def test_a_file_from_before_speculation_was_kept(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE counts (day TEXT, language TEXT, name TEXT, amount INTEGER NOT NULL)"
        )
    assert statistics.read_speculation(path) == {}
