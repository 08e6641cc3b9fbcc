"""The wheel of `make wheel` on a machine without a compiler: it installs, and completes code with what is inside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the platform tag is a Linux matter"),
    pytest.mark.skipif(not shutil.which("make"), reason="needs make"),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh wheel, built from a copy of the tree so that nothing of an earlier build helps."""
    copy = tmp_path_factory.mktemp("source") / "flash-lsp"
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    for name in map(os.fsdecode, filter(None, files)):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    subprocess.run(["make", "wheel", f"PYTHON={sys.executable}"], cwd=copy, check=True, capture_output=True)
    (built,) = (copy / "dist").glob("*.whl")
    return built


def test_it_is_a_manylinux_wheel_with_the_weights_and_licences_inside(wheel: Path) -> None:
    assert "manylinux" in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "flash_engine/models/manifest.json",
        "flash_engine/models/flash-coder/model.safetensors",
        "flash_engine/models/flash-coder-draft/model.safetensors",
        "flash_lsp/py.typed",
    ):
        assert wanted in names
    assert any(name.endswith("licenses/NOTICE") for name in names)
    assert not any("recipe" in name or name.endswith(".cpp") for name in names)


def test_it_completes_code_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    subprocess.run([sys.executable, "-m", "venv", home / "venv"], check=True)
    programs = home / "venv" / "bin"
    subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", wheel], check=True, timeout=600)
    source = home / "area.py"
    source.write_text("def area(width, height):\n    return wid\n", encoding="utf-8")
    answer = subprocess.run(
        [programs / "flash-lsp", "complete", "area.py:2:15", "--json"],
        cwd=home,
        env={"PATH": str(programs), "HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(answer.stdout)["text"].startswith("th * height")
