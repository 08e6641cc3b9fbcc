"""`flash-lsp complete`: one suggestion in its context, or a batch of them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flash_lsp.cli.errors import InputError
from flash_lsp.cli.options import Device, JsonOutput, Model, Quantize, Threads
from flash_lsp.settings import QUANTIZE

if TYPE_CHECKING:
    from flash_lsp.cli.location import Location

CONTEXT_LINES = 4


def complete(
    where: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE:LINE:COL]",
            help="Where to complete: line and column count from 1, columns in code points (characters).",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(
            metavar="CASES.jsonl",
            help="Complete every case of a file instead: one JSON object a line with path, prefix, suffix and, if "
            "you like, id. Answers go to stdout in the same order, one object a line: text (as the model wrote "
            "it, no filters), finish, ms, tokens, id.",
            show_default=False,
        ),
    ] = None,
    max_lines: Annotated[
        int | None,
        typer.Option(
            min=1, help="Lines at most (default: 1 in a batch, else what fits the place).", show_default=False
        ),
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens at most.")] = 96,
    deadline_ms: Annotated[
        int | None,
        typer.Option(
            min=1, help="Stop after this time with what there is (default: none).", show_default=False
        ),
    ] = None,
    model: Model = "flash-coder",
    device: Device = "auto",
    threads: Threads = None,
    quantize: Quantize = "auto",
    as_json: JsonOutput = False,
) -> None:
    """Show what would be suggested at a place in a file, dimmed as in an editor, with timings."""
    if (where is None) == (batch is None):
        raise InputError("give either FILE:LINE:COL or --batch CASES.jsonl")
    limits: Any = {"max_lines": max_lines, "max_tokens": max_tokens, "deadline_ms": deadline_ms}
    if quantize not in QUANTIZE:
        raise InputError(f"--quantize {quantize}: give one of {', '.join(QUANTIZE)}")
    engine = {"model": model, "device": device, "threads": threads, "quantize": QUANTIZE[quantize]}
    if batch is not None:
        from flash_lsp.cli.batch import complete_batch

        complete_batch(batch, engine, **limits)
    if where is not None:
        from flash_lsp.cli.location import Location, read_source

        location = Location.parse(where)
        prefix, suffix = location.split(read_source(location.path))
        answer = complete_at(location, prefix, suffix, engine, **limits)
        if as_json:
            typer.echo(json.dumps(answer))
        else:
            _show(answer, prefix, suffix)


def complete_at(
    location: Location,
    prefix: str,
    suffix: str,
    engine_options: dict[str, Any],
    *,
    max_lines: int | None,
    max_tokens: int,
    deadline_ms: int | None,
) -> dict[str, Any]:
    """What the server would suggest between `prefix` and `suffix`, with timings, as `--json` prints it."""
    from flash_lsp import filters
    from flash_lsp.answers import Place
    from flash_lsp.bench.editor import language_id
    from flash_lsp.cli.engine import completer_of, load_engine
    from flash_lsp.placement import MID_LINE, line_limit
    from flash_lsp.prompt.window import PromptState
    from flash_lsp.settings import Settings
    from flash_lsp.study import read_for_drafts

    lines = line_limit(language_id(location.path), prefix, suffix, block=max_lines or Settings().max_lines)
    started = time.monotonic()
    with load_engine(engine_options) as engine:
        loaded = time.monotonic()
        completer = completer_of(engine)
        engine.submit(lambda: read_for_drafts(engine, location.path.name, Place(prefix, suffix))).result()
        suggestion = engine.submit(
            lambda: completer.complete(
                location.path.name,
                prefix,
                suffix,
                session=engine.session(),
                state=PromptState(),
                max_lines=max(lines, 1),
                max_tokens=max_tokens,
                deadline=None if deadline_ms is None else loaded + deadline_ms / 1000,
                min_logprob=filters.MIN_LOGPROB,
            )
        ).result()
        backend = engine.backend.name
    language = language_id(location.path)
    filtered = filters.apply(
        language, prefix, suffix, suggestion.text, suggestion.logprob, likely=suggestion.likely
    )
    silence = filtered.silence if lines else MID_LINE
    return {
        "path": str(location.path),
        "line": location.line,
        "column": location.column,
        "text": "" if silence else filtered.text,
        "silence": silence,
        "model_text": suggestion.text,
        "finish": suggestion.finish,
        "tokens": suggestion.tokens,
        "logprob": suggestion.logprob,
        "load_ms": (loaded - started) * 1000,
        "first_ms": suggestion.first_ms,
        "total_ms": suggestion.total_ms,
        "computed": suggestion.computed,
        "model": engine.name,
        "backend": backend,
    }


def _show(answer: dict[str, Any], prefix: str, suffix: str) -> None:
    from rich.console import Console

    from flash_lsp.cli.ghost import ghost_view

    console = Console(highlight=False)
    path, marks = Path(answer["path"]), console.color_system is None
    view = ghost_view(
        path, prefix, answer["text"], suffix, above=CONTEXT_LINES, below=CONTEXT_LINES, marks=marks
    )
    console.print(view, soft_wrap=True)
    if answer["silence"]:
        console.print(f"no suggestion: {answer['silence']}", style="yellow")
    console.print(
        f"first token after {answer['first_ms']:.0f} ms, all {answer['tokens']} after {answer['total_ms']:.0f} ms, "
        f"model loaded in {answer['load_ms']:.0f} ms ({answer['model']} on {answer['backend']})",
        style="dim",
    )
