"""`flash-lsp stats` in a data folder of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

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
