"""`flash-lsp models` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flash_engine import bundled, library
from flash_lsp.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit:
        main(["models", *map(str, arguments)])
    out, err = capsys.readouterr()
    return int(exit.value.code or 0), out, err


def test_from_conversion_to_removal(
    capsys: pytest.CaptureFixture[str], sixteen_bit: Path, own_models: Path, tmp_path: Path
) -> None:
    code, out, _ = run(capsys, "convert", sixteen_bit, "--bits", "mixed", "--group", 32)
    assert code == 0
    assert "relative error of the weights" in out
    name = "tiny-llama-mixed-g32"
    assert library.names() == [name]
    code, _, err = run(capsys, "convert", sixteen_bit, "--bits", "mixed", "--group", 32)
    assert code == 2
    assert "exists already" in err
    code, out, _ = run(capsys, "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert rows[name]["kind"] == "yours"
    assert rows[name]["note"] == "converted from tiny-llama"
    assert rows["flash-coder"]["fits"]
    assert rows["Qwen/Qwen2.5-Coder-0.5B"]["license"] == "Apache-2.0"
    code, out, _ = run(capsys, "verify", name)
    assert (code, "files as they were" in out) == (0, True)
    source = tmp_path / "code"
    source.mkdir()
    (source / "a.py").write_text("def add(first, second):\n    return first + second\n\n" * 30)
    code, out, _ = run(
        capsys, "eval", name, source, "--against", sixteen_bit, "--tokens", 200, "--cases", 2, "--json",
        "--device", "native",
    )  # fmt: skip
    assert code == 0
    ours, original = json.loads(out)
    assert (ours["tokens"], ours["cases"]) == (original["tokens"], original["cases"])
    assert ours["perplexity"] == pytest.approx(original["perplexity"], rel=0.2)
    code, _, err = run(capsys, "eval", name, tmp_path / "none")
    assert (code, "no such folder" in err) == (2, True)
    (own_models / name / "model.safetensors").write_bytes(b"x")
    code, _, err = run(capsys, "verify", name)
    assert (code, "model.safetensors is not the file" in err) == (2, True)
    assert run(capsys, "remove", name, "--yes")[0] == 0
    assert library.names() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("verify", "none"), "is not one of your models"),
        (("remove", "flash-coder", "--yes"), "is not one of your models"),
        (("convert", "flash-coder", "--bits", "5"), "--bits 5"),
        (("convert", "flash-coder", "--group", "48"), "--group 48"),
        (("convert", "flash-coder", "--to", "onnx"), "--to onnx"),
        (("convert", "flash-coder", "--bits", "4"), "quantized already"),
        (("pull", "not-a-repository"), "is no repository"),
        (("convert", "none"), "no model 'none'"),
    ],
)
def test_bad_input_is_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert message in err
    assert err.strip().count("\n") <= 1


def test_bundled_models_are_verified(capsys: pytest.CaptureFixture[str]) -> None:
    for name in bundled.names():
        assert run(capsys, "verify", name)[:2] == (0, f"{name}: all files as shipped\n")
