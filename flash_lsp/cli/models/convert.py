"""`flash-lsp models convert`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flash_lsp.cli.errors import InputError

if TYPE_CHECKING:
    from flash_engine.conversion import Loss, Progress, Recipe

_BITS = ("4", "8", "mixed", "16", "stored")
OWN = "own"
_GROUPS = (32, 64, 128)


def convert(
    model: Annotated[str, typer.Argument(help="A model's name or folder, or a GGUF file.")],
    to: Annotated[
        str, typer.Option(help="mlx (a folder that every device loads) or gguf (one file).")
    ] = "mlx",
    bits: Annotated[
        str | None,
        typer.Option(
            help="4, 8, mixed (8 where errors weigh most, else 4), 16, or stored (the numbers that it has). "
            "Default: 4; stored for a model that is quantized already.",
            show_default=False,
        ),
    ] = None,
    group: Annotated[int, typer.Option(help="Values that share a scale: 32, 64 or 128.")] = 64,
    calibrate: Annotated[
        str,
        typer.Option(
            help="A folder of code, or 'own' for flash-lsp's: weights are scaled by the activations that it causes, if "
            "that makes the perplexity of other text of it smaller.",
            show_default=False,
        ),
    ] = "",
    loss: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="PERCENT",
            help="By how much the perplexity may exceed the original's: 4 bit, and 8 for as many matrices as that "
            "takes. Calibrates on 'own' unless --calibrate says otherwise.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Where to (default: your models, under a new name).", show_default=False),
    ] = None,
) -> None:
    """Quantize a model, or write it with the numbers it has.

    To mlx: int4 or int8, round to nearest, or calibrated; the loss is printed, and 'flash-lsp models eval' measures
    what it means. A GGUF file becomes a folder that loads without converting anything. To gguf: 4-bit values become
    Q4_1 exactly, 8-bit Q8_0, 16-bit F16; llama and qwen2 models.
    """
    if to not in ("mlx", "gguf"):
        raise InputError(f"--to {to}: give mlx or gguf")
    if bits is not None and bits not in _BITS:
        raise InputError(f"--bits {bits}: give one of {', '.join(_BITS)}")
    if group not in _GROUPS:
        raise InputError(f"--group {group}: give one of {', '.join(map(str, _GROUPS))}")
    if loss is not None and (to == "gguf" or bits is not None):
        raise InputError("--loss decides about the bits of an MLX folder: leave out --bits and --to")
    from flash_engine import bundled

    folder = bundled.locate(model)
    if to == "gguf":
        _to_gguf(folder, out or Path(f"{folder.name}.gguf"))
    else:
        _to_mlx(folder, bits, group, calibrate or (OWN if loss is not None else ""), loss, out)


def _usual_bits(folder: Path) -> str:
    from flash_engine.checkpoint import Checkpoint, matrix_shapes

    checkpoint = Checkpoint(folder)
    quantized = any(checkpoint.quantization(name) for name in matrix_shapes(checkpoint.config))
    return "stored" if quantized else "4"


def _to_mlx(
    folder: Path, bits: str | None, group: int, calibrate: str, loss: float | None, out: Path | None
) -> None:
    from flash_engine import Checkpoint, conversion, library
    from flash_lsp.cli.models.progress import bar

    bits = bits or ("4" if loss is not None else _usual_bits(folder))
    suffix = bits if bits in ("mixed", "stored") else f"{bits}bit"
    if loss is not None:
        suffix = f"loss{loss:g}"
    if bits not in ("16", "stored"):
        suffix += f"-g{group}"
    target = out or library.root() / f"{folder.stem if folder.is_file() else folder.name}-{suffix}"
    _must_be_new(target)
    layers = Checkpoint(folder).config.num_layers
    recipe = (
        conversion.mixed(layers)
        if bits == "mixed"
        else conversion.uniform(None if bits == "stored" else int(bits))
    )
    with bar("quantizing") as progress:
        if calibrate:
            changed = _calibrated(folder, target, recipe, group, calibrate, loss, progress)
        else:
            changed = conversion.convert(folder, target, recipe, group_size=group, progress=progress)
    typer.echo(f"{target}: {library.size(target) / 1e9:.3f} GB of {library.size(folder) / 1e9:.3f}")
    if changed.worst:
        typer.echo(
            f"relative error of the weights {changed.relative_error:.2%}, largest {changed.worst_error:.2%} "
            f"({changed.worst})\n"
            f"measure it on your code: flash-lsp models eval {target.name if out is None else target} "
            f"--against {folder} FOLDER"
        )


def _calibrated(
    folder: Path,
    target: Path,
    recipe: Recipe,
    group: int,
    calibrate: str,
    loss: float | None,
    progress: Progress,
) -> Loss:
    from flash_engine import Tokenizer
    from flash_engine.calibration import convert_calibrated
    from flash_lsp.models.sample import OWN_SOURCES, read_sample

    code = OWN_SOURCES if calibrate == OWN else Path(calibrate)
    sample, held_out = read_sample(code, Tokenizer.from_folder(folder))
    result = convert_calibrated(
        folder,
        target,
        recipe,
        group_size=group,
        sample=sample,
        held_out=held_out,
        allowed=None if loss is None else loss / 100,
        progress=progress,
    )
    typer.echo(str(result))
    return result.loss


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
