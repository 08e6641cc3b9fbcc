"""Instruction sets that few machines have, AMX and AVX-VNNI, executed by an emulated processor that has them all."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from . import machine

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "engine" / "native"
ISAS = ["amx", "avx512vnni", "avxvnni", "avx512", "avx2", "scalar"]

pytestmark = [
    pytest.mark.skipif(
        not (machine.BOCHS / "stamp").is_file() or shutil.which("genisoimage") is None,
        reason="no Bochs in .cache: tests/emulated/install_bochs.sh .cache",
    ),
    pytest.mark.timeout(3600),
]


def test_kernels_and_models_on_every_isa(tmp_path: Path) -> None:
    """tiles: the emulator does as documented. kernels_test and model_test: as in test_native, with real tiles."""
    build = tmp_path / "build"
    options = ["-DFLASH_TESTS=ON", "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_EXE_LINKER_FLAGS=-static -s"]
    for command in (["cmake", "-S", SOURCES, "-B", build, *options], ["cmake", "--build", build]):
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
    machine.compile_static(HERE / "tiles.cpp", build / "tiles", "-mamx-tile", "-mamx-int8")
    programs = {name: build / name for name in ("tiles", "kernels_test", "model_test")}
    folder = tmp_path / "machine"
    folder.mkdir()
    console = machine.run(programs, folder)
    for name in programs:
        assert f"{name}: exit 0\n" in console, console
    assert re.findall(r"^(\w+): \d+ results equal$", console, re.MULTILINE) == ISAS
    assert re.findall(r"^(\w+): model on 4 threads: every pass equal$", console, re.MULTILINE) == ISAS


@pytest.mark.bundled
def test_bundled_model(tmp_path: Path) -> None:
    """The Python package as it is installed here gives there, with tiles, the logits of the scalar kernels here."""
    python = str(Path(sys.executable).resolve())
    launcher = tmp_path / "bundled"
    # What finds the modules of an editable installation: the site module would import it.
    finders = [name for name in sys.modules if name.startswith("_editable_")]
    launcher.write_text(
        f"#!{python} -S\nimport runpy, sys\n"
        f"sys.path[:] = {[path for path in sys.path if path]}\n"
        f"for name in {finders}: __import__(name)\n"
        f"sys.argv[1:] = sys.argv[1:] or {ISAS[:3]}\n"
        f"runpy.run_path({str(HERE / 'bundled.py')!r}, run_name='__main__')\n"
    )
    launcher.chmod(0o755)
    here = subprocess.run([launcher, "scalar"], capture_output=True, text=True, check=True).stdout
    files = [Path(line) for line in here.splitlines() if line.startswith("/")]
    files += [HERE / "bundled.py", Path("/lib64/ld-linux-x86-64.so.2")]
    folder = tmp_path / "machine"
    folder.mkdir()
    console = machine.run({"bundled": launcher}, folder, files=files, megabytes=1536)
    assert "bundled: exit 0\n" in console, console
    assert "found: " + " ".join(ISAS) in console
    logits = dict(re.findall(r"^(\w+): ([0-9a-f]{64})$", here + console, re.MULTILINE))
    assert logits.keys() == {"scalar", *ISAS[:3]}
    assert set(logits.values()) == {logits["scalar"]}
