from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import pytest

from flash_engine import CapacityError, DeviceError, Engine, ModelError, bundled, manifest
from flash_engine.worker import Worker

from .tiny import Shape, write_checkpoint

TINY = Shape(vocab=49_152)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, bundled_folder: Path) -> Path:
    """A tiny model with the bundled tokenizer."""
    folder = write_checkpoint(tmp_path_factory.mktemp("models") / "tiny", TINY)
    shutil.copy(bundled_folder / "tokenizer.json", folder)
    return folder


def test_load_reports_stages_and_generates(folder: Path) -> None:
    stages: list[tuple[str, float]] = []
    with Engine.load(
        folder, device="mlx", context=128, progress=lambda *stage: stages.append(stage)
    ) as engine:
        assert (engine.name, engine.folder, engine.backend.capacity) == ("tiny", folder, 128)
        assert "_sorted" in vars(engine.tokenizer), "the first request would wait for it"

        def work() -> int:
            session = engine.session()
            session.sync(engine.tokenizer.encode("def f(x):"))
            return len(list(session.generate(max_tokens=5)))

        assert engine.submit(work).result() <= 5
    names, shares = zip(*stages, strict=True)
    assert names[0] == "checking files"
    assert names[-1] == "ready"
    assert list(shares) == sorted(shares)


def test_context_defaults_to_4096_or_what_the_model_has(tmp_path: Path, folder: Path) -> None:
    short = write_checkpoint(tmp_path / "short", Shape(vocab=49_152, positions=200))
    shutil.copy(folder / "tokenizer.json", short)
    with Engine.load(short, device="reference") as engine:
        assert engine.backend.capacity == 200
    with Engine.load(folder, device="reference") as engine:
        assert engine.backend.capacity == 4096


@pytest.mark.parametrize("context", [0, -1, 4097])
def test_impossible_context(folder: Path, context: int) -> None:
    with pytest.raises(
        CapacityError, match=f"context of {context} tokens is not possible: the model has 4096"
    ):
        Engine.load(folder, device="reference", context=context)


def test_unknown_device(folder: Path) -> None:
    with pytest.raises(DeviceError, match="no device 'tpu': choose one of auto, native, mlx, reference"):
        Engine.load(folder, device="tpu")


@pytest.mark.parametrize(
    ("device", "module"), [("mlx", "mlx"), ("mlx", "mlx.core"), ("native", "flash_engine._native")]
)
def test_device_that_is_not_installed(
    folder: Path, device: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flash_engine.backends.find_spec", lambda name: None if name == module else object())
    with pytest.raises(DeviceError, match=f"device {device} .*install"):
        Engine.load(folder, device=device)


def test_no_such_model() -> None:
    with pytest.raises(ModelError, match="no model '/nowhere'"):
        Engine.load("/nowhere")


def test_folder_without_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tokenizer\.json is missing"):
        Engine.load(write_checkpoint(tmp_path), device="reference")


def test_tokenizer_of_another_model(tmp_path: Path, folder: Path) -> None:
    other = write_checkpoint(tmp_path, Shape(vocab=300))
    shutil.copy(folder / "tokenizer.json", other)
    with pytest.raises(ModelError, match="tokenizer has 49152 tokens, the model 300"):
        Engine.load(other, device="reference")


def test_draft(folder: Path, tmp_path: Path) -> None:
    with Engine.load(folder, draft=folder, device="reference") as engine:
        assert engine.draft is not None
    small = write_checkpoint(tmp_path)
    shutil.copy(folder / "tokenizer.json", small)
    with pytest.raises(ModelError, match="tokenizer has 49152 tokens, the model 300"):
        Engine.load(folder, draft=small, device="reference")


def test_tampered_bundled_weights_are_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "flash-coder")
    manifest.write(tmp_path)
    monkeypatch.setattr(bundled, "root", lambda: tmp_path)
    Engine.load(device="reference").close()
    weights = tmp_path / "flash-coder" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 16
    weights.write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.safetensors is not the file that was shipped"):
        Engine.load(device="reference")


def test_work_runs_in_order_on_one_thread_urgent_first() -> None:
    worker = Worker("test")
    gate, order, threads = threading.Event(), list[str](), set[int]()

    def note(name: str) -> None:
        order.append(name)
        threads.add(threading.get_ident())

    first = worker.submit(gate.wait, urgent=True)
    others = [
        worker.submit(lambda name=name: note(name), urgent=name.startswith("urgent"))  # type: ignore[misc]
        for name in ("later 1", "urgent 1", "later 2", "urgent 2")
    ]
    gate.set()
    for future in (first, *others):
        future.result()
    worker.close()
    assert order == ["urgent 1", "urgent 2", "later 1", "later 2"]
    assert len(threads) == 1


def test_exceptions_come_through_the_future_and_the_thread_lives_on() -> None:
    worker = Worker("test")
    failed = worker.submit(lambda: 1 // 0, urgent=True)
    assert isinstance(failed.exception(), ZeroDivisionError)
    assert worker.submit(lambda: 5, urgent=True).result() == 5
    worker.close()


def test_close_cancels_what_waits_lets_the_running_end_and_may_be_repeated() -> None:
    worker = Worker("test")
    started, gate = threading.Event(), threading.Event()

    def work() -> bool:
        started.set()
        return gate.wait()

    running = worker.submit(work, urgent=True)
    waiting = worker.submit(lambda: None, urgent=True)
    started.wait()
    closer = threading.Thread(target=worker.close, daemon=True)
    closer.start()
    with pytest.raises(RuntimeError, match="the engine is closed"):
        submit_for_ever(worker)
    gate.set()
    closer.join()
    worker.close()
    assert running.result() is True
    assert waiting.cancelled()


def submit_for_ever(worker: Worker) -> None:
    while True:
        worker.submit(lambda: None, urgent=True)
        time.sleep(0.001)


def test_close_from_the_model_thread() -> None:
    worker = Worker("test")
    worker.submit(worker.close, urgent=True).result()
    worker.close()


def test_cancelled_future_is_not_run() -> None:
    worker = Worker("test")
    gate, ran = threading.Event(), list[int]()
    worker.submit(gate.wait, urgent=True)
    future = worker.submit(lambda: ran.append(1), urgent=True)
    future.cancel()
    gate.set()
    worker.submit(lambda: None, urgent=True).result()
    worker.close()
    assert ran == []
