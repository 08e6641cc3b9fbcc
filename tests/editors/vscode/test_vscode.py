"""The VS Code extension in real VS Code (code-server) and headless Chromium, with the bundled model.

Each run starts one VS Code and one browser, and reports one result for each scenario.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .code_server import code_server

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
EXTENSION = ROOT / "editors/vscode"
INSTALL = ROOT / ".cache/editors"
SHOTS = INSTALL / "shots"
CHROMIUM = shutil.which("chromium") or ""
RUN_SECONDS = 120
SCRIPTED_SERVER = HERE.parent / "scripted_server.py"
SCRIPT = {
    "encoding": "utf-16",
    "rules": [
        {"before": "first", "replies": [{"texts": ["_one", "_two", "_three"]}]},
        {"before": "more", "replies": [{"texts": ["_a"]}, {"texts": ["_a", "_b"]}]},
        {"before": "def a", "replies": [{"texts": ["dd(a, b):\n    return a + b"]}]},
        {"before": "def add", "replies": [{"texts": ["(a, b):\n    return a + b"]}]},
        {"before": "def add(a, b):", "replies": [{"texts": ["\n    return a + b"]}]},
        {"before": "    ", "replies": [{"texts": ["return a + b"]}]},
        {"before": "short", "replies": [{"texts": ["_a"], "ready": 0.3}, {"texts": ["_a_and_more"]}]},
        {"before": "unsure", "replies": [{"texts": [], "silence": "low-confidence"}]},
        {"before": "", "replies": [{"texts": ["    return a + b"]}]},
    ],
    # Some have the names of commands of the extension.
    "commands": {
        "flash-lsp.stats": {"requests": 7},
        "flash-lsp.explainLastSilence": {
            "reason": "low-confidence",
            "message": "the model is not sure enough",
            "uri": "",
            "version": 0,
        },
        "flash-lsp.clearCaches": None,
        "flash-lsp.pause": {"paused": True},
        "flash-lsp.resume": {"paused": False},
        "flash-lsp.snooze": {"minutes": 10},
    },
}
NO_SERVER: dict[str, Any] = {"flash-lsp.serverCommand": []}
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"

pytestmark = [
    pytest.mark.bundled,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed"),
    pytest.mark.skipif(
        not (INSTALL / "vscode.stamp").exists(),
        reason="VS Code is not installed: run tests/editors/install_vscode.sh .cache/editors",
    ),
]


@pytest.fixture(scope="module")
def thin_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The thin .vsix, made from the sources as they are."""
    package = tmp_path_factory.mktemp("package") / "flash-lsp.vsix"
    environment = {**os.environ, "PATH": f"{INSTALL}/bin:{os.environ['PATH']}"}
    if not (EXTENSION / "node_modules" / ".package-lock.json").exists():
        fetch = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        fetched = subprocess.run(fetch, cwd=EXTENSION, env=environment, capture_output=True, text=True)
        if fetched.returncode != 0:
            pytest.skip(f"npm could not fetch the extension's dependencies: {fetched.stderr.strip()[:200]}")
    done = subprocess.run(
        [EXTENSION / "package.sh", "thin", package], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return package


def _run(home: Path, package: Path | None, *script: Path, **settings: Any) -> dict[str, str | None]:
    """Run a script of ui/ or host/ on a new VS Code; returns each scenario's error."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    pid = home / "server.pid"
    server = [sys.executable, "-P", str(HERE / "launch.py"), str(pid)]
    settings = {"flash-lsp.serverCommand": server, **settings}
    with code_server(INSTALL, home, extension=package, settings=settings) as editor:
        environment = {
            **os.environ,
            "NODE_PATH": str(INSTALL / "playwright/node_modules"),
            "CHROMIUM": CHROMIUM,
            "PORT": str(editor.port),
            "PROJECT": str(editor.project),
            "SHOTS": str(SHOTS),
            "PID_FILE": str(pid),
            "SERVER_COMMAND": json.dumps(server),
        }
        command = [INSTALL / "node/bin/node", *script]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=RUN_SECONDS)
        lines = [line for line in done.stdout.splitlines() if line.startswith('{"name"')]
        assert lines, done.stdout + done.stderr + editor.logs()
        return {result["name"]: result["error"] for result in map(json.loads, lines)}


def _report(errors: dict[str, str | None], expected: int) -> None:
    failures = [f"{name}: {error}" for name, error in errors.items() if error]
    assert not failures, "\n\n".join(failures)
    assert len(errors) == expected, list(errors)


def test_ghost_text_status_and_crash(tmp_path: Path, thin_package: Path) -> None:
    _report(_run(tmp_path, thin_package, HERE / "ui/run.js", HERE / "ui/scenarios.js"), expected=12)


def test_candidates_commands_and_walkthrough(tmp_path: Path, thin_package: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps(SCRIPT))
    server = [sys.executable, str(SCRIPTED_SERVER), str(script), str(tmp_path / "log.jsonl")]
    settings = {"flash-lsp.serverCommand": server}
    _report(_run(tmp_path, thin_package, HERE / "ui/run.js", HERE / "ui/scripted.js", **settings), expected=8)


def test_fast_typing(tmp_path: Path, thin_package: Path) -> None:
    _report(_run(tmp_path, thin_package, HERE / "ui/run.js", HERE / "ui/fast_typing.js"), expected=1)


def test_inside_the_extension_host(tmp_path: Path, thin_package: Path) -> None:
    # The package is only built, not installed: the host runs the extension from its folder.
    # With patience the first answer is the whole one.
    patience = {"flash-lsp.deadlineMs": 5000}
    _report(_run(tmp_path, None, HERE / "host/run.js", EXTENSION, **patience), expected=10)


def test_thin_package_without_a_server(
    tmp_path: Path, thin_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", SYSTEM_PATH)
    _report(
        _run(tmp_path, thin_package, HERE / "ui/run.js", HERE / "ui/no_server.js", **NO_SERVER), expected=3
    )


FULL_PACKAGES = list((ROOT / "dist").glob("flash-lsp-*-*.vsix"))


@pytest.mark.skipif(not FULL_PACKAGES, reason="no full package in dist: run editors/vscode/package.sh")
def test_first_run_of_the_full_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", SYSTEM_PATH)
    _report(
        _run(tmp_path, FULL_PACKAGES[0], HERE / "ui/run.js", HERE / "ui/first_run.js", **NO_SERVER),
        expected=1,
    )
    environment = tmp_path / "data/User/globalStorage/flash-lsp.flash-lsp/server"
    assert (environment / "flash-lsp.installed").read_text().startswith("flash_lsp-")
