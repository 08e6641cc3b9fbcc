"""The extension's parts that need no editor, under node's own test runner."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ESBUILD = HERE.parents[2] / "editors/vscode/node_modules/.bin/esbuild"
SEARCH_PATH = f"{HERE.parents[2]}/.cache/editors/bin{os.pathsep}{os.environ['PATH']}"
NODE = shutil.which("node", path=SEARCH_PATH)


@pytest.mark.skipif(NODE is None, reason="node is not installed")
@pytest.mark.skipif(not ESBUILD.exists(), reason="run npm ci --ignore-scripts in editors/vscode")
def test_units(tmp_path: Path) -> None:
    assert NODE
    bundle = tmp_path / "pure.test.cjs"
    environment = {**os.environ, "PATH": SEARCH_PATH}
    build = [ESBUILD, HERE / "unit/pure.test.ts", "--bundle", "--platform=node", f"--outfile={bundle}"]
    subprocess.run(build, env=environment, check=True, capture_output=True)
    done = subprocess.run([NODE, "--test", bundle], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
