"""A remote engine against llama.cpp's own server on loopback, with the bundled model as GGUF."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from flash_engine import Engine, bundled
from flash_lsp.cli import main
from flash_lsp.completer import Completer
from flash_lsp.prompt.window import PromptState
from flash_lsp.remote.connect import connect
from flash_lsp.remote.words import WordHeld
from flash_lsp.settings import Settings
from flash_lsp.suggestion import Suggestion

CACHE = Path(os.environ.get("FLASH_CACHE", Path(__file__).parents[2] / ".cache"))
SERVER = CACHE / "llama-server" / "llama-server"
PREFIXES = (
    "def add(first, second):\n    return ",
    "def add(first, second):\n    return first",
    "def add(first, second):\n    return fir",
    "def subtract(first, second):\n    total = first - second\n    if tot",
    "def add(first, second):\n    ret",
    "import os\n\nTOKEN = '<|fim_suffix|>'\n\ndef area(width, height):\n",
)
SUFFIX = "\n\nprint(add(1, 2))\n"

pytestmark = pytest.mark.skipif(
    not SERVER.exists(),
    reason="no llama-server in .cache: tests/remote/install_llama_server.sh .cache",
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    model = tmp_path_factory.mktemp("gguf") / "flash-coder.gguf"
    with pytest.raises(SystemExit) as exit:
        main(["models", "convert", "flash-coder", "--to", "gguf", "--out", str(model)])
    assert not exit.value.code
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [SERVER, "--model", model, "--port", str(port), "--threads", "1", "-c", "4096", "-np", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(600):
                if _is_listening(url):
                    break
                time.sleep(0.1)
            yield url
        finally:
            process.kill()


def _is_listening(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health", trust_env=False).status_code < 600
    except httpx2.HTTPError:
        return False


def answers(engine: Any, template: str) -> list[Suggestion]:
    completer = Completer(engine, template=template)
    session, state = engine.session(), PromptState()

    def work() -> list[Suggestion]:
        return [
            completer.complete(
                "a.py", prefix, SUFFIX, session=session, state=state, max_lines=8, max_tokens=24
            )
            for prefix in PREFIXES
        ]

    suggestions: list[Suggestion] = engine.submit(work).result(timeout=240)
    return suggestions


@pytest.mark.parametrize(
    ("protocol", "tokenizer"), [("auto", ""), ("openai", ""), ("openai", str(bundled.root() / bundled.MAIN))]
)
def test_it_completes_as_the_engine_in_this_process_does(address: str, protocol: str, tokenizer: str) -> None:
    settings = Settings(
        remote=address,
        remote_protocol=protocol,
        template="flash-coder",
        remote_tokenizer=tokenizer,
    )
    remote = connect(settings, lambda stage, share: None)
    try:
        assert ("llama.cpp" in remote.backend.name) == (protocol == "auto")
        theirs = answers(remote, "flash-coder")
    finally:
        remote.close()
    with Engine.load() as engine:
        ours, whole = (
            answers(
                SimpleNamespace(
                    name=engine.name,
                    tokenizer=tokenizer,
                    backend=engine.backend,
                    session=engine.session,
                    submit=engine.submit,
                ),
                "flash-coder",
            )
            for tokenizer in (WordHeld(engine.tokenizer), Unheld(engine.tokenizer))
        )
    if protocol == "auto":
        assert [each.text for each in theirs] == [each.text for each in ours], "the grammar is a byte prefix"
        assert theirs[1].reused > 0, "a keystroke reuses what the server keeps of the prompt"
        assert [each.logprob for each in theirs] == pytest.approx([each.logprob for each in ours], abs=0.2)
    else:
        for their, our, unheld in zip(theirs, ours, whole, strict=True):
            assert their.text in (our.text, unheld.text), "spelled by itself, or asked for again"


class Unheld(WordHeld):
    """Nothing is held back."""

    def hold_back(self, text: str) -> tuple[str, bytes]:
        return text, b""
