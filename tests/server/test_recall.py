"""Documents that are known again after a restart, and those of which nothing is kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from flash_engine.kvstore import KVStore
from flash_lsp import recall
from flash_lsp.answers import Place
from flash_lsp.cli import main
from flash_lsp.decoder import ModelDecoder, load_model
from flash_lsp.flight import Job
from flash_lsp.settings import Settings
from flash_lsp.suggestion import Suggestion

PREFIX = "".join(
    f"def function_{i}(first, second):\n    return first + second * {i}\n\n\n" for i in range(12)
)
PLACE = Place(f"{PREFIX}def last(first, second):\n    return ", "\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(recall, "store_folder", lambda: tmp_path / "kv")
    return tmp_path / "kv"


def load(megabytes: int) -> ModelDecoder:
    settings = Settings(kv_store_mb=megabytes, device="native")
    return load_model(settings, asyncio.get_running_loop(), lambda stage, share: None)


async def complete(decoder: ModelDecoder, path: Path) -> Suggestion:
    done: asyncio.Future[Suggestion] = asyncio.get_running_loop().create_future()
    job = Job(path.as_uri(), path.name, PLACE, 1, 24, -10.0, 1)
    decoder.start(job, lambda text: None, done.set_result, lambda guess: None)
    return await asyncio.wait_for(done, 60)


async def restarted(path: Path, *, megabytes: int, closed: bool = False) -> tuple[Suggestion, Suggestion]:
    """The same completion before and after a restart."""
    answers = []
    for _ in range(2):
        decoder = load(megabytes)
        answers.append(await complete(decoder, path))
        if closed:
            decoder.forget(path.as_uri())
            decoder._engine.submit(lambda: None, urgent=False).result()
        await asyncio.to_thread(decoder.close)
    return answers[0], answers[1]


@pytest.mark.parametrize("closed", [False, True])
async def test_a_document_is_known_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    monkeypatch.setattr(
        "flash_lsp.context.lineage.FIRST_SECONDS", 60
    )  # a full window at once, on any machine
    first, second = await restarted(tmp_path / "a.py", megabytes=100, closed=closed)
    assert first.reused == 0
    assert second.reused > 200
    assert (second.text, second.logprob) == (first.text, first.logprob)


async def test_nothing_is_kept_by_default_nor_of_private_folders(folder: Path, tmp_path: Path) -> None:
    assert Settings().kv_store_mb == 0
    for megabytes in (0, 100):
        if megabytes:
            (tmp_path / recall.MARKER).touch()
        _, second = await restarted(tmp_path / "below" / "a.py", megabytes=megabytes)
        assert second.reused == 0
        assert not folder.exists()
    assert recall.is_private("untitled:Untitled-1")


def test_the_user_sees_and_deletes_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    KVStore(folder, 10_000).put("key", list(range(100)), b"x" * 1000)
    for arguments, expected in (
        (["list"], "1 entries"),
        (["clear"], "1 files deleted"),
        (["list"], "0 entries"),
    ):
        with pytest.raises(SystemExit):
            main(["cache", *arguments])
        assert expected in capsys.readouterr().out
