"""SHA-256 sums of the bundled models, so that damaged or altered weights are refused instead of run.

`python -m flash_engine.manifest FOLDER` writes FOLDER/manifest.json anew.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from flash_engine.errors import ModelError

_REINSTALL = "reinstall flash-lsp"
_SUFFIXES = {".json", ".safetensors"}


def verify(folder: Path) -> None:
    """Check every listed file of the bundled model `folder` against the manifest beside it.

    Raises ModelError that names the file. Costs a read of all files: about 0.1 s for 76 MB.
    """
    path = folder.parent / "manifest.json"
    try:
        sums: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise ModelError(f"{path} is missing or unreadable ({error}): {_REINSTALL}") from None
    listed = {name: digest for name, digest in sums.items() if name.startswith(f"{folder.name}/")}
    if not listed:
        raise ModelError(f"{path} lists no file of {folder.name}: {_REINSTALL}")
    for name, digest in listed.items():
        file = folder.parent / name
        if not file.is_file():
            raise ModelError(f"{file} is missing: {_REINSTALL}")
        if _digest(file) != digest:
            raise ModelError(f"{file} is not the file that was shipped (SHA-256 differs): {_REINSTALL}")


def write(root: Path) -> Path:
    """Write `root`/manifest.json with the sums of all model files below `root`; return its path."""
    files = sorted(
        file
        for file in root.glob("*/*")
        if file.suffix in _SUFFIXES and (file.parent / "config.json").is_file()
    )
    path = root / "manifest.json"
    sums = {file.relative_to(root).as_posix(): _digest(file) for file in files}
    path.write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")
    return path


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
