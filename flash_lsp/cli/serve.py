"""`flash-lsp serve`: the language server."""

from __future__ import annotations

import ipaddress
from typing import Annotated

import typer

from flash_lsp.cli.errors import InputError


def serve(
    tcp: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Listen on a loopback address for debugging (example: 127.0.0.1:7777) instead of stdio.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run the language server on stdin and stdout; editors start it this way."""
    address = None if tcp is None else loopback_address(tcp)
    from flash_lsp import server

    server.serve(tcp=address)


def loopback_address(text: str) -> tuple[str, int]:
    """Parse HOST:PORT; raises InputError unless HOST is a loopback address and PORT is from 0 to 65,535."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise InputError(f"--tcp {text}: give HOST:PORT with a port from 0 to 65535, such as 127.0.0.1:7777")
    if host == "localhost":
        return "127.0.0.1", int(port)
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise InputError(
            f"--tcp {text}: only loopback addresses (127.0.0.1, ::1, localhost) are served, "
            "because anyone who can connect can read the files that are open in the editor"
        )
    return host, int(port)
