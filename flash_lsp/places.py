"""Where a client's documents are: URIs as paths. Drives, shares and percent signs have more than one spelling."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from pygls.uris import to_fs_path

_DRIVE = re.compile(r"/[A-Za-z]:(?=/|\Z)")


def place_of(uri: str) -> PurePosixPath:
    """What a URI names, to be compared with others: percent signs decoded, a drive's letter in lower case, the host of
    a share in front. `file:///C%3A/a%20b.py` is `/c:/a b.py`, `file://Server/share/a.py` is `//server/share/a.py`.

    Of any scheme; a text that is no URI is taken as a path.
    """
    try:
        parts = urlsplit(uri)
    except ValueError:
        return PurePosixPath(uri)
    path = _DRIVE.sub(lambda drive: drive[0].lower(), unquote(parts.path), count=1)
    return PurePosixPath(f"//{parts.netloc.lower()}{path}" if parts.netloc else path)


def path_of(uri: str) -> Path | None:
    """The file of a document; None if it is not on disk."""
    try:
        path = to_fs_path(uri) if uri.startswith("file:") else None
    except ValueError:
        return None
    return Path(path) if path else None


def path_in_workspace(uri: str, folders: Iterable[str]) -> str:
    """The path of a document relative to the innermost workspace folder (URIs) that holds it, or else its file name."""
    place = place_of(uri)
    inside = [place.relative_to(root) for root in map(place_of, folders) if place.is_relative_to(root)]
    return str(min(inside, key=lambda each: len(each.parts), default=PurePosixPath(place.name)))
