"""Errors that name the thing at fault and say what to do about it."""

from __future__ import annotations


class FlashError(Exception):
    """A problem the user can act on. `str(error)` is one line: what is wrong, with what, and the remedy."""


class ModelError(FlashError):
    """A model that cannot be loaded: the message names the file and, where there is one, the tensor."""


class DeviceError(FlashError):
    """A device or backend that is not available on this machine."""


class CapacityError(FlashError):
    """More tokens than the context holds."""


class Cancelled(Exception):  # noqa: N818  (an outcome that was asked for, not an error)
    """The caller's cancel event was set; what was computed until then is kept."""
