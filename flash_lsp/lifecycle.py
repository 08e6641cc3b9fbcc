"""The life of a client's model: loaded in the background, loaded anew, freed while nobody works."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from typing import Protocol

from flash_engine import FlashError
from flash_lsp.decoder import ModelDecoder, NoModel
from flash_lsp.idle import Idleness
from flash_lsp.loading import Report
from flash_lsp.settings import Settings

logger = logging.getLogger(__name__)

Load = Callable[[Settings, asyncio.AbstractEventLoop, Report], ModelDecoder]


class Host(Protocol):
    """Whom the model works for."""

    settings: Settings

    async def in_background(self, title: str, load: Callable[[Report], ModelDecoder]) -> ModelDecoder:
        """The result of `load`, which takes long; raises what it raises."""
        ...

    def announce(self, state: str, message: str) -> None:
        """Tell the user how things stand (protocol.Status)."""
        ...

    def alarm(self, message: str) -> None:
        """Tell the user what went wrong and what to do about it."""
        ...

    def warn(self, message: str) -> None:
        """Tell the user what works, but perhaps not as it should."""
        ...

    def attach(self, decoder: ModelDecoder | NoModel) -> None:
        """The model is there: use it for all documents."""
        ...

    def detach(self) -> None:
        """The model is about to be freed: let go of it, and keep the documents."""
        ...


class Lifecycle:
    """Holds the model. Use it on the event loop."""

    def __init__(self, host: Host, settings: Settings, load: Load) -> None:
        self.decoder: ModelDecoder | NoModel | None = None
        """None while there is none: it is being loaded, or was freed."""
        self._host = host
        self._load = load
        self._loaded = settings
        self._changing = asyncio.Lock()
        self._idleness = Idleness(self._rest)
        self._unloaded = False
        self._warned: tuple[object, ...] | None = None
        """The model that was warned of: once, however often it is loaded again."""
        self._task: asyncio.Task[None] | None = None

    @property
    def model(self) -> ModelDecoder | None:
        """The model, if it could be loaded."""
        return self.decoder if isinstance(self.decoder, ModelDecoder) else None

    @property
    def is_up_to_date(self) -> bool:
        """Whether the model that is loaded, or being loaded, is the one that the settings want."""
        return _model_of(self._host.settings) == _model_of(self._loaded)

    async def load(self) -> None:
        """Load the model of the settings, if there is none."""
        async with self._changing:
            if self.decoder is None:
                await self._load_model()

    async def reload(self) -> None:
        """Free the model and load the one of the settings."""
        async with self._changing:
            await self._free()
        await self.load()

    def stir(self) -> None:
        """The user is at work: the idle time begins anew, and a model that was unloaded is loaded."""
        self._idleness.stir(self._host.settings.unload_minutes)
        if self._unloaded:
            self._unloaded = False
            self._task = asyncio.get_running_loop().create_task(self.load())

    def close(self) -> None:
        """Free the model for good."""
        if self.model:
            self.model.close()

    def _rest(self) -> None:
        """Nothing was done for a while."""
        if self.model:
            self._unloaded = True
            self._task = asyncio.get_running_loop().create_task(self._unload())

    async def _unload(self) -> None:
        async with self._changing:
            if self._unloaded:
                await self._free()
                self._host.announce(
                    "ready", "unloaded after a time without edits: the next one loads it again"
                )

    async def _free(self) -> None:
        model, self.decoder = self.model, None
        self._host.detach()
        if model:
            await asyncio.to_thread(model.close)

    async def _load_model(self) -> None:
        settings = self._loaded = self._host.settings
        loop = asyncio.get_running_loop()
        title = f"connecting to remote {settings.remote}" if settings.remote else f"loading {settings.model}"
        self._host.announce("loading", title)
        try:
            decoder = await self._host.in_background(
                f"flash-lsp: {title}", lambda report: self._load(settings, loop, report)
            )
        except FlashError as error:
            self.decoder = self._failed(str(error))
        except Exception as error:
            logger.exception("the model could not be loaded")
            self.decoder = self._failed(
                f"the model could not be loaded ({type(error).__name__}: {error}): see the log"
            )
        else:
            self._host.announce("ready", decoder.device)
            self.decoder = decoder
            model = _model_of(settings)
            if decoder.warning and model != self._warned:
                self._warned = model
                self._host.warn(decoder.warning)
        self._host.attach(self.decoder)
        self.stir()

    def _failed(self, message: str) -> NoModel:
        self._host.announce("error", message)
        self._host.alarm(message)
        return NoModel()


def _model_of(settings: Settings) -> tuple[object, ...]:
    remote = [
        getattr(settings, each.name)
        for each in dataclasses.fields(settings)
        if each.name.startswith("remote")
    ]
    local = ("model", "template", "draft", "speculation", "device", "threads", "quantize", "kv_store_mb")
    return *(getattr(settings, name) for name in local), *remote
