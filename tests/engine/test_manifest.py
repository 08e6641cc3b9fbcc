from __future__ import annotations

import json
from pathlib import Path

import pytest

from flash_engine import ModelError, bundled, manifest

from .tiny import write_checkpoint


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        write_checkpoint(tmp_path / name)
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "notes.json").write_text("{}")
    manifest.write(tmp_path)
    return tmp_path


def test_lists_the_files_of_models_only(root: Path) -> None:
    listed = json.loads((root / "manifest.json").read_text())
    assert list(listed) == [
        f"{name}/{file}" for name in ("one", "two") for file in ("config.json", "model.safetensors")
    ]


def test_untouched_files_pass(root: Path) -> None:
    manifest.verify(root / "one")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "append"])
def test_altered_file_is_named(root: Path, name: str, damage: str) -> None:
    file = root / "one" / name
    data = bytearray(file.read_bytes())
    match damage:
        case "flip":
            data[len(data) // 2] ^= 1
        case "truncate":
            del data[-1]
        case "append":
            data.append(32)
    file.write_bytes(data)
    with pytest.raises(
        ModelError, match=rf"one/{name} is not the file that was shipped .*: reinstall flash-lsp"
    ):
        manifest.verify(root / "one")
    manifest.verify(root / "two")


def test_missing_file_is_named(root: Path) -> None:
    (root / "one" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"one/model\.safetensors is missing: reinstall"):
        manifest.verify(root / "one")


@pytest.mark.parametrize("content", [None, "", "{}", "{1"])
def test_missing_or_damaged_manifest_is_refused(root: Path, content: str | None) -> None:
    (root / "manifest.json").unlink()
    if content is not None:
        (root / "manifest.json").write_text(content)
    with pytest.raises(ModelError, match=r"manifest\.json .*: reinstall"):
        manifest.verify(root / "one")


def test_bundled_models_are_as_shipped() -> None:
    assert bundled.names() == ["flash-coder", "flash-coder-draft"]
    for name in bundled.names():
        assert bundled.locate(name) == bundled.root() / name


def test_bundled_model_given_by_its_path_is_verified_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "root", lambda: root)
    (root / "one" / "config.json").write_text("{}")
    for model in ("one", root / "one", str(root / "two" / ".." / "one")):
        with pytest.raises(ModelError, match="is not the file that was shipped"):
            bundled.locate(model)


def test_no_such_model() -> None:
    with pytest.raises(ModelError, match=r"no model 'nothing': .* bundled flash-coder, flash-coder-draft"):
        bundled.locate("nothing")
