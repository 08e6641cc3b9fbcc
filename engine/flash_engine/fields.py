"""Fields of a model's description (config.json, or the metadata of a GGUF file), read with errors that name them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TypeVar

from flash_engine.errors import ModelError

T = TypeVar("T")

AGAIN = "fetch the model again"


class Fields:
    """Fields of a JSON object in a file; each reader raises ModelError that names the file and the field."""

    def __init__(self, raw: dict[str, Any], path: Path, parent: str = "") -> None:
        """`parent`: the section's name and a dot, for messages."""
        self._raw = raw
        self._path = path
        self._parent = parent

    @classmethod
    def from_file(cls, path: Path) -> Fields:
        """Read a JSON file. Raises ModelError that names it."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelError(f"{path} is missing: give a folder that holds a model") from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ModelError(f"{path} is not valid JSON ({error}): {AGAIN}") from None
        if not isinstance(raw, dict):
            raise ModelError(f"{path} is not a JSON object: {AGAIN}")
        return cls(raw, path)

    @property
    def raw(self) -> dict[str, Any]:
        """All of them, as the file has them."""
        return dict(self._raw)

    def error(self, name: str, problem: str) -> ModelError:
        return ModelError(f"{self._path}: field '{self._parent}{name}' {problem}")

    def only(self, name: str, supported: str | bool, default: str | bool | None = None) -> None:
        """Require the one value that this engine knows."""
        self.choice(name, {supported: None}, default)

    def choice(self, name: str, supported: dict[Any, T], default: str | bool | None = None) -> T:
        """What `supported` says for the field's value."""
        value = self._get(name, default)
        if isinstance(value, (str, bool)) and value in supported:
            return supported[value]
        known = ", ".join(map(repr, supported))
        raise self.error(name, f"is {value!r}, which is not supported (supported: {known})")

    def count(self, name: str, default: int | None = None) -> int:
        value = self._get(name, default)
        if type(value) is not int or value < 1:
            raise self.error(name, f"is {value!r}, not a positive whole number: {AGAIN}")
        return value

    def index(self, name: str, default: int | None = None) -> int:
        """A whole number from 0 on."""
        value = self._get(name, default)
        if type(value) is not int or value < 0:
            raise self.error(name, f"is {value!r}, not a whole number from 0 on: {AGAIN}")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        value = self._get(name, default)
        if type(value) not in (int, float) or not 0 < value < math.inf:
            raise self.error(name, f"is {value!r}, not a positive number: {AGAIN}")
        return float(value)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self._get(name, default)
        if type(value) is not bool:
            raise self.error(name, f"is {value!r}, not true or false: {AGAIN}")
        return value

    def ids(self, name: str) -> tuple[int, ...]:
        """A whole number, a list of them, or none."""
        value = self._get(name, [])
        ids = value if isinstance(value, list) else [value]
        if not all(type(token) is int for token in ids):
            raise self.error(name, f"is {value!r}, not token ids: {AGAIN}")
        return tuple(ids)

    def numbers(self, name: str) -> tuple[float, ...]:
        """A list of positive numbers."""
        value = self._get(name, None)
        if not isinstance(value, list) or not all(
            type(number) in (int, float) and 0 < number < math.inf for number in value
        ):
            raise self.error(name, f"is {value!r}, not a list of positive numbers: {AGAIN}")
        return tuple(map(float, value))

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings, or none."""
        value = self._get(name, [])
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self.error(name, f"is {value!r}, not a list of strings: {AGAIN}")
        return tuple(value)

    def section(self, name: str) -> Fields | None:
        value = self._raw.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.error(name, f"is {value!r}, not a JSON object: {AGAIN}")
        return Fields(value, self._path, f"{self._parent}{name}.")

    def text(self, name: str, default: str | None = None) -> str:
        return str(self._get(name, default))

    def empty(self, name: str) -> None:
        """Require that the section is not there, or has nothing in it."""
        if self._raw.get(name):
            raise self.error(name, f"is {self._raw[name]!r}, which is not supported: leave it empty")

    def has(self, name: str) -> bool:
        return self._raw.get(name) is not None

    def _get(self, name: str, default: Any) -> Any:
        value = self._raw.get(name)
        if value is None:
            value = default
        if value is None:
            raise self.error(name, f"is missing: the file is incomplete, {AGAIN}")
        return value
