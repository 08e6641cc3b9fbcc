"""Demo and replay with the bundled model and the real server."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from flash_lsp.examples import example

from .conftest import Run

pytestmark = pytest.mark.bundled

SHARES = {"on_time_share", "held_share", "empty_share", "cached_share", "type_through_share"}


def test_demo_without_a_terminal(flash_lsp: Run, tmp_path: Path) -> None:
    report = tmp_path / "demo.json"
    outcome = flash_lsp("demo", "--keys", 60, "--speed", 4, "--json", report)
    assert outcome.code == 0, outcome.err
    assert "requests" in outcome.out.splitlines()[0]
    assert "flash-lsp demo: vector.py" in outcome.out
    figures = json.loads(report.read_text())
    assert figures["keys"] + figures["accepted"] >= 60
    assert figures["requests"] == figures["judged"] + figures["superseded_early"]
    assert all(0 <= figures[share] <= 1 for share in SHARES)


def test_replay_measures_everything_in_one_run(flash_lsp: Run, tmp_path: Path) -> None:
    report = tmp_path / "replay.json"
    path, _ = example()
    picture = tmp_path / "replay.png"
    plotted = ("--png", picture) if importlib.util.find_spec("matplotlib") else ()
    outcome = flash_lsp("bench", "replay", path, "--keys", 20, "--debounce-ms", 0, "--json", report, *plotted)
    assert outcome.code == 0, outcome.err
    assert picture.exists() == bool(plotted)
    result = json.loads(report.read_text())
    (figures,) = result["runs"]
    assert figures["keys"] >= 20
    assert len(figures["timeline"]) == figures["requests"]
    assert 0 < figures["kv_hit_rate"] <= 1
    assert figures["flicker"] == 0
    assert 0 <= figures["idle_cpu"] < 1
    assert figures["keys"] == figures["requests"] + figures["unasked_keys"]
    assert figures["tokens_per_key"] > 0
    assert figures["first_suggestion_s"] > 0
    assert figures["server_rss_mb"] > 50
    assert result["machine"]["cores"] >= 1
    assert {"p50_ms", "p95_ms", "p99_ms", "exact_all", "exact_shown"} | SHARES <= figures.keys()
    assert result["files"][0]["passages"] >= 1


def test_replay_refuses_a_file_it_cannot_type(flash_lsp: Run, tmp_path: Path) -> None:
    outcome = flash_lsp("bench", "replay", tmp_path / "none.py")
    assert outcome.code == 2
    assert outcome.err == f"flash-lsp: {tmp_path / 'none.py'}: no such file\n"
    prose = tmp_path / "prose.py"
    prose.write_text("# nothing but prose\n", encoding="utf-8")
    assert "prose.py has no paragraph of code" in flash_lsp("bench", "replay", prose).err
