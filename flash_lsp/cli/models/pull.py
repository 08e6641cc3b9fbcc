"""`flash-lsp models pull`."""

from __future__ import annotations

from typing import Annotated

import typer

from flash_lsp.cli.errors import InputError


def pull(
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="A repository of the hub.")],
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit (default: the main branch as it is now).")
    ] = None,
    file: Annotated[
        str | None, typer.Option(help="A GGUF file of the repository, or a glob that means one of them.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What to call it here (default: NAME).", show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Fetch a model from the Hugging Face hub: the one command that uses the network.

    Shows the licence and the size first. An interrupted pull continues where it stopped. HF_ENDPOINT names another hub;
    FLASH_LSP_OFFLINE or HF_HUB_OFFLINE forbid it all.
    """
    from flash_engine import bundled
    from flash_lsp.cli.models.progress import bar
    from flash_lsp.models import hub

    offer = hub.look_up(repository, revision=revision, file=file)
    name = name or repository.partition("/")[2]
    if name in bundled.names() or "/" in name or name.startswith("."):
        raise InputError(f"--name {name}: choose another name")
    typer.echo(
        f"{offer.repository} at {offer.revision[:12]}: {len(offer.files)} files, {offer.size / 1e9:.2f} GB, "
        f"licence: {offer.license or 'not stated, see its README.md'}"
    )
    if not yes:
        typer.confirm("Fetch it?", abort=True)
    with bar("checking") as progress:
        folder = hub.pull(offer, name, progress=progress)
    typer.echo(
        f"{name} is in {folder}\nuse it: --model {name}, or smaller and faster: flash-lsp models convert {name}"
    )
