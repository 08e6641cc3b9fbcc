"""VS Code as code-server: one process group on a loopback port, with its own folders, for one run of a test."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUIET = {
    "workbench.startupEditor": "none",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "telemetry.telemetryLevel": "off",
    "extensions.autoUpdate": False,
    "extensions.autoCheckUpdates": False,
    "extensions.ignoreRecommendations": True,
    "chat.disableAIFeatures": True,
    "editor.minimap.enabled": False,
    "editor.quickSuggestions": {"other": "off", "comments": "off", "strings": "off"},
    "editor.wordBasedSuggestions": "off",
    "editor.suggestOnTriggerCharacters": False,
    "editor.parameterHints.enabled": False,
    "editor.autoClosingBrackets": "never",
    "editor.autoClosingQuotes": "never",
    "editor.autoIndent": "none",
    "editor.trimAutoWhitespace": False,
    "editor.fontSize": 16,
    "files.autoSave": "off",
}
"""User settings under which the editor adds nothing of its own to what is typed."""

KEYS = [{"key": "ctrl+alt+right", "command": "editor.action.inlineSuggest.acceptNextLine"}]
"""VS Code has this command, but no key for it."""


@dataclass(frozen=True, slots=True)
class CodeServer:
    """A running code-server."""

    port: int
    project: Path
    home: Path

    def logs(self) -> str:
        """What the extension host and flash-lsp's channel wrote, for the report of a failure."""
        files = [
            *self.home.glob("data/logs/**/remoteexthost.log"),
            *self.home.glob("data/logs/**/*flash-lsp.log"),
        ]
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-4000:]}" for file in files)


@contextmanager
def code_server(
    install: Path,
    home: Path,
    *,
    extension: Path | None,
    settings: Mapping[str, Any],
) -> Iterator[CodeServer]:
    """Start VS Code from the folder `install` with the .vsix `extension`, and end all of its processes afterwards.

    `settings` are the machine's: in a remote window those of machine scope are read from there only.
    """
    project, data, extensions = home / "project", home / "data", home / "extensions"
    for folder in (project, extensions, data / "User", data / "Machine"):
        folder.mkdir(parents=True, exist_ok=True)
    (data / "User/settings.json").write_text(json.dumps(QUIET))
    (data / "User/keybindings.json").write_text(json.dumps(KEYS))
    (data / "Machine/settings.json").write_text(json.dumps(settings))
    program = [
        install / "node/bin/node",
        install / "code-server/node_modules/code-server/out/node/entry.js",
        f"--extensions-dir={extensions}",
        f"--user-data-dir={data}",
    ]
    # Its own configuration folder, and no gallery to ask.
    env = {**os.environ, "XDG_CONFIG_HOME": str(home / "xdg"), "EXTENSIONS_GALLERY": "{}"}
    if extension:
        _run([*program, "--install-extension", extension], env)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        f"--bind-addr=127.0.0.1:{port}",
        "--auth=none",
        "--disable-telemetry",
        "--disable-update-check",
    ]
    options += ["--disable-workspace-trust", "--disable-getting-started-override"]
    with (home / "code-server.log").open("w") as log:
        process = subprocess.Popen(
            [*program, *options, project], env=env, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_until_healthy(port, process)
        yield CodeServer(port, project, home)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _run(command: Sequence[object], env: Mapping[str, str]) -> None:
    done = subprocess.run([str(word) for word in command], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _wait_until_healthy(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"code-server did not start on port {port}")
