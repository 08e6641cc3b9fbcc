"""Pulling from a hub on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flash_engine import Engine, ModelError, bundled, library, provenance
from flash_lsp.models import hub as hubs
from flash_lsp.models.hub import HubError, look_up, pull

from .fake_hub import COMMIT, Hub, serving


@pytest.fixture
def hub(sixteen_bit: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    files = {file.name: file.read_bytes() for file in sixteen_bit.iterdir()}
    files |= {
        "pytorch_model.bin": b"pickled",
        "README.md": b"# tiny",
        "tiny-q4.gguf": b"GGUF",
        "tiny-q8.gguf": b"GGUF8",
    }
    hub = Hub(files)
    with serving(hub) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        for variable in hubs.OFFLINE_VARIABLES:
            monkeypatch.delenv(variable, raising=False)
        yield hub


def test_a_pulled_model_is_pinned_verified_and_found_by_its_name(hub: Hub, own_models: Path) -> None:
    offer = look_up("team/tiny")
    assert (offer.revision, offer.license) == (COMMIT, "apache-2.0")
    assert "pytorch_model.bin" not in offer.files
    assert offer.size == sum(len(hub.files[name]) for name in offer.files)
    folder = pull(offer, "tiny")
    assert folder == own_models / "tiny"
    assert library.names() == ["tiny"]
    assert not list((own_models / library.PARTIAL).iterdir())
    found = provenance.read(folder)
    assert found is not None
    assert (found.source, found.revision, found.license) == ("hub team/tiny", COMMIT, "apache-2.0")
    assert set(found.sums) == set(offer.files)
    assert bundled.locate("tiny") == folder
    with Engine.load("tiny", device="reference") as engine:
        assert engine.name == "tiny"


def test_an_interrupted_pull_continues(hub: Hub) -> None:
    # The hub's library writes 10 MB at a time.
    hub.files = {"model.safetensors": bytes(24_000_000), "config.json": b"{}"}
    hub.cuts = 1
    offer = look_up("team/tiny", revision="v1")
    try:
        pull(offer, "tiny")
    except HubError as error:
        assert "pull again" in str(error)  # noqa: PT017  (the hub's library may also have tried again by itself)
        pull(offer, "tiny")
    assert hub.ranges
    assert not hub.ranges[0].startswith("bytes=0-")
    provenance.verify_anew(library.root() / "tiny")


def test_a_file_that_is_not_what_the_hub_says_is_refused(hub: Hub) -> None:
    hub.lies = True
    with pytest.raises(HubError, match=r"model.safetensors of team/tiny was damaged on its way"):
        pull(look_up("team/tiny"), "tiny")
    assert library.names() == []


@pytest.mark.parametrize(
    ("repository", "options", "message"),
    [
        ("team/none", {}, "the hub has no team/none"),
        ("team/tiny", {"revision": "v9"}, "no such revision"),
        ("tiny", {}, "is no repository"),
        ("team/tiny", {"file": "*.gguf"}, "means 2 files"),
        ("team/tiny", {"file": "none.gguf"}, "has no none.gguf: give one of its GGUF files"),
    ],
)
def test_what_the_hub_does_not_have(hub: Hub, repository: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(HubError, match=message):
        look_up(repository, **options)


def test_one_gguf_file_can_be_pulled(hub: Hub) -> None:
    offer = look_up("team/tiny", file="*q4*")
    assert set(offer.files) == {"tiny-q4.gguf", "README.md"}
    assert (pull(offer, "tiny-q4") / "tiny-q4.gguf").read_bytes() == b"GGUF"


def test_a_gated_model_says_how_to_get_it(hub: Hub) -> None:
    offer = look_up("team/tiny")
    hub.gated = True
    with pytest.raises(HubError, match="is gated: accept its licence"):
        pull(offer, "tiny")


@pytest.mark.parametrize("variable", hubs.OFFLINE_VARIABLES)
def test_nothing_is_asked_when_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(HubError, match=f"{variable} is set"):
        look_up("team/tiny")
    assert hub.asked == []


def test_no_room(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(hubs.shutil, "disk_usage", lambda path: usage(1, 1, 1000))
    with pytest.raises(HubError, match=r"GB free, .* GB are needed: .* FLASH_LSP_MODELS"):
        pull(look_up("team/tiny"), "tiny")


def test_altered_missing_and_truncated_files_are_named(hub: Hub, own_models: Path) -> None:
    folder = pull(look_up("team/tiny"), "tiny")
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    for damaged in (data[:-1], bytes([data[0] ^ 1]) + data[1:]):
        weights.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"model\.safetensors is not the file that was pulled"):
            bundled.locate("tiny")
    weights.write_bytes(data)
    assert bundled.locate("tiny") == folder
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json is missing"):
        bundled.locate(folder)
    (folder / provenance.FILE).write_text("{")
    with pytest.raises(ModelError, match=r"flash-lsp\.json is damaged"):
        bundled.locate("tiny")


def test_a_verified_file_is_not_read_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pull(look_up("team/tiny"), "tiny")
    read: list[str] = []
    provenance.verify(folder, progress=lambda name, share: read.append(name))
    assert read == []
    provenance.verify_anew(folder, progress=lambda name, share: read.append(name))
    assert set(read) == set(hub.files) - {"pytorch_model.bin", "tiny-q4.gguf", "tiny-q8.gguf"}
