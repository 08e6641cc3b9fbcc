"""The command line: one file per command, assembled in `app`; `main` is the entry point `flash-lsp`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit.

    Exit codes: 0 done, 1 `doctor` found a problem, 2 bad input or a model that cannot be used, told in one
    line on stderr.
    """
    from flash_engine.errors import FlashError
    from flash_lsp.cli.app import app
    from flash_lsp.cli.errors import InputError

    try:
        app(args=arguments, prog_name="flash-lsp")
    except (FlashError, InputError) as error:
        print(f"flash-lsp: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # The reader of our output (`head`, a pager) has gone; without this Python complains while it exits.
        sys.stderr.close()
    sys.exit(0)
