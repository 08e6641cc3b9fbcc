"""Models from the Hugging Face hub: the one place of flash-lsp that fetches anything by itself."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flash_engine import FlashError, library, provenance

if TYPE_CHECKING:
    from huggingface_hub import HfApi

OFFLINE_VARIABLES = ("FLASH_LSP_OFFLINE", "HF_HUB_OFFLINE")
"""Environment variables that forbid the network."""

_WANTED = ("config.json", "*.safetensors", "model.safetensors.index.json", "tokenizer*", "special_tokens_map.json",
           "vocab.json", "merges.txt", "generation_config.json", "LICENSE*", "README.md")  # fmt: skip
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


class HubError(FlashError):
    """A model cannot be pulled: what, and what to do."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A model on the hub at one commit, before anything of it is fetched."""

    repository: str
    revision: str
    """The commit: what is fetched stays what was looked at."""
    license: str
    files: dict[str, int]
    """Name -> bytes."""
    sums: dict[str, str]
    """SHA-256 of those files for which the hub tells it."""

    @property
    def size(self) -> int:
        return sum(self.files.values())


def look_up(repository: str, *, revision: str | None = None, file: str | None = None) -> Offer:
    """What the hub has under `repository` at a branch, tag or commit. file: a GGUF file, or a glob, to fetch in place
    of safetensors. Raises HubError."""
    api = _api()
    if not _REPOSITORY.fullmatch(repository):
        raise HubError(
            f"{repository!r} is no repository of the hub: give OWNER/NAME, such as Qwen/Qwen2.5-Coder-1.5B"
        )
    info = _asked(repository, lambda: api.model_info(repository, revision=revision, files_metadata=True))
    siblings = {each.rfilename: each for each in info.siblings or []}
    patterns = _WANTED if file is None else (file, "LICENSE*", "README.md")
    chosen = {
        name: each
        for name, each in siblings.items()
        if "/" not in name and any(fnmatch(name, p) for p in patterns)
    }
    weights = [name for name in chosen if name.endswith((".safetensors", ".gguf"))]
    if not weights:
        gguf = [name for name in siblings if name.endswith(".gguf")]
        hint = f"give one of its GGUF files with --file: {', '.join(gguf[:5])}" if gguf else "choose another"
        raise HubError(f"{repository} has no {file or 'safetensors'}: {hint}")
    if file is not None and len(weights) > 1:
        raise HubError(
            f"{repository}: --file {file} means {len(weights)} files: give one of {', '.join(weights[:5])}"
        )
    card = info.card_data
    return Offer(
        repository,
        str(info.sha),
        str((card.get("license_name") or card.get("license") if card else None) or ""),
        {name: each.size or 0 for name, each in chosen.items()},
        {name: each.lfs.sha256 for name, each in chosen.items() if each.lfs},
    )


def pull(offer: Offer, name: str, *, progress: provenance.Progress | None = None) -> Path:
    """Fetch `offer` into the user's models as `name`; what was fetched before an interruption is kept and continued.

    The hub's library shows its own bars. progress: of the check afterwards. Raises HubError if the hub fails, the disk
    is too small, or a file is not what the hub says it is.
    """
    from huggingface_hub import hf_hub_download

    _api()
    target = library.root() / name
    partial = library.root() / library.PARTIAL / f"{name}-{offer.revision[:12]}"
    partial.mkdir(parents=True, exist_ok=True)
    missing = offer.size - library.size(partial)
    if missing > (free := shutil.disk_usage(partial).free):
        raise HubError(
            f"{partial} has {free / 1e9:.1f} GB free, {missing / 1e9:.1f} GB are needed: free some, or set "
            f"{library.VARIABLE} to a folder on another disk"
        )
    for file in offer.files:
        _asked(
            offer.repository,
            lambda file=file: hf_hub_download(  # type: ignore[misc]
                offer.repository,
                file,
                revision=offer.revision,
                local_dir=partial,
                endpoint=_endpoint(),
                library_name="flash-lsp",
            ),
        )
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    found = provenance.write(
        partial,
        f"hub {offer.repository}",
        revision=offer.revision,
        license=offer.license,
        progress=progress,
    )
    for file, digest in offer.sums.items():
        if found.sums.get(file) != digest:
            (partial / file).unlink()
            raise HubError(
                f"{file} of {offer.repository} was damaged on its way (SHA-256 differs): pull again"
            )
    if target.exists():
        shutil.rmtree(target)
    partial.rename(target)
    return target


def _api() -> HfApi:
    for variable in OFFLINE_VARIABLES:
        if os.environ.get(variable, "").lower() not in ("", "0", "false", "no"):
            raise HubError(f"{variable} is set, so nothing is fetched: unset it to pull models")
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    from huggingface_hub import HfApi

    return HfApi(endpoint=_endpoint(), library_name="flash-lsp")


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT")


def _asked(repository: str, ask: Callable[[], Any]) -> Any:
    """The hub's answer, or its refusal in the user's terms."""
    from httpx2 import HTTPError
    from huggingface_hub import errors

    try:
        return ask()
    except errors.GatedRepoError:
        raise HubError(
            f"{repository} is gated: accept its licence on its page on the hub, then log in with 'hf auth login'"
        ) from None
    except errors.RevisionNotFoundError:
        raise HubError(f"{repository} has no such revision: give a branch, tag or commit of it") from None
    except errors.RepositoryNotFoundError:
        raise HubError(f"the hub has no {repository}, or it is private: check the name") from None
    except (errors.HfHubHTTPError, HTTPError, OSError) as error:
        raise HubError(
            f"the hub failed on {repository} ({type(error).__name__}): pull again, it continues where it stopped"
        ) from None
