"""From the user's settings to a remote engine: the address checked, the server asked what it is."""

from __future__ import annotations

import ipaddress
import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2

from flash_engine import FlashError, Tokenizer
from flash_lsp.inference import PromptTokenizer
from flash_lsp.prompt.templates import FAMILIES, PLAIN
from flash_lsp.remote.dialects import Dialect, LlamaCpp, LlamaTokenizer, OpenAI
from flash_lsp.remote.engine import Link, RemoteEngine
from flash_lsp.remote.errors import KEY_VARIABLE, LOADING, RemoteError
from flash_lsp.remote.pieces import TextPieces
from flash_lsp.remote.words import WordHeld
from flash_lsp.settings import Settings

T = TypeVar("T")

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
"""For the questions asked while connecting; the first completion may wait for a model to be loaded."""

_PAUSE_SECONDS = 0.5

PROMPT_TOKENS = 2048
"""Budget of a prompt while typing."""

CAPACITY = 4096
"""Tokens of a prompt and its completion that any server is taken to have room for."""


def connect(settings: Settings, progress: Callable[[str, float], None]) -> RemoteEngine:
    """A remote engine on the server at `settings.remote`. Raises FlashError that says what to correct."""
    address = checked_address(settings.remote)
    progress(f"connecting to {address}", 0.1)
    link = open_link(address, settings.remote_ca)
    try:
        return _engine(link, settings, progress)
    except BaseException:
        link.close()
        raise


def checked_address(text: str) -> str:
    """The base URL in `text`, without a final `/v1`. Raises RemoteError unless code sent there stays private: over
    https, or within this machine."""
    parts = urlsplit(text if "//" in text else f"//{text}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RemoteError(
            f"setting remote: {text!r} is no address: give one such as https://models.example.com"
        )
    if parts.username or parts.password:
        raise RemoteError(f"setting remote: no password in it, please: put the key into {KEY_VARIABLE}")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise RemoteError(
            f"setting remote: {text!r} would send your code unencrypted: use https, or a tunnel "
            f"(ssh -L 8080:localhost:{parts.port or 80} {parts.hostname}) and http://127.0.0.1:8080"
        )
    return text.rstrip("/").removesuffix("/v1")


def open_link(address: str, authority: str = "") -> Link:
    """A link to `address`. TLS certificates are always verified: by the system's authorities, or by the one in the
    PEM file `authority`. Proxies and other settings of the environment are not followed."""
    try:
        verify = ssl.create_default_context(cafile=authority) if authority else True
    except OSError as error:
        raise RemoteError(
            f"setting remoteCa: {authority} cannot be used ({error}): give a PEM file"
        ) from None
    key = os.environ.get(KEY_VARIABLE)
    client = httpx2.AsyncClient(
        base_url=address,
        verify=verify,
        trust_env=False,
        headers={"Authorization": f"Bearer {key}"} if key else None,
        timeout=httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
    )
    return Link(client)


def _engine(link: Link, settings: Settings, progress: Callable[[str, float], None]) -> RemoteEngine:
    properties = None if settings.remote_protocol == "openai" else _patiently(lambda: link.get("/props"))
    llama = properties is not None and "default_generation_settings" in properties
    if settings.remote_protocol == "llama.cpp" and not llama:
        raise RemoteError(f"remote engine {link.address}: is not llama-server: set remoteProtocol to openai")
    progress("asking for its models", 0.3)
    name = _patiently(lambda: _model(link, settings.remote_model))
    template = _template(name, settings.template)
    tokenizer: PromptTokenizer
    dialect: Dialect
    if llama:
        tokenizer, dialect = LlamaTokenizer(link.post), LlamaCpp()
    elif settings.remote_tokenizer:
        folder = Path(settings.remote_tokenizer).expanduser()
        tokenizer, dialect = WordHeld(Tokenizer.from_folder(folder)), OpenAI(name, None)
    else:
        pieces = TextPieces()
        tokenizer, dialect = pieces, OpenAI(name, pieces)
    progress("first completion", 0.6)
    return RemoteEngine(
        name,
        _accepted(link, dialect, tokenizer),
        tokenizer,
        template=template,
        link=link,
        budget=PROMPT_TOKENS,
        capacity=CAPACITY,
    )


def _patiently(ask: Callable[[], T]) -> T:
    """The answer to `ask`, which a server refuses with status 503 while it loads its model."""
    patience = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            return ask()
        except RemoteError as error:
            if error.status != LOADING or time.monotonic() > patience:
                raise
        time.sleep(_PAUSE_SECONDS)


def _model(link: Link, wanted: str) -> str:
    listed = [str(each.get("id")) for each in (link.get("/v1/models") or {}).get("data", [])]
    if wanted and listed and wanted not in listed:
        raise RemoteError(
            f"remote engine {link.address}: has no model {wanted!r}: set remoteModel to one of {', '.join(listed)}"
        )
    if not wanted and not listed:
        raise RemoteError(f"remote engine {link.address}: does not list its models: set remoteModel")
    if not wanted and len(listed) > 1:
        raise RemoteError(
            f"remote engine {link.address}: has several models: set remoteModel to one of {', '.join(listed)}"
        )
    return wanted or listed[0]


def _template(model: str, wanted: str) -> str:
    """The prompt template that is set, or else the one that the model's name tells."""
    if wanted:
        if wanted not in FAMILIES:
            raise RemoteError(f"setting template: no template {wanted!r}: give one of {', '.join(FAMILIES)}")
        return wanted
    for key, family in FAMILIES.items():
        if key != PLAIN and any(name in model.lower() for name in family.names):
            return key
    raise RemoteError(
        f"remote model {model!r}: its name does not tell how it infills: set template to one of "
        f"{', '.join(FAMILIES)}"
    )


def _accepted(link: Link, dialect: Dialect, tokenizer: PromptTokenizer) -> Dialect:
    """`dialect` after a first completion; without log-probabilities where the server refuses them."""
    request = dialect.request(tokenizer.encode("x = "), max_tokens=1, stop=())
    try:
        link.post(dialect.path, request | {"stream": False})
    except FlashError:
        if not isinstance(dialect, OpenAI) or not dialect.scored:
            raise
        return _accepted(link, dialect.unscored(), tokenizer)
    return dialect


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
