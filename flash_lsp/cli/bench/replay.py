"""`flash-lsp bench replay`: recorded typing against the real server."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from flash_lsp.cli.errors import InputError
from flash_lsp.cli.options import Device, JsonFile, Model, Threads, drawable

_FILES = 3


def replay(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Files to type (default: three of flash-lsp's own sources of 200 to 1,000 lines).",
            show_default=False,
        ),
    ] = None,
    keys: Annotated[
        int, typer.Option(min=1, help="Keystrokes at least for each pause, over the files.")
    ] = 240,
    debounce_ms: Annotated[
        list[int] | None,
        typer.Option(
            min=0,
            max=2000,
            help="Pause in the typing after which an editor asks; may be given more than once (default: 0, 50, 200).",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed types other passages with other gaps.")] = 0,
    eagerness: Annotated[
        Literal["careful", "balanced", "eager"],
        typer.Option(help="How likely a line has to be that is shown whole."),
    ] = "balanced",
    model: Model = "flash-coder",
    device: Device = "auto",
    threads: Threads = None,
    json_file: JsonFile = None,
    png: Annotated[
        Path | None,
        typer.Option(
            help="Write a timeline of the latencies to this file.", callback=drawable, show_default=False
        ),
    ] = None,
) -> None:
    """Type real files against the real server over stdio, at recorded gaps (median 120 ms).

    Latencies run from sending a request to its reply, held requests included. Shares are of the judged requests:
    answered ones, and those that the next key superseded after the 50 ms deadline, which count as late. On time
    means a complete first line within the deadline. Tokens per key counts all tokens the engine computed.
    docs/cli.md defines every figure.
    """
    from rich.console import Console
    from rich.progress import Progress

    from flash_lsp.bench import replay as bench
    from flash_lsp.cli.figures import figures_table, write_json
    from flash_lsp.cli.location import read_source

    paths = files or own_sources()
    for path in paths:
        read_source(path)
    settings = {"eagerness": eagerness, "model": model, "device": device, "threads": threads}
    debounces = debounce_ms or [0, 50, 200]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("typing", total=keys * len(debounces))
        figures = bench.run(
            paths,
            keys=keys,
            debounces_ms=debounces,
            seed=seed,
            settings=settings,
            progress=lambda typed: progress.advance(task, typed),
        )
    columns = [_column(each) for each in figures["runs"]]
    machine = figures["machine"]
    table = figures_table("Replay of " + ", ".join(path.name for path in paths), columns)
    table.caption = f"{machine['cores']} cores, {' '.join(machine['cpu_features'])}"
    Console().print(table)
    if json_file:
        write_json(figures, json_file)
    if png:
        from flash_lsp.bench import plots

        plots.timeline(figures["runs"], png)


def _column(run: Mapping[str, Any]) -> dict[str, str]:
    """One column of the table."""
    from flash_lsp.cli.figures import number, percent, replay_rows

    return {
        "editor's debounce": f"{run['debounce_ms']:.0f} ms",
        **replay_rows(run),
        "not typed through: answered at once": percent(run["decoded_ahead_share"]),
        "changes of what is shown (flicker)": f"{run['flicker']}",
        "first suggestion after a jump p50 / p95": _after_jump(run, "after_jump_"),
        "the same in files of 1,000 lines and more": _after_jump(run, "after_long_jump_"),
        "first answer after a jump, silence included": _after_jump(run, "after_jump_answer_"),
        "tokens per key, all / warm": f"{number(run['tokens_per_key'])} / {number(run['tokens_per_key_warm'])}",
        "prompt tokens found in the KV cache, warm": percent(run["kv_hit_rate"]),
        "server start to model loaded / first suggestion": f"{number(run['ready_s'], 's')} / "
        f"{number(run['first_suggestion_s'], 's')}",
        "memory of the server (RSS)": number(run["server_rss_mb"], "MB"),
        "its processor time 5 s after the last key": f"{run['idle_cpu']:.1%}",
    }


def _after_jump(run: Mapping[str, Any], name: str) -> str:
    from flash_lsp.cli.figures import milliseconds

    return f"{milliseconds(run[f'{name}p50_ms'])} / {milliseconds(run[f'{name}p95_ms'])}"


def own_sources() -> list[Path]:
    """The longest of flash-lsp's own Python files that have 200 to 1,000 lines."""
    import flash_engine
    import flash_lsp
    from flash_lsp.bench.cases import TYPED_LINES

    roots = [Path(inspect.getfile(package)).parent for package in (flash_lsp, flash_engine)]
    sources = sorted(path for root in roots for path in root.rglob("*.py"))
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in sources}
    fitting = sorted((path for path in sources if lines[path] in TYPED_LINES), key=lambda path: -lines[path])
    if len(fitting) < _FILES:
        raise InputError(
            f"fewer than {_FILES} of flash-lsp's own files have {TYPED_LINES[0]} to {TYPED_LINES[-1]} lines: name FILES"
        )
    return fitting[:_FILES]
