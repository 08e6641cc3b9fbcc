"""`flash-lsp models verify` and `remove`."""

from __future__ import annotations

import shutil
from typing import Annotated

import typer

from flash_lsp.cli.errors import InputError

Name = Annotated[str, typer.Argument(help="One of your models: see 'flash-lsp models list'.")]


def verify(name: Name) -> None:
    """Read every file of a model and compare its SHA-256 with the one when it was pulled, converted or shipped."""
    from flash_engine import bundled, library, manifest, provenance
    from flash_lsp.cli.models.progress import bar

    if name in bundled.names():
        manifest.verify(bundled.root() / name)
        typer.echo(f"{name}: all files as shipped")
        return
    folder = library.root() / _own(name)
    found = provenance.read(folder)
    if found is None:
        raise InputError(f"{folder} has no {provenance.FILE}: it was neither pulled nor converted here")
    with bar("reading") as progress:
        provenance.verify_anew(folder, progress=progress)
    typer.echo(
        f"{name}: all {len(found.sums)} files as they were ({found.source} {found.revision[:12]})".rstrip()
    )


def remove(name: Name, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Delete one of your models."""
    from flash_engine import library

    folder = library.root() / _own(name)
    if not yes:
        typer.confirm(f"Delete {folder} ({library.size(folder) / 1e9:.2f} GB)?", abort=True)
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder)
    typer.echo(f"{name} is deleted")


def _own(name: str) -> str:
    from flash_engine import library

    if name not in library.names():
        names = ", ".join(library.names()) or "none yet"
        raise InputError(f"{name} is not one of your models in {library.root()} ({names})")
    return name
