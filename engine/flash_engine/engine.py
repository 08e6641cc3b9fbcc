"""A loaded model: tokenizer, backend, and the thread that runs it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from flash_engine import backends, bundled, memory
from flash_engine.backend import Backend
from flash_engine.checkpoint import Checkpoint
from flash_engine.config import ModelConfig
from flash_engine.devices import working_set
from flash_engine.errors import ModelError
from flash_engine.memory import MemoryPlan
from flash_engine.pace import Pace
from flash_engine.session import Session
from flash_engine.tokenizer import Tokenizer
from flash_engine.worker import Worker

T = TypeVar("T")

Progress = Callable[[str, float], None]
"""Called as a stage of the loading begins: its name, and the share of the loading done before it, 0 to 1."""


class Engine:
    """Owns a model. Sessions and their generations are used inside functions given to `submit`."""

    def __init__(
        self,
        name: str,
        folder: Path,
        config: ModelConfig,
        tokenizer: Tokenizer,
        backend: Backend,
        draft: Backend | None = None,
        plan: MemoryPlan | None = None,
    ) -> None:
        """Most callers want `load`; this is for a backend made elsewhere. plan: what the memory was found to hold."""
        self.name = name
        self.folder = folder
        self.config = config
        self.tokenizer = tokenizer
        self.backend = backend
        self.draft = draft
        self.plan = plan
        self._pace = Pace()
        self._worker = Worker(f"flash-engine {name}")

    @classmethod
    def load(
        cls,
        model: str | Path = bundled.MAIN,
        *,
        draft: str | Path | None = None,
        device: str = "auto",
        context: int | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Load a bundled model by its name, or a folder with config.json, safetensors and tokenizer.json.

        device: auto (Metal, else CUDA, else native), native, mlx or reference. context: tokens a session can
        hold; default: what the memory plan finds room for, at most 4,096. threads: of the native backend; default:
        the machine's cores. Raises ModelError (no such model; a file missing, damaged or altered; a wrong tensor),
        DeviceError, CapacityError (context beyond the model's positions; more than the device's memory).
        """
        report = progress or (lambda stage, share: None)
        report("checking files", 0.0)
        device = backends.resolve(device)
        folder = bundled.locate(model)
        checkpoint = Checkpoint(folder)
        draft_checkpoint = None if draft is None else _open_draft(draft, checkpoint.config)
        plan = memory.plan(
            memory.measure(checkpoint, device),
            None if draft_checkpoint is None else memory.measure(draft_checkpoint, device),
            working_set=working_set(device),
            context=context,
        )
        report("reading tokenizer", 0.3)
        tokenizer = Tokenizer.from_folder(bundled.tokenizer_folder(folder))
        if tokenizer.vocab_size > checkpoint.config.vocab_size:
            raise ModelError(
                f"{folder}: the tokenizer has {tokenizer.vocab_size} tokens, the model "
                f"{checkpoint.config.vocab_size}: they are not of the same model"
            )
        report("loading weights", 0.6)
        backend = backends.load(device, checkpoint, capacity=plan.context, threads=threads)
        draft_backend = None
        if draft_checkpoint is not None:
            report("loading draft", 0.8)
            draft_backend = backends.load(device, draft_checkpoint, capacity=plan.context, threads=threads)
        engine = cls(folder.name, folder, checkpoint.config, tokenizer, backend, draft_backend, plan)
        report("warming up", 0.9)
        engine.submit(engine._warm_up).result()
        report("ready", 1.0)
        return engine

    def session(self) -> Session:
        """A new, empty session."""
        return Session(self.backend, self.tokenizer, self._pace)

    def submit(self, work: Callable[[], T], *, urgent: bool = True) -> Future[T]:
        """Run `work` on the model thread: urgent work before the rest, each in the order of submission.

        What is running is not interrupted: give it a cancel event. Raises RuntimeError after close.
        """
        return self._worker.submit(work, urgent=urgent)

    def close(self) -> None:
        """End the model thread; queued work is cancelled. May be called more than once."""
        self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _warm_up(self) -> None:
        """Touch all weights and take the first measure of speed."""
        session = self.session()
        for round_number in range(2):
            session.sync([round_number] * min(16, self.backend.capacity))


def _open_draft(draft: str | Path, main: ModelConfig) -> Checkpoint:
    checkpoint = Checkpoint(bundled.locate(draft))
    if checkpoint.config.vocab_size != main.vocab_size:
        raise ModelError(
            f"{checkpoint.folder}: a draft with {checkpoint.config.vocab_size} tokens does not fit a model "
            f"with {main.vocab_size}: choose one with the same tokenizer"
        )
    return checkpoint
