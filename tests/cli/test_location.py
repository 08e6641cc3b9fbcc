from __future__ import annotations

from pathlib import Path

import pytest

from flash_lsp.cli.errors import InputError
from flash_lsp.cli.location import Location, read_source


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.py:1:1", ("a.py", 1, 1)),
        ("dir/b:c.py:12:9", ("dir/b:c.py", 12, 9)),
        (r"C:\work\a.py:3:4", (r"C:\work\a.py", 3, 4)),
    ],
)
def test_parse(text: str, expected: tuple[str, int, int]) -> None:
    location = Location.parse(text)
    assert (str(location.path), location.line, location.column) == expected


@pytest.mark.parametrize(
    "text", ["", "a.py", "a.py:1", "a.py:1:", "a.py:x:1", ":1:1", "a.py:-1:2", "a.py:1:٣", "a.py:1.0:1"]
)
def test_parse_names_what_is_wrong(text: str) -> None:
    with pytest.raises(InputError, match="FILE:LINE:COL"):
        Location.parse(text)


@pytest.mark.parametrize(
    ("text", "line", "column", "prefix"),
    [
        ("", 1, 1, ""),
        ("abc", 1, 4, "abc"),
        ("abc\n", 2, 1, "abc\n"),
        ("a\r\nb\rc\nd", 4, 2, "a\r\nb\rc\nd"),
        ("a\r\nb", 1, 2, "a"),
        ("x\fy\u2028z\nw", 2, 1, "x\fy\u2028z\n"),
        ("😀é\n", 1, 3, "😀é"),
    ],
)
def test_split(text: str, line: int, column: int, prefix: str) -> None:
    assert Location(Path("a"), line, column).split(text) == (prefix, text[len(prefix) :])


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("abc\n", 3, 1, "has lines 1 to 2; there is no line 3"),
        ("abc\n", 0, 1, "there is no line 0"),
        ("abc\r\n", 1, 5, "line 1 has columns 1 to 4; there is no column 5"),
        ("", 1, 2, "line 1 has columns 1 to 1"),
        ("a", 1, 0, "there is no column 0"),
    ],
)
def test_outside_is_refused(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Location(Path("a.py"), line, column).split(text)


def test_read_source_keeps_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes("\ufeffa\r\né\r".encode())
    assert read_source(path) == "a\r\né\r"


def test_read_source_refuses(tmp_path: Path) -> None:
    binary = tmp_path / "b.bin"
    binary.write_bytes(b"ab\0c")
    latin = tmp_path / "l.txt"
    latin.write_bytes(b"caf\xe9")
    for path, message in [
        (tmp_path / "none.py", "no such file"),
        (tmp_path, "is a folder"),
        (binary, "binary file"),
        (latin, r"not UTF-8 text \(byte 3\)"),
    ]:
        with pytest.raises(InputError, match=message) as error:
            read_source(path)
        assert str(path) in str(error.value)
