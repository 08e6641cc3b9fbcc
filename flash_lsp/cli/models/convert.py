"""`flash-lsp models convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flash_lsp.cli.errors import InputError

_BITS = ("4", "8", "mixed")
_GROUPS = (32, 64, 128)


def convert(
    model: Annotated[str, typer.Argument(help="A model's name or folder, in 16 or 32 bit.")],
    to: Annotated[
        str, typer.Option(help="mlx (a folder that every device loads) or gguf (one file).")
    ] = "mlx",
    bits: Annotated[str, typer.Option(help="4, 8 or mixed (8 where errors weigh most, else 4).")] = "4",
    group: Annotated[int, typer.Option(help="Values that share a scale: 32, 64 or 128.")] = 64,
    out: Annotated[
        Path | None,
        typer.Option(help="Where to (default: your models, under a new name).", show_default=False),
    ] = None,
) -> None:
    """Quantize a model, or write one as GGUF with the numbers it has.

    To mlx: int4 or int8, calibration-free; the loss is printed, and 'flash-lsp models eval' measures what it means. To
    gguf: 4-bit values become Q4_1 exactly, 8-bit Q8_0, 16-bit F16; llama and qwen2 models.
    """
    if to not in ("mlx", "gguf"):
        raise InputError(f"--to {to}: give mlx or gguf")
    if bits not in _BITS:
        raise InputError(f"--bits {bits}: give one of {', '.join(_BITS)}")
    if group not in _GROUPS:
        raise InputError(f"--group {group}: give one of {', '.join(map(str, _GROUPS))}")
    from flash_engine import bundled

    folder = bundled.locate(model)
    if to == "gguf":
        _to_gguf(folder, out or Path(f"{folder.name}.gguf"))
    else:
        _to_mlx(folder, bits, group, out)


def _to_mlx(folder: Path, bits: str, group: int, out: Path | None) -> None:
    from flash_engine import Checkpoint, conversion, library
    from flash_lsp.cli.models.progress import bar

    target = out or library.root() / f"{folder.name}-{bits}{'' if bits == 'mixed' else 'bit'}-g{group}"
    _must_be_new(target)
    layers = Checkpoint(folder).config.num_layers
    recipe = conversion.mixed(layers) if bits == "mixed" else conversion.uniform(int(bits))
    with bar("quantizing") as progress:
        loss = conversion.convert(folder, target, recipe, group_size=group, progress=progress)
    typer.echo(
        f"{target}: {library.size(target) / 1e9:.3f} GB of {library.size(folder) / 1e9:.3f}\n"
        f"relative error of the weights {loss.relative_error:.2%}, largest {loss.worst_error:.2%} ({loss.worst})\n"
        f"measure it on your code: flash-lsp models eval {target.name if out is None else target} "
        f"--against {folder} FOLDER"
    )


def _to_gguf(folder: Path, out: Path) -> None:
    from flash_engine import gguf_export
    from flash_lsp.cli.models.progress import bar

    _must_be_new(out)
    with bar("writing") as progress:
        gguf_export.export(folder, out, progress=progress)
    typer.echo(f"{out}: {out.stat().st_size / 1e9:.3f} GB")


def _must_be_new(target: Path) -> None:
    if target.exists():
        raise InputError(f"{target} exists already: remove it, or give another --out")
