"""A loaded model: tokenizer, backend, and the thread that runs it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypeVar

from flash_engine import backends, bundled
from flash_engine.backend import Backend
from flash_engine.checkpoint import Checkpoint
from flash_engine.config import ModelConfig
from flash_engine.devices import working_set
from flash_engine.errors import ModelError
from flash_engine.memory import MemoryPlan
from flash_engine.opening import fitting_choices, open_models
from flash_engine.pace import Pace
from flash_engine.session import Session
from flash_engine.speculation import (
    Controller,
    Corpus,
    DraftCosts,
    Lookup,
    ModelDrafter,
    PassCosts,
    Speculator,
    TextDrafter,
)
from flash_engine.speculation.costs import pass_timer
from flash_engine.tokenizer import Tokenizer
from flash_engine.worker import Worker

T = TypeVar("T")

AUTO: Final = "auto"

logger = logging.getLogger(__name__)

Progress = Callable[[str, float], None]
"""Called as a stage of the loading begins, and as it goes on: its name, and the share of the loading done, 0 to 1."""


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
        """Most callers want `load`; this is for a backend made elsewhere, which decodes plainly until
        `start_speculation`. plan: what the memory was found to hold."""
        self.name = name
        self.folder = folder
        self.config = config
        self.tokenizer = tokenizer
        self.backend = backend
        self.draft = draft
        self.plan = plan
        self.corpus = Corpus(tokenizer)
        self.quantized: int | None = None
        """Bits that 16- and 32-bit weights got as they were read; None: as stored."""
        self.changes = ""
        """What loading changed in the weights, in one line; empty if they are as stored."""
        self.speculation: Controller | None = None
        self._pace = Pace()
        self._worker = Worker(f"flash-engine {name}")

    @classmethod
    def load(
        cls,
        model: str | Path = bundled.MAIN,
        *,
        draft: str | Path | None = AUTO,
        speculation: bool = True,
        device: str = "auto",
        context: int | None = None,
        threads: int | None = None,
        quantize: Literal["auto", 4, 8] | None = AUTO,
        progress: Progress | None = None,
    ) -> Self:
        """Load a bundled model by its name, a folder with config.json, safetensors and
        tokenizer.json, or a GGUF file.

        draft: a smaller model with the same tokenizer, which drafts for this one; auto: the bundled model's own, if
        the memory holds both, and none for others. speculation: whether sessions decode speculatively, with a draft
        model or without (speculation/): faster, with the same output. device: auto (Metal, else CUDA, else native),
        native, mlx or reference. context: tokens a session can hold; default: what the memory plan finds room for, at
        most 4,096. threads: of the native backend; default: the machine's cores. quantize: bits that 16- and 32-bit
        weights get as they are read, None: as stored; auto: as stored if the whole context fits beside them, else 8,
        else 4. progress: see Progress. Raises ModelError (no such model; a
        file missing, damaged or altered; a wrong tensor; a draft that does not fit), DeviceError, CapacityError
        (context beyond the model's positions; more than the device's memory).
        """
        report = progress or (lambda stage, share: None)
        report("checking files", 0.0)
        device = backends.resolve(device)
        folder = bundled.locate(model)
        given = bundled.draft_for(folder) if draft == AUTO else draft
        opened = open_models(
            folder,
            bundled.locate(given) if given is not None and speculation else None,
            device=device,
            working_set=working_set(device),
            choices=fitting_choices(folder, device) if quantize == AUTO else (quantize,),
            context=context,
            draft_required=draft != AUTO,
        )
        checkpoint, draft_checkpoint, plan = opened.checkpoint, opened.draft, opened.plan
        report("reading tokenizer", 0.05)
        tokenizer_folder = bundled.tokenizer_folder(folder)
        tokenizer = Tokenizer.from_folder(tokenizer_folder)
        if tokenizer.vocab_size > checkpoint.config.vocab_size:
            raise ModelError(
                f"{folder}: the tokenizer has {tokenizer.vocab_size} tokens, the model "
                f"{checkpoint.config.vocab_size}: they are not of the same model"
            )
        _watch(checkpoint, "loading weights", report, 0.1, 0.8)
        backend = backends.load(
            device,
            checkpoint,
            capacity=plan.context,
            threads=threads,
            report=lambda stage, done: report(stage, 0.1 + 0.7 * done),
        )
        if draft_checkpoint is not None:
            _check_draft(draft_checkpoint, tokenizer_folder, tokenizer)
        draft_backend = None
        if draft_checkpoint is not None:
            _watch(draft_checkpoint, "loading draft", report, 0.8, 0.9)
            draft_backend = backends.load(
                device,
                draft_checkpoint,
                capacity=plan.context,
                threads=threads,
                report=lambda stage, done: report(stage, 0.8 + 0.1 * done),
            )
        engine = cls(
            folder.name.removesuffix(".gguf"),
            folder,
            checkpoint.config,
            tokenizer,
            backend,
            draft_backend,
            plan,
        )
        engine.quantized = opened.bits
        engine.changes = str(checkpoint.changes)
        if engine.changes:
            logger.info("%s: as it was read, %s", folder, engine.changes)
        report("warming up", 0.9)
        engine.submit(engine._warm_up).result()
        if speculation:
            engine.submit(engine.start_speculation).result()
        report("ready", 1.0)
        return engine

    def session(self) -> Session:
        """A new, empty session; speculative where the engine is."""
        if self.speculation is None:
            return self.plain_session()
        model = ModelDrafter(self.draft, self.speculation.lookup) if self.draft else None
        speculator = Speculator(self.speculation, model, TextDrafter(self.corpus))
        return Session(self.backend, self.tokenizer, self._pace, speculator)

    def plain_session(self) -> Session:
        """A new, empty session that decodes token by token."""
        return Session(self.backend, self.tokenizer, self._pace)

    def start_speculation(self) -> None:
        """Let new sessions decode speculatively: measures what passes cost. Call it on the model thread."""
        main = pass_timer(self.backend)
        drafts = lookup = None
        if self.draft:
            draft = pass_timer(self.draft)
            drafts, lookup = DraftCosts.measure(main, draft), Lookup(PassCosts.measure(draft))
        self.speculation = Controller(PassCosts.measure(main), drafts, lookup)

    @property
    def prefill_speed(self) -> float | None:
        """Tokens a second that a prompt is read with, as measured on the latest ones; None before the first."""
        return self._pace.tokens_per_second

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
        """Touch all weights, prepare the tokenizer and take the first measure of speed."""
        self.tokenizer.prepare()
        session = self.session()
        for round_number in range(2):
            session.sync([round_number] * min(16, self.backend.capacity))


def _watch(checkpoint: Checkpoint, stage: str, report: Progress, first: float, last: float) -> None:
    """Report `stage`, from the share `first` to `last`, at every hundredth of the checkpoint's weights."""
    shown = -1

    def read(share: float) -> None:
        nonlocal shown
        if int(100 * share) > shown:
            shown = int(100 * share)
            report(stage, first + (last - first) * share)

    checkpoint.watch(read)
    read(0.0)


def _check_draft(draft: Checkpoint, folder: Path, main: Tokenizer) -> None:
    """Raises ModelError unless the draft's tokens are those of `main`, the tokenizer in `folder`, id by id."""
    tokenizer_folder = bundled.tokenizer_folder(draft.folder)
    if tokenizer_folder == folder:
        return
    tokenizer = Tokenizer.from_folder(tokenizer_folder)
    if difference := main.difference(tokenizer):
        raise ModelError(
            f"{draft.folder} cannot draft for this model: {difference}: choose a draft with the same tokenizer"
        )
    if tokenizer.vocab_size > draft.config.vocab_size:
        raise ModelError(
            f"{draft.folder}: the tokenizer has {tokenizer.vocab_size} tokens, the model "
            f"{draft.config.vocab_size}: they are not of the same model"
        )
