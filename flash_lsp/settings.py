"""What the user can set: names, defaults, and what each setting accepts.

Values come, later over earlier, from the command line, the client's `initializationOptions`, and its `flash-lsp`
section (`workspace/configuration`, `workspace/didChangeConfiguration`). Names may be written `deadline_ms` or
`deadlineMs`. A wrong value is reported and the value before it kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

SECTION = "flash-lsp"

QUANTIZE: dict[str, Any] = {"auto": "auto", "off": None, "8": 8, "4": 4}
"""What the setting `quantize` means to `Engine.load`."""


def _setting(default: Any, accepts: Callable[[Any], bool], expects: str) -> Any:
    return field(default=default, metadata={"accepts": accepts, "expects": expects})


def _flag(default: bool) -> Any:
    return _setting(default, lambda value: isinstance(value, bool), "true or false")


def _number(default: int | None, low: int, high: int, unit: str) -> Any:
    def accepts(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return _setting(default, accepts, f"a whole number from {low} to {high} ({unit})")


def _minutes(default: float, high: int, expects: str) -> Any:
    def accepts(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= high

    return _setting(default, accepts, f"a number from 0 to {high} ({expects})")


def _strings(expects: str) -> Any:
    def accepts(value: Any) -> bool:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)

    return _setting((), accepts, expects)


def _text(expects: str) -> Any:
    return _setting("", lambda value: isinstance(value, str), expects)


def _choice(*names: str) -> Any:
    return _setting(names[0], lambda value: value in names, "one of " + ", ".join(names))


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one server."""

    enabled: bool = _flag(True)
    disabled_languages: tuple[str, ...] = _strings('a list of language ids, such as ["markdown"]')
    enabled_languages: tuple[str, ...] = _strings(
        'a list of language ids, such as ["python", "rust"]; with any, the others are off'
    )
    manual_only: bool = _flag(False)
    """Suggest only when asked to (Invoked)."""
    show_after_ms: int = _number(
        0, 0, 10_000, "milliseconds since the last edit before a new suggestion is shown"
    )
    exclude: tuple[str, ...] = _strings('a list of globs in gitignore syntax, such as ["vendor/", "*.snap"]')
    """Files that are neither completed nor read as context."""
    follow_ignore_files: bool = _flag(True)
    """Whether `.gitignore` and `.flashignore` exclude files too."""
    deadline_ms: int = _number(50, 1, 10_000, "milliseconds from a request to the best reply that is ready")
    hold_ms: int = _number(400, 0, 60_000, "milliseconds that a request is held when nothing is ready")
    max_lines: int = _number(8, 1, 100, "lines of a suggested block")
    max_tokens: int = _number(96, 1, 1_024, "tokens of a suggestion")
    context_tokens: int | None = _number(None, 0, 32_768, "tokens of context from other files; 0: none")
    """None: what suits the model and the measured speed of this machine."""
    max_file_kb: int = _number(2_048, 1, 1_048_576, "thousand characters; larger files are left alone")
    decode_ahead: bool = _flag(True)
    """Start decoding when the text changes, before the editor asks."""
    eagerness: str = _choice("balanced", "careful", "eager")
    """How sure the model has to be of what is shown without being asked for."""
    power_saving: str = _choice("auto", "on", "off")
    """Whether to decode only what is asked for; auto: on battery."""
    completion: str = _choice("auto", "always", "never")
    """Whether `textDocument/completion` is answered; auto: for clients without inline completion."""
    statistics: bool = _flag(True)
    """Count locally what is shown, accepted and kept."""
    model: str = _setting(
        "flash-coder", lambda value: isinstance(value, str) and value != "", "a model's name or its folder"
    )
    template: str = _text("the name of a prompt template")
    """How the model infills; empty: by its name, or its tokenizer."""
    draft: str = _setting(
        "auto",
        lambda value: isinstance(value, str) and value != "",
        '"auto", "none", or the folder of a smaller model with the same tokenizer',
    )
    """The model that drafts for the main one; auto: the bundled model's own."""
    speculation: bool = _flag(True)
    """Decode speculatively where that is faster; the suggestions are the same."""
    device: str = _choice("auto", "native", "mlx", "reference")
    threads: int | None = _number(None, 1, 256, "threads of the CPU engine")
    quantize: str = _choice(*QUANTIZE)
    """Bits of 16-bit weights once loaded; auto: as stored if the memory plan allows, else 8, else 4."""
    kv_store_mb: int = _number(0, 0, 1_000_000, "10^6 bytes of KV caches kept on disk; 0: none")
    unload_minutes: float = _minutes(
        0, 10_080, "minutes without an edit or request after which the model is unloaded; 0: never"
    )
    remote: str = _text("the address of a completion server, such as https://models.example.com")
    """Completions come from there instead of a model on this machine; see docs/remote.md for this and what follows."""
    remote_protocol: str = _choice("auto", "llama.cpp", "openai")
    remote_model: str = _text("the name that the server gives to the model")
    remote_tokenizer: str = _text("a folder that holds the model's tokenizer.json")
    remote_ca: str = _text("a PEM file with the certificate of the server's authority")

    def allows(self, language: str) -> bool:
        """Whether suggestions are on for documents of this language id."""
        return self.enabled and self.lists(language)

    def lists(self, language: str) -> bool:
        """Whether the lists of languages leave this language id on."""
        listed = not self.enabled_languages or language in self.enabled_languages
        return listed and language not in self.disabled_languages

    def updated(self, values: object) -> tuple[Settings, list[str]]:
        """These settings with a client's `values` over them, and one line for each value that was refused.

        `values` is a JSON object of settings, bare or under "flash-lsp"; null stands for "nothing set", as a whole
        and for one setting, and so does [], which is what an empty Lua table becomes.
        """
        if isinstance(values, Mapping) and SECTION in values:
            values = values[SECTION]
        if values is None or values == []:
            return self, []
        if not isinstance(values, Mapping):
            return self, [f"expected an object of settings, got {values!r}: ignored"]
        known = {each.name: each for each in fields(self)}
        accepted: dict[str, Any] = {}
        problems = []
        for name, value in values.items():
            setting = known.get(_snake_case(name))
            if setting is None:
                problems.append(f"{name} is not a setting: ignored (settings: {', '.join(known)})")
            elif value is None:
                continue
            elif setting.metadata["accepts"](value):
                accepted[setting.name] = tuple(value) if isinstance(value, list) else value
            else:
                kept = getattr(self, setting.name)
                problems.append(f"{name}: {value!r} is not {setting.metadata['expects']}: kept {kept!r}")
        return replace(self, **accepted), problems


def _snake_case(name: object) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(name)).lower()
