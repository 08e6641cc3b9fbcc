"""What goes wrong with a server elsewhere."""

from __future__ import annotations

import ssl

import httpx2

from flash_engine import FlashError

KEY_VARIABLE = "FLASH_LSP_REMOTE_KEY"
"""Environment variable that holds the server's API key; a key does not belong into an editor's settings."""


class RemoteError(FlashError):
    """The server cannot be reached, refuses, or breaks off. Never quotes what was sent or received."""

    silence = "remote-error"
    """The reason for an empty reply."""

    def __init__(self, message: str, status: int | None = None) -> None:
        """status: of the HTTP answer, where there was one."""
        super().__init__(message)
        self.status = status


LOADING = 503
"""HTTP status of a server that is loading its model."""


def explain(address: str, error: Exception) -> RemoteError:
    """`error` of a request to `address` in the user's terms, with a remedy."""
    return RemoteError(f"remote engine {address}: {_problem(error)}")


def refused(address: str, status: int) -> RemoteError:
    """An answer with an HTTP status of 400 or more, in the user's terms."""
    remedy = _REMEDIES.get(status, "see the server's log")
    return RemoteError(f"remote engine {address}: answered with HTTP status {status}: {remedy}", status)


def broken(address: str) -> RemoteError:
    """A stream that ended before the completion did."""
    return RemoteError(f"remote engine {address}: the answer broke off: see the server's log")


_REMEDIES = {
    400: "it does not take such requests: see its log, and the settings remoteProtocol and remoteModel",
    401: f"put its API key into the environment variable {KEY_VARIABLE}",
    403: f"put an API key that may use the model into the environment variable {KEY_VARIABLE}",
    404: "no such address or model: correct the settings remote and remoteModel",
    429: "it is overloaded: try later",
    LOADING: "it is loading its model or overloaded: try later",
}


def _problem(error: Exception) -> str:
    if _caused_by(error, ssl.SSLCertVerificationError):
        return (
            "its certificate is not trusted: set remoteCa to the certificate of the authority that signed it"
        )
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return "cannot connect: start the server, or correct the setting remote"
    if isinstance(error, httpx2.TimeoutException | TimeoutError):
        return "did not answer in time: it is overloaded, or its model too large for it"
    if isinstance(error, httpx2.HTTPError):
        return f"the answer broke off ({type(error).__name__}): see the server's log"
    return f"the answer is not understood ({type(error).__name__}): correct the setting remoteProtocol"


def _caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None:
        if isinstance(error, kind) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
