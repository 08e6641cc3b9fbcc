"""The gate's bench over a scripted model that knows the file by heart, but for what it says with little conviction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from engine.scripted import CONFIG, ScriptedBackend

from flash_engine import Engine, FlashError, Tokenizer
from flash_lsp.bench import gate, plots

SOURCE = "".join(
    f"def function_{n}(argument):\n    value = compute(argument)\n    return value + {n}\n\n\n"
    for n in range(60)
)
_KNOWN = 12
"""Bytes by which the model knows where it is."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    return path


def engine_for(path: Path, tokenizer: Tokenizer) -> Engine:
    def choose(tokens: Sequence[int]) -> int:
        written = b"".join(tokenizer.token_bytes(token) for token in tokens[-64:])[-_KNOWN:].decode()
        at = SOURCE.find(written)
        return tokenizer.encode(SOURCE[at + len(written)] if at >= 0 else "?")[0]

    return Engine("flash-coder", path, CONFIG, tokenizer, ScriptedBackend(choose, capacity=2048))


def test_a_stricter_gate_shows_less_and_what_it_shows_is_as_right(
    source: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    with engine_for(tmp_path, tokenizer) as engine:
        figures = gate.run(engine, {"mine": [source]}, keys=60, least=(0.9, 1e-9, 0.0))
    [group] = figures["groups"]
    assert group["keys"] >= 60
    assert group["files"] == [str(source)]
    strict, loose, none = group["gates"]
    assert strict["on_time_share"] < loose["on_time_share"] <= none["on_time_share"]
    assert strict["empty_share"] > none["empty_share"]
    assert none["exact_all"] > 0.3, "the model knows most of the file"
    assert none["right_characters"] > none["wrong_characters"]
    assert none["flicker"] == 0
    assert none["requests"] == group["keys"]
    pytest.importorskip("matplotlib")
    plots.gate(figures, tmp_path / "gate.png")
    assert (tmp_path / "gate.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_typed_where_nothing_is_named(source: Path, tmp_path: Path) -> None:
    (tmp_path / "short.py").write_text("x = 1\n" * 150)
    (tmp_path / "other.c").write_text(SOURCE)
    (tmp_path / "encodings").mkdir()
    (tmp_path / "encodings" / "table.py").write_text(SOURCE)
    assert gate.choose(tmp_path, count=8, seed=0) == [source]


def test_files_without_code_are_named(tmp_path: Path, tokenizer: Tokenizer) -> None:
    prose = tmp_path / "prose.py"
    prose.write_text("# words\n# and words\n# and words\n")
    with engine_for(tmp_path, tokenizer) as engine, pytest.raises(FlashError, match="could be typed"):
        gate.run(engine, {"mine": [prose]}, keys=10)
