"""URIs as paths, those of Windows among them: as data, on any system."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from flash_lsp.gate import unsuitable
from flash_lsp.places import path_in_workspace, path_of, place_of
from flash_lsp.settings import Settings
from flash_lsp.text import Document
from tests.server.conftest import connect

FILES = {
    "file:///c%3A/Users/Ada/my%20app/a.py": r"c:\Users\Ada\my app\a.py",  # VS Code
    "file:///C:/Users/Ada/my%20app/a.py": r"c:\Users\Ada\my app\a.py",  # Neovim, Emacs
    "file:///D%3A/x%25y/%23.py": r"d:\x%y\#.py",
    "file:///e:/gr%C3%BCn/%F0%9F%8E%88.py": "e:\\grün\\🎈.py",
    "file://server/share/dir/a.py": r"\\server\share\dir\a.py",
    "file://wsl.localhost/Ubuntu/home/ada/a.py": r"\\wsl.localhost\Ubuntu\home\ada\a.py",
}


@pytest.mark.parametrize(("uri", "path"), FILES.items())
def test_files_on_windows(uri: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pygls.uris.IS_WIN", True)
    assert str(path_of(uri)) == path


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///home/ada/a%20b%23c.py", Path("/home/ada/a b#c.py")),
        ("file:///home/ada/a%5Cb.py", Path("/home/ada/a\\b.py")),
        ("untitled:Untitled-1", None),
        ("vscode-notebook-cell:/home/ada/x.ipynb#W0", None),
        ("file://[", None),
        ("", None),
    ],
)
def test_files_elsewhere(uri: str, path: Path | None) -> None:
    assert path_of(uri) == path


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("file:///c%3A/Users/a.py", "file:///C:/Users/a.py"),
        ("file:///C%3a/Users/a.py", "file:///c:/Users/a.py"),
        ("file://SERVER/share/a.py", "file://server/share/a.py"),
        ("file:///home/%C3%A4.py", "file:///home/ä.py"),
    ],
)
def test_spellings_of_one_place(one: str, other: str) -> None:
    assert place_of(one) == place_of(other)


def test_different_places() -> None:
    assert place_of("file://server/share/a.py") != place_of("file:///share/a.py")
    assert place_of("file:///c:/a.py") != place_of("file:///d:/a.py")
    assert place_of("file:///home/A.py") != place_of("file:///home/a.py")
    assert place_of("file://[/a.py") == PurePosixPath("file://[/a.py")


@pytest.mark.parametrize(
    ("uri", "folders", "path"),
    [
        ("file:///c%3A/app/src/a.py", ["file:///C:/app"], "src/a.py"),
        ("file:///C:/app/src/a.py", ["file:///c%3A/app", "file:///c%3A/app/src"], "a.py"),
        ("file:///c%3A/app/a.py", ["file:///c%3A/"], "app/a.py"),
        ("file:///c%3A/application/a.py", ["file:///c%3A/app"], "a.py"),
        ("file:///d%3A/app/a.py", ["file:///c%3A/app"], "a.py"),
        ("file://server/share/app/a%20b.py", ["file://Server/share/app"], "a b.py"),
        ("file://server/share/app/a.py", ["file://other/share/app"], "a.py"),
        ("untitled:Untitled-1", ["file:///c%3A/app"], "Untitled-1"),
        ("vscode-notebook-cell:/c%3A/app/x.ipynb#W0", ["file:///C:/app"], "x.ipynb"),
    ],
)
def test_paths_in_the_workspace(uri: str, folders: list[str], path: str) -> None:
    assert path_in_workspace(uri, folders) == path


def test_rules_on_names_see_through_percent_signs() -> None:
    document = Document("file:///c%3A/app/jquery%2Dmin.js", "javascript", 1, "f()")
    assert unsuitable(document, Settings()) == "minified"


def test_rules_on_files_on_windows() -> None:
    """What `Ignore` asks of paths holds for those of Windows, whatever their case."""
    file = PureWindowsPath(r"c:\App\Vendor\a.py")
    assert file.is_relative_to(PureWindowsPath(r"C:\app"))
    assert file.relative_to(PureWindowsPath(r"C:\app")).as_posix() == "Vendor/a.py"


@pytest.mark.parametrize("uri", [*FILES, "untitled:Untitled-1", "vscode-notebook-cell:/c%3A/x.ipynb#W0"])
async def test_documents_anywhere_are_completed_and_named_as_the_client_does(uri: str) -> None:
    async with connect("nvim-0.12.4") as client:
        document = client.open("total = ", uri)
        assert await client.suggest(document, 8) is not None
        assert client.records[-1]["uri"] == uri
