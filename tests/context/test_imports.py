"""Imports of each language, resolved in a small workspace, and outlines of what they lead to."""

from __future__ import annotations

from pathlib import Path

import pytest

from flash_lsp.context.imports import imported_files
from flash_lsp.context.outline import outline

FILES = (
    "pkg/__init__.py", "pkg/shapes.py", "pkg/sub/deep.py", "src/tool.py", "web/api.ts", "web/lib/index.js",
    "web/old.js", "go/internal/store/store.go", "rs/src/lib.rs", "rs/src/net.rs", "rs/src/disk/mod.rs",
    "java/src/main/java/org/acme/Shape.java", "c/include/shape.h", "c/list.h",
)  # fmt: skip


@pytest.mark.parametrize(
    ("file", "language", "text", "found"),
    [
        ("pkg/main.py", "python", "from pkg.shapes import area, Circle as C\n", {"pkg/shapes.py": {"area", "Circle"}}),
        ("pkg/main.py", "python", "from .shapes import (\n    area,\n)\n", {"pkg/shapes.py": {"area"}}),
        ("pkg/sub/main.py", "python", "from ..shapes import *\n", {"pkg/shapes.py": set()}),
        ("pkg/main.py", "python", "from pkg import shapes\n", {"pkg/shapes.py": {"shapes"}}),
        ("pkg/main.py", "python", "import os, sys\nimport pkg.sub.deep\n", {"pkg/sub/deep.py": set()}),
        ("src/main.py", "python", "import tool\n", {"src/tool.py": set()}),
        ("pkg/shapes.py", "python", "from pkg.shapes import area\n", {}),
        ("pkg/main.py", "python", "from pkg.shapes import area\nimport pkg.shapes\n", {"pkg/shapes.py": set()}),
        ("web/main.ts", "typescript", "import { get, type Put } from './api'\n", {"web/api.ts": {"get", "Put"}}),
        ("web/main.ts", "typescript", "import lib from \"./lib\";\n", {"web/lib/index.js": set()}),
        ("web/main.js", "javascript", "const old = require('./old.js')\n", {"web/old.js": set()}),
        ("web/main.ts", "typescript", "import React from 'react'\n", {}),
        ("go/main.go", "go", 'import (\n\t"fmt"\n\t"example.com/app/internal/store"\n)\n',
         {"go/internal/store/store.go": set()}),
        ("rs/src/lib.rs", "rust", "mod net;\nuse crate::disk::Block;\n",
         {"rs/src/net.rs": set(), "rs/src/disk/mod.rs": set()}),
        ("java/src/main/java/org/acme/app/Main.java", "java", "import org.acme.Shape;\n",
         {"java/src/main/java/org/acme/Shape.java": set()}),
        ("c/src/main.c", "c", '#include <stdio.h>\n#include "shape.h"\n#include "../list.h"\n',
         {"c/include/shape.h": set(), "c/list.h": set()}),
        ("c/main.c", "c", '#include "../../../etc/passwd"\n', {}),
        ("notes.txt", "plaintext", "import pkg\n", {}),
    ],
)  # fmt: skip
def test_where_imports_lead(
    tmp_path: Path, file: str, language: str, text: str, found: dict[str, set[str]]
) -> None:
    for each in FILES:
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / each).touch()
    result = imported_files(tmp_path / file, language, text, tmp_path)
    names = {each.path.relative_to(tmp_path).as_posix(): set(each.names) for each in result}
    assert names == found
    assert imported_files(tmp_path / file, language, text, tmp_path / "elsewhere") == []


PYTHON = '''
import os

LIMIT = 10


def area(
    width: float,
    height: float,
) -> float:
    """Of a rectangle."""
    size: float = width * height
    def inner(): return size
    return size


class Circle:
    """Round."""

    radius: float

    def grow(self, by: float) -> None:
        self.radius += by

    def _private(self): ...


class Square: ...
''' + "# filler\n" * 150  # fmt: skip


def test_outline_of_python() -> None:
    assert outline(PYTHON, "python") == (
        "LIMIT = 10\ndef area(\n    width: float,\n    height: float,\n) -> float:\n"
        "class Circle:\n    radius: float\n    def grow(self, by: float) -> None:\nclass Square: ...\n"
    )
    assert outline(PYTHON, "python", frozenset({"Circle"})) == (
        "class Circle:\n    radius: float\n    def grow(self, by: float) -> None:\n"
    )
    assert outline(PYTHON, "python", frozenset({"LIMIT", "nothing"})) == "LIMIT = 10\n"
    assert outline(PYTHON, "python", frozenset({"nothing"})) == outline(PYTHON, "python")


@pytest.mark.parametrize(
    ("language", "text", "heads"),
    [
        ("typescript", "export interface Shape {\n  area(): number;\n  name: string;\n}\nlet hidden = 1\n"
         "export function sum(a: number) {\n  const x = { y: 1 };\n}\n",
         ["export interface Shape {", "  name: string;", "export function sum(a: number) {"]),
        ("go", "package a\n\nfunc (s *Store) Get(key string) string {\n\treturn s.m[key]\n}\ntype Store struct {\n",
         ["func (s *Store) Get(key string) string {", "type Store struct {"]),
        ("rust", "pub struct Point {\n    pub x: f32,\n}\nimpl Point {\n"
         "    pub fn norm(&self) -> f32 {\n        let y = 1;\n",
         ["pub struct Point {", "    pub x: f32,", "impl Point {", "    pub fn norm(&self) -> f32 {"]),
        ("java", "public class A {\n  private int x;\n  public static int sum(int a, int b) {\n    return a + b;\n",
         ["public class A {", "  public static int sum(int a, int b) {"]),
        ("c", "#define MAX 3\nstatic int add(int a, int b);\nint main(void) {\n    return add(1, 2);\n}\n",
         ["#define MAX 3", "static int add(int a, int b);", "int main(void) {"]),
    ],
)  # fmt: skip
def test_outlines(language: str, text: str, heads: list[str]) -> None:
    assert outline(text + "\n" * 1300, language).splitlines() == heads


def test_a_short_text_and_an_unknown_language_are_taken_as_they_are() -> None:
    assert outline("x = 1\n", "python") == "x = 1\n"
    assert outline("a" * 5000, "cobol") == "a" * 1200
