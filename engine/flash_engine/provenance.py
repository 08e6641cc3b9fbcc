"""Where a model's files came from and their SHA-256 sums: `flash-lsp.json` beside the files that it lists.

A file is read once to be verified; after that its size and time of change are compared, which costs nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from flash_engine.errors import ModelError

FILE = "flash-lsp.json"
_STAMPS = ".flash-lsp-verified.json"
_BLOCK = 1 << 22
_AGAIN = "pull or convert the model again"

Progress = Callable[[str, float], None]
"""Called with the name of the file being read and the share of all bytes read before it, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What is known of a model's files."""

    source: str
    """For people: `hub Qwen/Qwen2.5-Coder-0.5B`, or what it was converted from."""
    revision: str
    """The commit on the hub; empty for a converted model."""
    license: str
    """As its card says; empty if it says nothing."""
    sums: dict[str, str]
    """Path relative to the model's folder -> SHA-256."""
    measured: str = ""
    """What was measured as it was converted, for people."""


def write(
    folder: Path, source: str, *, revision: str = "", license: str = "", progress: Progress | None = None
) -> Provenance:
    """Sum up all files of the model in `folder` and write FILE."""
    files = [
        file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.relative_to(folder).parts[0].startswith(".") and file.name != FILE
    ]
    sums = dict(_sums(folder, files, progress))
    found = Provenance(source, revision, license, sums)
    (folder / FILE).write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
    _remember(folder, files)
    return found


def note(folder: Path, measured: str) -> None:
    """Add to FILE what was measured."""
    found = read(folder)
    assert found is not None, "the folder was written by `write`"
    text = json.dumps(asdict(replace(found, measured=measured)), indent=1)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> Provenance | None:
    """What FILE in `folder` says; None if there is none. Raises ModelError if it is damaged."""
    path = folder / FILE
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        texts = {name: str(raw[name]) for name in ("source", "revision", "license")}
        sums = {str(name): str(digest) for name, digest in raw["sums"].items()}
        return Provenance(**texts, sums=sums, measured=str(raw.get("measured", "")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is damaged ({type(error).__name__}): {_AGAIN}") from None


def verify(folder: Path, *, progress: Progress | None = None) -> None:
    """Check every listed file of `folder`, reading those that changed since they were last verified.

    Does nothing for a folder without FILE. Raises ModelError that names the file.
    """
    _verify(folder, _stamps(folder), progress)


def verify_anew(folder: Path, *, progress: Progress | None = None) -> None:
    """`verify`, reading every file."""
    _verify(folder, {}, progress)


def _verify(folder: Path, known: dict[str, list[int]], progress: Progress | None) -> None:
    found = read(folder)
    if found is None:
        return
    for name in found.sums:
        if not (folder / name).is_file():
            raise ModelError(f"{folder / name} is missing: {_AGAIN}")
    files = [folder / name for name in found.sums]
    changed = [file for file in files if known.get(file.relative_to(folder).as_posix()) != _stamp(file)]
    for name, digest in _sums(folder, changed, progress):
        if digest != found.sums[name]:
            raise ModelError(
                f"{folder / name} is not the file that was pulled or converted (SHA-256 differs): {_AGAIN}"
            )
    if changed:
        _remember(folder, files)


def _sums(folder: Path, files: list[Path], progress: Progress | None) -> list[tuple[str, str]]:
    total = sum(file.stat().st_size for file in files) or 1
    done = 0
    sums = []
    for file in files:
        digest = hashlib.sha256()
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                if progress:
                    progress(file.name, done / total)
                digest.update(block)
                done += len(block)
        sums.append((file.relative_to(folder).as_posix(), digest.hexdigest()))
    return sums


def _stamp(file: Path) -> list[int]:
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]


def _stamps(folder: Path) -> dict[str, list[int]]:
    try:
        stamps: dict[str, list[int]] = json.loads((folder / _STAMPS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamps if isinstance(stamps, dict) else {}


def _remember(folder: Path, files: list[Path]) -> None:
    """A folder that cannot be written to is read in full each time."""
    stamps = {file.relative_to(folder).as_posix(): _stamp(file) for file in files}
    try:
        (folder / _STAMPS).write_text(json.dumps(stamps), encoding="utf-8")
    except OSError:
        return
