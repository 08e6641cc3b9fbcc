"""`flash-lsp doctor`: whether what completion needs is here and works, with a remedy where not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from flash_lsp.cli.options import Device, JsonOutput, Model, Threads

if TYPE_CHECKING:
    from pathlib import Path

    from flash_engine import Engine

_PROMPT_TOKENS = 512
_DECODE_TOKENS = 64
_SLOWEST_DECODE = 25.0
"""Tokens a second: a line of code has about ten, and a request is held for 400 ms at most."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report; `remedy` says what to do when it is not ok."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


def doctor(
    model: Model = "flash-coder",
    device: Device = "auto",
    threads: Threads = None,
    as_json: JsonOutput = False,
) -> None:
    """Check the installation: processor, model, memory, speed. Exit code 1 if something needs a remedy."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    found = []
    for check in checks(model, device, threads):
        found.append(check)
        if not as_json:
            mark = "[green]ok    [/green]" if check.ok else "[red]remedy[/red]"
            console.print(f"{mark}  [b]{check.name:<10}[/b]", end=" ")
            console.print(check.detail, markup=False)
            if not check.ok:
                console.print(f"        {'':<10} {check.remedy}", markup=False)
    ok = all(check.ok for check in found)
    if as_json:
        typer.echo(json.dumps({"ok": ok, "checks": [asdict(check) for check in found]}, indent=2))
    if not ok:
        raise typer.Exit(1)


def checks(model: str, device: str, threads: int | None) -> Iterator[Check]:
    """Look at one thing after the other; what cannot be looked at after a failure is left out."""
    from flash_engine import Checkpoint, Engine, FlashError, backends, bundled, provenance

    yield _processor()
    try:
        folder = bundled.locate(model)
        config = Checkpoint(folder).config
    except FlashError as error:
        yield Check("model", False, model, str(error))
        return
    if folder.parent == bundled.root():
        verified = "files as shipped (SHA-256)"
    elif folder.is_dir() and provenance.read(folder):
        verified = "files as pulled or converted (SHA-256)"
    else:
        verified = "your own, no manifest"
    yield Check(
        "model", True, f"{folder.name}: {config.num_layers} layers of {config.hidden_size}, {verified}"
    )
    try:
        draft = bundled.draft_for(folder)
        yield _memory(folder, bundled.locate(draft) if draft else None, backends.resolve(device))
    except FlashError as error:
        yield Check("engine", False, f"device {device}", str(error))
        return
    started = time.perf_counter()
    try:
        engine = Engine.load(model, device=device, threads=threads)
    except FlashError as error:
        yield Check("engine", False, f"device {device}", str(error))
        return
    with engine:
        loaded = time.perf_counter() - started
        yield Check(
            "engine", True, f"{engine.backend.name}, loaded in {loaded:.2f} s", figures={"load_s": loaded}
        )
        if engine.changes:
            yield Check("weights", True, f"as they were read, {engine.changes}")
        yield _prompt(engine)
        yield _speed(engine)


def _processor() -> Check:
    from flash_lsp.bench.machine import machine

    here = machine()
    features = here["cpu_features"]
    return Check(
        "processor",
        ok=True,
        detail=f"{here['processor']}, {here['cores']} cores: {' '.join(features) or 'no vector extensions known'}",
        figures=here,
    )


def _memory(folder: Path, draft: Path | None, device: str) -> Check:
    """The plan that loading follows, for the model and its draft, if it has one."""
    from flash_engine import CapacityError
    from flash_engine.devices import working_set
    from flash_engine.opening import fitting_choices, open_models

    try:
        plan = open_models(
            folder,
            draft,
            device=device,
            working_set=working_set(device),
            choices=fitting_choices(folder, device),
            context=None,
            draft_required=False,
        ).plan
    except CapacityError as error:
        problem, _, remedy = str(error).partition(": ")
        return Check("memory", False, problem, f"{remedy}; or close other programs")
    return Check("memory", True, str(plan), figures={**asdict(plan), "total": plan.total})


def _prompt(engine: Engine) -> Check:
    from flash_lsp.prompt import templates

    template = templates.choose(engine.name, engine.tokenizer)
    return Check(
        "prompt",
        ok=template.warning is None,
        detail=f"{template.family} ({template.order.value}), tokenizer of {engine.tokenizer.vocab_size} tokens",
        remedy=template.warning or "",
        figures={"template": template.family},
    )


def _speed(engine: Engine) -> Check:
    """Measure prefill and decode, alternating kinds of work as a server does, on the demo's file."""
    from flash_lsp.examples import example

    _, text = example()
    tokens = engine.tokenizer.encode(text)
    prompt = (tokens * (_PROMPT_TOKENS // len(tokens) + 1))[:_PROMPT_TOKENS]

    def measure() -> tuple[float, float]:
        session = engine.session()
        started = time.perf_counter()
        session.sync(prompt)
        between = time.perf_counter()
        decoded = sum(1 for _ in session.generate(max_tokens=_DECODE_TOKENS))
        return len(prompt) / (between - started), decoded / (time.perf_counter() - between)

    prefill, decode = engine.submit(measure).result()
    return Check(
        "speed",
        ok=decode >= _SLOWEST_DECODE,
        detail=f"prompt {prefill:.0f} tokens/s, decode {decode:.0f} tokens/s",
        remedy="suggestions will come late: end other work on this machine, or use a smaller model",
        figures={"prefill_tokens_per_s": prefill, "decode_tokens_per_s": decode},
    )
