"""`flash-lsp bench gpu`: the fused decoder on this machine's GPU beside MLX's stock path."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from flash_lsp.cli.options import JsonFile


def gpu(
    shape: Annotated[
        str, typer.Option(help="deepseek-coder-6.7b or deepseek-coder-1.3b: sizes of random weights.")
    ] = "deepseek-coder-1.3b",
    speculation: Annotated[
        bool,
        typer.Option(
            "--speculation",
            help="Speculative decoding instead: deepseek-coder-6.7b drafted for by the 1.3b and by texts.",
        ),
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Decoding, passes of 1 to 8 tokens, prompts, first pass and memory, with random weights.

    Stock is the llama of mlx-lm, measured in turn with ours if mlx-lm is installed; plain, the same model in plain MLX
    operations. Of speculation, drafts, passes and rollbacks are executed; how much is accepted is replayed from a
    recorded trace of a real pair of models.
    """
    from flash_lsp.cli.errors import InputError

    try:
        from flash_lsp.bench.gpu import run, shapes
        from flash_lsp.bench.gpu import speculation as drafting
        from flash_metal.registry import device_registry

        kernels = device_registry()
    except ImportError as error:
        raise InputError("the GPU engine needs the package mlx: pip install 'flash-lsp[mlx]'") from error
    except RuntimeError as error:
        raise InputError(str(error)) from error
    if shape not in shapes.SHAPES:
        raise InputError(f"no shape {shape!r}: choose one of {', '.join(shapes.SHAPES)}")

    def show(stage: str, share: float) -> None:
        typer.echo(f"{share:4.0%}  {stage}", err=True)

    if speculation:
        main, draft = shapes.SHAPES["deepseek-coder-6.7b"], shapes.SHAPES["deepseek-coder-1.3b"]
        found = drafting.run(kernels, main, draft, progress=show)
    else:
        found = {"shape": shape} | run.run(shapes.SHAPES[shape], kernels, progress=show)
    text = json.dumps(found, indent=2)
    if json_file is not None:
        json_file.write_text(text + "\n")
    typer.echo(text)
