"""The engine of a command, loaded with a bar on stderr."""

from __future__ import annotations

import sys
from typing import Any

from flash_engine import Engine
from flash_lsp.cli.models.progress import bar
from flash_lsp.completer import Completer


def load_engine(options: dict[str, Any]) -> Engine:
    """`Engine.load(**options)`; what loading changed in the weights is said on stderr."""
    with bar("loading:") as progress:
        engine = Engine.load(**options, progress=progress)
    if engine.changes:
        print(f"{engine.name}, as it was read: {engine.changes}", file=sys.stderr)
    return engine


def completer_of(engine: Engine) -> Completer:
    """The engine's completer; why it may write worse than the model could is said on stderr."""
    completer = Completer(engine)
    if completer.template.warning:
        print(completer.template.warning, file=sys.stderr)
    return completer
