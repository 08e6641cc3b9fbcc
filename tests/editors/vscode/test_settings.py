"""The extension's settings are the server's: same names, same defaults, nothing that the server refuses.

And what its sources may not use: web views and connections.
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from flash_lsp.settings import Settings

PACKAGE = Path(__file__).parents[3] / "editors/vscode/package.json"
OF_THE_CLIENT = {"serverCommand", "trace.server"}
OF_OTHER_CLIENTS = {"completion"}


@pytest.fixture(scope="module")
def properties() -> dict[str, Any]:
    properties: dict[str, Any] = json.loads(PACKAGE.read_text())["contributes"]["configuration"]["properties"]
    return {name.removeprefix("flash-lsp."): value for name, value in properties.items()}


def _camel_case(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def test_all_settings_of_the_server_are_there(properties: dict[str, Any]) -> None:
    names = {_camel_case(field.name) for field in dataclasses.fields(Settings)}
    assert names - OF_OTHER_CLIENTS == set(properties) - OF_THE_CLIENT


def test_defaults_change_nothing(properties: dict[str, Any]) -> None:
    values = {name: value["default"] for name, value in properties.items() if name not in OF_THE_CLIENT}
    assert Settings().updated(values) == (Settings(), [])


def test_limits_are_the_servers(properties: dict[str, Any]) -> None:
    for name, value in properties.items():
        for limit, step in (("minimum", -1), ("maximum", 1)):
            if limit in value:
                assert Settings().updated({name: value[limit]})[1] == [], (name, limit)
                assert Settings().updated({name: value[limit] + step})[1] != [], (name, limit)


def test_every_setting_says_what_it_does(properties: dict[str, Any]) -> None:
    for name, value in properties.items():
        assert value.get("description") or value.get("markdownDescription"), name


def test_no_setting_that_sends_code_or_runs_programs_comes_from_an_untrusted_workspace(
    properties: dict[str, Any],
) -> None:
    capabilities = json.loads(PACKAGE.read_text())["capabilities"]["untrustedWorkspaces"]
    restricted = {name.removeprefix("flash-lsp.") for name in capabilities["restrictedConfigurations"]}
    assert {"serverCommand", "model", "draft"} <= restricted
    for name in properties:
        if name.startswith("remote"):
            assert properties[name]["scope"] == "machine", name


def test_no_web_view_and_no_connection() -> None:
    forbidden = re.compile(
        r"createWebview|registerWebview|node:(?:https?|net|tls|dgram|dns)\b|\bfetch\(|XMLHttp"
    )
    for source in (PACKAGE.parent / "src").glob("*.ts"):
        assert not forbidden.search(source.read_text()), source.name
