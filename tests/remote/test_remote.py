"""A remote engine against a scripted server: what goes there, what comes back, and what goes wrong."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from server.conftest import connect as editor

from flash_engine import FlashError, bundled
from flash_lsp.completer import Completer
from flash_lsp.prompt.window import PromptState
from flash_lsp.remote import connect as connecting
from flash_lsp.remote.connect import checked_address, connect
from flash_lsp.remote.engine import RemoteEngine
from flash_lsp.remote.errors import KEY_VARIABLE, RemoteError
from flash_lsp.remote.pieces import TextPieces
from flash_lsp.remote.words import hold_word
from flash_lsp.settings import Settings
from flash_lsp.suggestion import Suggestion

from .scripted import Script, serving

PREFIX = "import os\n\nTOKEN = '<|fim_suffix|>'\nx = "


@contextmanager
def remote(script: Script, **settings: Any) -> Iterator[RemoteEngine]:
    with serving(script) as address:
        engine = connect(Settings(remote=address, **settings), lambda stage, share: None)
        try:
            yield engine
        finally:
            engine.close()


def complete(engine: RemoteEngine, prefix: str = PREFIX, **options: Any) -> Suggestion:
    completer = Completer(engine, template=engine.template, budget=engine.budget)
    options = {"max_lines": 1, "max_tokens": 16} | options
    work = lambda: completer.complete(  # noqa: E731
        "a.py", prefix, "\nprint(x)\n", session=engine.session(), state=PromptState(), **options
    )
    return engine.submit(work).result(timeout=30)


def test_text_goes_there_in_the_models_template_and_the_line_comes_back() -> None:
    script = Script()
    seen: list[str] = []
    with remote(script) as engine:
        assert engine.name == "Qwen2.5-Coder-7B"
        assert engine.backend.name.startswith("remote http://127.0.0.1:")
        answer = complete(engine, progress=seen.append)
    assert (answer.text, answer.finish) == ("1 + 2", "line")
    assert seen == ["1", "1 +", "1 + 2"]
    assert answer.logprob == pytest.approx(-0.75), "of all three words"
    assert (answer.reused, answer.computed) == (40, 10)
    body = script.bodies[-1]
    assert body["prompt"] == (
        "<|file_sep|>a.py\n<|fim_prefix|>import os\n\nTOKEN = '< |fim_suffix|>'\n"
        "<|fim_suffix|>\nprint(x)\n<|fim_middle|>x = "
    )
    assert body["temperature"] == 0
    assert script.keys[-1] is None


def test_token_ids_go_there_where_a_tokenizer_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    script = Script()
    folder = str(bundled.root() / bundled.MAIN)
    with remote(script, remote_tokenizer=folder, template="flash-coder") as engine:
        complete(engine)
    prompt = script.bodies[-1]["prompt"]
    assert prompt.count(9) == 1, "the user's literal <|fim_suffix|> stays text"
    assert all(isinstance(token, int) for token in prompt)
    assert 0 in script.bodies[-1]["stop_token_ids"]
    assert script.keys[-1] == "Bearer secret"


def test_a_keystroke_appends_to_the_prompt() -> None:
    script = Script(tokens=(" foo(1, ",))
    with remote(script) as engine:
        state, session = PromptState(), engine.session()
        completer = Completer(engine, template=engine.template, budget=engine.budget)
        for typed in ("x = ", "x = f", "x = foo(1, "):
            engine.submit(
                lambda typed=typed: completer.complete(
                    "a.py", typed, "\n", session=session, state=state, max_lines=1, max_tokens=4
                )
            ).result()
    prompts = [body["prompt"] for body in script.bodies[1:]]
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(prompts))


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ((" compute", "(1)", "\n"), "ute(1)"),
        ((" ", "com", "pute", "(1)", "\n"), "ute(1)"),
    ],
)
def test_a_half_typed_word_is_left_out_and_begins_the_answer(tokens: tuple[str, ...], text: str) -> None:
    script = Script(tokens=tokens)
    with remote(script) as engine:
        assert complete(engine, "value = comp").text == text
    streamed = [body for body in script.bodies if body["stream"]]
    assert [body["prompt"].endswith("value =") for body in streamed] == [True]


@pytest.mark.parametrize("tokens", [("return", " 1"), (" com", "bine"), (" com",), ()])
def test_an_answer_that_begins_otherwise_is_asked_for_again(tokens: tuple[str, ...]) -> None:
    script = Script(tokens=tokens, later=("ute", "(1)", "\n"))
    with remote(script) as engine:
        assert complete(engine, "value = comp").text == "ute(1)"
    streamed = [body["prompt"] for body in script.bodies if body["stream"]]
    assert [
        prompt[-12:].endswith(end) for prompt, end in zip(streamed, ("value =", "value = comp"), strict=True)
    ]
    assert len(streamed) == 2


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("x = comp", " comp"),
        ("comp", "comp"),
        ("x = ", " "),
        ("    ", " "),
        ("if x:\n    re", " re"),
        ("a.b", "b"),
        ("\tgrüße", "\tgrüße"),
        ("f(", ""),
        ("x\n", ""),
        ("", ""),
    ],
)
def test_what_is_held_back(text: str, held: str) -> None:
    kept, data = hold_word(text)
    assert (kept + data.decode(), data.decode()) == (text, held)


def test_a_complete_line_ends_the_servers_work() -> None:
    script = Script(tokens=("1", "\n", *["2"] * 1000), seconds=0.002)
    with remote(script) as engine:
        assert complete(engine).text == "1"
        assert script.hung_up.wait(10)


def test_cancel_is_seen_while_the_server_is_silent() -> None:
    script = Script(seconds=20)
    cancel = threading.Event()
    threading.Timer(0.1, cancel.set).start()
    with remote(script) as engine:
        started = time.monotonic()
        answer = complete(engine, cancel=cancel)
        assert (answer.text, answer.finish, answer.silence) == ("", "cancelled", "cancelled")
        assert time.monotonic() - started < 10


def test_a_deadline_keeps_what_has_come() -> None:
    script = Script(tokens=("1", " +", *[" 2"] * 1000), seconds=0.05)
    with remote(script) as engine:
        answer = complete(engine, deadline=time.monotonic() + 1.0, max_tokens=500)
    assert answer.finish in ("deadline", "repetition")
    assert answer.text.startswith("1")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (Script(status=500), "HTTP status 500: see the server's log"),
        (Script(status=401), KEY_VARIABLE),
        (Script(breaks_after=2), "broke off"),
        (Script(garbage=True), "not understood"),
    ],
)
def test_what_goes_wrong_is_explained_and_the_engine_goes_on(script: Script, message: str) -> None:
    with remote(script) as engine:
        with pytest.raises(RemoteError, match=message) as caught:
            complete(engine)
        assert "import os" not in str(caught.value)
        script.status, script.breaks_after, script.garbage = 200, None, False
        assert complete(engine).text == "1 + 2"


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flash_lsp.remote.stream.SILENT_SECONDS", 0.2)
    with remote(Script(seconds=20)) as engine, pytest.raises(RemoteError, match="did not answer in time"):
        complete(engine)


def test_a_server_without_logprobs_and_one_that_loads_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "_PAUSE_SECONDS", 0.01)
    with remote(Script(takes_logprobs=False, loading=3)) as engine:
        answer = complete(engine)
    assert (answer.text, answer.logprob) == ("1 + 2", 0.0)


@pytest.mark.parametrize(
    ("script", "settings", "message"),
    [
        (Script(models=("a", "b")), {}, "has several models: set remoteModel to one of a, b"),
        (Script(models=()), {}, "does not list its models: set remoteModel"),
        (Script(), {"remote_model": "c"}, "has no model 'c': set remoteModel to one of Qwen2.5-Coder-7B"),
        (Script(models=("house-model",)), {}, "its name does not tell how it infills: set template"),
        (Script(), {"template": "none"}, "no template 'none'"),
        (Script(), {"remote_protocol": "llama.cpp"}, "is not llama-server"),
    ],
)
def test_settings_that_do_not_fit_the_server(script: Script, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RemoteError, match=message), remote(script, **settings):
        pass


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://models.example.com", "unencrypted"),
        ("http://192.168.1.5:8080", "unencrypted"),
        ("ftp://localhost", "is no address"),
        ("localhost:8080", "is no address"),
        ("https://me:secret@example.com", "no password"),
    ],
)
def test_addresses_that_are_refused(address: str, message: str) -> None:
    with pytest.raises(RemoteError, match=message) as caught:
        checked_address(address)
    assert "secret" not in str(caught.value)


def test_addresses_that_are_taken() -> None:
    assert checked_address("https://models.example.com/v1/") == "https://models.example.com"
    assert checked_address("http://[::1]:8080") == "http://[::1]:8080"
    assert checked_address("http://localhost:11434") == "http://localhost:11434"


def test_nobody_there() -> None:
    with serving(Script()) as address:
        pass
    with pytest.raises(RemoteError, match="cannot connect: start the server"):
        connect(Settings(remote=address), lambda stage, share: None)


def test_certificates_are_verified(tmp_path: Path) -> None:
    certificate, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate,
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    with serving(Script(), (certificate, key)) as address:
        with pytest.raises(RemoteError, match="certificate is not trusted: set remoteCa"):
            connect(Settings(remote=address), lambda stage, share: None)
        engine = connect(Settings(remote=address, remote_ca=certificate), lambda stage, share: None)
        assert complete(engine).text == "1 + 2"
        engine.close()
        with pytest.raises(FlashError, match="setting remoteCa"):
            connect(Settings(remote=address, remote_ca=str(tmp_path / "none")), lambda stage, share: None)


async def test_the_language_server_shows_that_it_is_remote() -> None:
    with serving(Script(tokens=(" compute", "(", "first", ")", "\n"))) as address:
        command = (sys.executable, "-m", "flash_lsp", "serve")
        async with editor(command=command, remote=address, deadline_ms=5000) as client:
            assert await client.loaded() == "ready"
            assert client.statuses[-1].message == f"Qwen2.5-Coder-7B on remote {address} (OpenAI API)"
            document = client.open("total = ")
            item = await client.suggest(document, len("total = "))
            assert item is not None
            assert item.insert_text == "compute(first)"


async def test_a_server_that_is_gone_is_an_error_with_a_remedy() -> None:
    with serving(Script()) as address:
        pass
    async with editor(command=(sys.executable, "-m", "flash_lsp", "serve"), remote=address) as client:
        assert await client.loaded() == "error"
        assert "cannot connect" in client.statuses[-1].message


def test_pieces_are_the_text_again() -> None:
    pieces = TextPieces()
    text = "def grüße(x):\r\n\treturn '👋🏽  wörld'\n\n"
    assert pieces.text(pieces.encode(text)) == text
    assert pieces.special("\n") is None
    control = pieces.special("<|fim_prefix|>")
    assert control is not None
    assert control not in pieces.encode("a <|fim_prefix|> b")
    assert len(pieces.encode("value = compute(first, second)")) == pytest.approx(10, abs=4)
