"""Whether suggestions are wanted in a document at all: settings, pause, snooze, and what files are left alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from flash_lsp.ignore import Ignore, text_reason
from flash_lsp.places import path_of, place_of
from flash_lsp.settings import Settings
from flash_lsp.text import Document

DISABLED = "disabled"
MANUAL_ONLY = "manual-only"
PAUSED = "paused"
SNOOZED = "snoozed"


def unsuitable(document: Document, settings: Settings) -> str | None:
    """The reason that lies in the document and the settings alone; None if suggestions may be made."""
    if not settings.allows(document.language_id):
        return DISABLED
    return _text_reason(document, settings) or (MANUAL_ONLY if settings.manual_only else None)


def _text_reason(document: Document, settings: Settings) -> str | None:
    return text_reason(place_of(document.uri).name, document.text, max_characters=1000 * settings.max_file_kb)


class Gate:
    """The switches of one client, and the rules on files in its workspace."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.ignore = Ignore()
        self.paused = False
        self._clock = clock
        self._snoozed_until = 0.0
        self._switched: dict[str, bool] = {}

    def follow(self, folders: Iterable[Path], settings: Settings) -> None:
        """Take the rules on files from the settings; what was read of ignore files is read again."""
        self.ignore = Ignore(folders, settings.exclude, follow_ignore_files=settings.follow_ignore_files)

    def snooze(self, minutes: float) -> None:
        """No suggestions for some minutes from now; 0 ends it."""
        self._snoozed_until = self._clock() + 60 * minutes

    @property
    def snoozed_minutes(self) -> float:
        """Minutes of snoozing that are left."""
        return max(self._snoozed_until - self._clock(), 0.0) / 60

    def toggle(self, language: str, settings: Settings) -> bool:
        """Turn a language ("" for all) off or on again, whatever the settings say; whether it is on now."""
        self._switched[language] = not self._is_on(language, settings)
        return self._switched[language]

    def reason(self, document: Document, settings: Settings) -> str | None:
        """Why nothing is suggested in this document now; None if it may be."""
        if self.paused:
            return PAUSED
        if self.snoozed_minutes:
            return SNOOZED
        if not self._is_on("", settings) or not self._is_on(document.language_id, settings):
            return DISABLED
        return self.file_reason(document, settings) or (MANUAL_ONLY if settings.manual_only else None)

    def file_reason(self, document: Document, settings: Settings) -> str | None:
        """Why the document's file is left alone, also as context; None if it is not."""
        path = path_of(document.uri)
        return (self.ignore.reason(path) if path else None) or _text_reason(document, settings)

    def _is_on(self, language: str, settings: Settings) -> bool:
        switched = self._switched.get(language)
        if switched is None:
            return settings.lists(language) if language else settings.enabled
        return switched
