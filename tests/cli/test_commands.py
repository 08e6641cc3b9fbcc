"""The commands as a user meets them: what they print, and what they say to bad input."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

from flash_engine import bundled
from flash_lsp.cli.errors import InputError
from flash_lsp.cli.serve import loopback_address

from .conftest import Outcome, Run

SOURCE = "def add(a, b):\n    return a\n\n\nprint(add(1, 2))\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "add.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A copy of the bundled draft and tokenizer with weights cut short."""
    folder = tmp_path / "damaged-model"
    shutil.copytree(bundled.root() / "flash-coder-draft", folder)
    shutil.copy(bundled.root() / "flash-coder" / "tokenizer.json", folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    return folder


def refused(outcome: Outcome) -> str:
    """The one line on stderr with which bad input is refused."""
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("flash-lsp: ")
    assert outcome.err.endswith("\n")
    assert outcome.err.count("\n") == 1
    return outcome.err


def test_version(flash_lsp: Run) -> None:
    assert flash_lsp("--version").out == f"flash-lsp {version('flash-lsp')}\n"


@pytest.mark.parametrize(
    "command",
    [
        "",
        "serve",
        "complete",
        "demo",
        "doctor",
        "bench",
        "bench replay",
        "bench quality",
        "bench gate",
        "bench engine",
        "bench peers",
    ],
)
def test_every_command_has_help(flash_lsp: Run, command: str) -> None:
    outcome = flash_lsp(*command.split(), "--help")
    assert outcome.code == 0
    assert "Usage: flash-lsp" in outcome.out


def test_complete_refuses_what_is_no_place_in_a_file(flash_lsp: Run, source: Path, tmp_path: Path) -> None:
    binary = tmp_path / "a.bin"
    binary.write_bytes(b"\0\1")
    for where, message in [
        (f"{tmp_path}/none.py:1:1", "none.py: no such file"),
        (f"{tmp_path}:1:1", "is a folder"),
        (f"{binary}:1:1", "is a binary file"),
        (f"{source}:99:1", "has lines 1 to 6; there is no line 99"),
        (f"{source}:1:99", "line 1 has columns 1 to 15; there is no column 99"),
        (f"{source}", "is not FILE:LINE:COL"),
    ]:
        assert message in refused(flash_lsp("complete", where))


def test_complete_wants_a_place_or_a_batch(flash_lsp: Run, source: Path) -> None:
    assert "give either" in refused(flash_lsp("complete"))
    assert "give either" in refused(flash_lsp("complete", f"{source}:1:1", "--batch", source))


def test_complete_refuses_models_it_cannot_use(flash_lsp: Run, source: Path, damaged: Path) -> None:
    assert "no model 'gpt-9'" in refused(flash_lsp("complete", f"{source}:1:1", "--model", "gpt-9"))
    assert "model.safetensors" in refused(flash_lsp("complete", f"{source}:1:1", "--model", damaged))
    assert "no device 'abacus'" in refused(flash_lsp("complete", f"{source}:1:1", "--device", "abacus"))


def test_demo_and_replay_tell_the_servers_reason(flash_lsp: Run, damaged: Path) -> None:
    assert "model.safetensors" in refused(flash_lsp("demo", "--model", damaged))
    outcome = flash_lsp("bench", "replay", "--model", "gpt-9")
    assert outcome.code == 2
    assert "no model 'gpt-9'" in outcome.err


def test_demo_refuses_a_file_without_code(flash_lsp: Run, tmp_path: Path) -> None:
    prose = tmp_path / "prose.txt"
    prose.write_text("Nothing to see here.\n", encoding="utf-8")
    assert "prose.txt" in refused(flash_lsp("demo", "--file", prose))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7777", ("127.0.0.1", 7777)),
        ("127.8.9.1:0", ("127.8.9.1", 0)),
        ("localhost:80", ("127.0.0.1", 80)),
        ("[::1]:9", ("::1", 9)),
    ],
)
def test_serve_takes_loopback_addresses(text: str, address: tuple[str, int]) -> None:
    assert loopback_address(text) == address


@pytest.mark.parametrize("text", ["0.0.0.0:1", "192.168.1.2:1", "example.org:1", "[::]:1", ":1"])
def test_serve_refuses_other_addresses(text: str) -> None:
    with pytest.raises(InputError, match="only loopback addresses"):
        loopback_address(text)


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1"]
)
def test_serve_refuses_bad_ports(text: str) -> None:
    with pytest.raises(InputError, match="HOST:PORT"):
        loopback_address(text)


@pytest.mark.bundled
def test_complete_shows_the_suggestion_in_its_place(flash_lsp: Run, source: Path) -> None:
    outcome = flash_lsp("complete", f"{source}:2:13")
    assert outcome.code == 0
    assert "2 │     return a« + b»" in outcome.out
    assert "5 │ print(add(1, 2))" in outcome.out
    assert "flash-coder on" in outcome.out


@pytest.mark.bundled
def test_complete_prints_json(flash_lsp: Run, source: Path) -> None:
    answer = json.loads(flash_lsp("complete", f"{source}:2:13", "--json").out)
    assert answer["text"] == " + b"
    assert (answer["line"], answer["column"], answer["silence"]) == (2, 13, None)
    assert answer["tokens"] > 0
    assert 0 < answer["first_ms"] <= answer["total_ms"]


@pytest.mark.bundled
def test_complete_names_the_reason_of_a_silence(flash_lsp: Run, source: Path) -> None:
    assert "no suggestion: mid-line" in flash_lsp("complete", f"{source}:1:5").out


@pytest.mark.bundled
def test_doctor_finds_everything_in_order_or_a_remedy(flash_lsp: Run) -> None:
    outcome = flash_lsp("doctor", "--json")
    report = json.loads(outcome.out)
    assert [check["name"] for check in report["checks"]] == [
        "processor", "model", "memory", "engine", "prompt", "speed",
    ]  # fmt: skip
    assert outcome.code == (0 if report["ok"] else 1)
    assert report["ok"] == all(check["ok"] for check in report["checks"])
    assert all(check["ok"] or check["remedy"] for check in report["checks"])
    assert report["checks"][-1]["figures"]["decode_tokens_per_s"] > 0


def test_doctor_names_a_remedy(flash_lsp: Run, damaged: Path) -> None:
    outcome = flash_lsp("doctor", "--model", damaged)
    assert outcome.code == 1
    assert "remedy  model" in outcome.out
    assert "model.safetensors" in outcome.out
    assert "ok      processor" in outcome.out


def test_bench_refuses_what_it_cannot_measure(flash_lsp: Run, tmp_path: Path) -> None:
    assert "no shape 'gpt-9': give one of deepseek-1.3b" in refused(
        flash_lsp("bench", "engine", "--shape", "gpt-9")
    )
    assert "none.gguf: no such file" in refused(
        flash_lsp("bench", "peers", "--cpu", "--gguf", tmp_path / "none.gguf")
    )
    assert "isa mmx: avx2 is the one there is" in refused(
        flash_lsp("bench", "peers", "--cpu", "--isa", "mmx")
    )


@pytest.mark.parametrize(
    "command", [("bench", "gate", "--png"), ("bench", "replay", "--png"), ("bench", "engine", "--roofline")]
)
def test_a_picture_that_cannot_be_drawn_is_refused_before_the_bench(
    flash_lsp: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr("flash_lsp.cli.options.find_spec", lambda name: None)
    outcome = flash_lsp(*command, "a.png")
    assert outcome.code == 2
    assert 'pictures need matplotlib: pip install "flash-lsp[bench]"' in outcome.err
