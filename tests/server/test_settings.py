from __future__ import annotations

from typing import Any

import pytest

from flash_lsp.settings import Settings


def test_both_spellings_and_the_section_are_understood() -> None:
    settings, problems = Settings().updated(
        {"flash-lsp": {"deadlineMs": 30, "hold_ms": 200, "decodeAhead": False}}
    )
    assert problems == []
    assert (settings.deadline_ms, settings.hold_ms, settings.decode_ahead) == (30, 200, False)


def test_null_is_nothing_set() -> None:
    assert Settings().updated(None) == (Settings(), [])
    assert Settings().updated({"flash-lsp": []}) == (Settings(), [])
    assert Settings().updated({"threads": None, "model": None}) == (Settings(), [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("deadline_ms", 0),
        ("deadline_ms", "50"),
        ("deadline_ms", 50.0),
        ("hold_ms", -1),
        ("max_lines", True),
        ("threads", 0),
        ("enabled", 1),
        ("device", "gpu"),
        ("completion", None.__class__),
        ("model", ""),
        ("model", 7),
        ("disabled_languages", "python"),
        ("disabled_languages", [1]),
    ],
)
def test_a_wrong_value_is_named_and_the_one_before_kept(name: str, value: Any) -> None:
    before, _ = Settings().updated({"deadline_ms": 70, "disabled_languages": ["c"]})
    settings, (problem,) = before.updated({name: value, "max_tokens": 9})
    assert problem.startswith(f"{name}: {value!r} is not ")
    assert problem.endswith(f"kept {getattr(before, name)!r}")
    assert getattr(settings, name) == getattr(before, name)
    assert settings.max_tokens == 9, "the right ones hold"


@pytest.mark.parametrize("values", [[1], "fast", 7])
def test_what_is_no_object_is_refused(values: Any) -> None:
    settings, (problem,) = Settings().updated(values)
    assert settings == Settings()
    assert repr(values) in problem


def test_unknown_settings_are_named_with_the_known_ones() -> None:
    _, (problem,) = Settings().updated({"dead_line": 1})
    assert problem.startswith("dead_line is not a setting")
    assert "deadline_ms" in problem


def test_languages() -> None:
    settings, _ = Settings().updated({"disabledLanguages": ["markdown"]})
    assert settings.allows("python")
    assert not settings.allows("markdown")
