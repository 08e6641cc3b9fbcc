"""docs/settings.md and the VS Code extension say what settings.py says."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from flash_lsp.settings import SECTION, Settings

ROOT = Path(__file__).parents[2]
DEFAULTS: dict[str, Any] = {each.name: each.default for each in fields(Settings)}
CLIENTS_OWN = {"serverCommand", "trace.server"}


def as_json(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def test_the_page_has_every_setting_with_its_default_in_order() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8").split("## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", page, re.MULTILINE)
    assert rows == [(name, as_json(value)) for name, value in DEFAULTS.items()]


def test_the_extension_offers_settings_that_exist_with_the_same_defaults() -> None:
    manifest = json.loads((ROOT / "editors" / "vscode" / "package.json").read_text(encoding="utf-8"))
    for name, entry in manifest["contributes"]["configuration"]["properties"].items():
        key = name.removeprefix(f"{SECTION}.")
        if key in CLIENTS_OWN:
            continue
        setting = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower()
        assert as_json(entry["default"]) == as_json(DEFAULTS[setting]), name
