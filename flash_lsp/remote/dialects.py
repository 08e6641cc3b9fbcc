"""The two ways in which servers are asked for a completion and stream it: llama.cpp's own, and OpenAI's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from flash_lsp.remote.pieces import TextPieces
from flash_lsp.remote.words import grammar, hold_word

_MOST_STOPS = 4
"""Stop strings that OpenAI's API takes."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one event of a stream brings."""

    text: str = ""
    id: int | None = None
    """The token's id, where the server tells it."""
    logprob: float = 0.0
    """Natural logarithm of its probability; 0 where the server does not tell it."""
    finish: str | None = None
    """"stop" or "length" in the last event."""
    reused: int | None = None
    """Prompt tokens that the server had in its cache, where it tells."""
    computed: int | None = None
    """Prompt tokens that it had to compute, where it tells."""


class Dialect(Protocol):
    """How a server is asked, and how its events are read."""

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> str: ...

    def request(
        self, tokens: Sequence[int], *, max_tokens: int, stop: Collection[int], prefix: str = ""
    ) -> dict[str, Any]:
        """prefix: what the answer should begin with; a hint, which not every server can be given."""
        ...

    def read(self, event: dict[str, Any]) -> Piece: ...


class LlamaCpp:
    """POST /completion of llama-server; prompts are token ids.

    Described in llama.cpp's tools/server/README.md.
    """

    name = "llama.cpp"
    path = "/completion"

    def request(
        self, tokens: Sequence[int], *, max_tokens: int, stop: Collection[int], prefix: str = ""
    ) -> dict[str, Any]:
        return ({"grammar": grammar(prefix)} if prefix else {}) | {
            "prompt": list(tokens),
            "n_predict": max_tokens,
            "temperature": 0,
            "stream": True,
            "cache_prompt": True,
            "n_probs": 1,
            "return_tokens": True,
            "timings_per_token": True,
        }

    def read(self, event: dict[str, Any]) -> Piece:
        if "error" in event:
            raise ValueError("an error in place of a token")
        scores = event.get("completion_probabilities") or []
        ids = event.get("tokens") or []
        timings = event.get("timings") or {}
        finish = None
        if event.get("stop"):
            finish = "length" if event.get("stop_type") == "limit" else "stop"
        return Piece(
            text=event["content"],
            id=ids[-1] if ids else None,
            logprob=float(scores[-1]["logprob"]) if scores else 0.0,
            finish=finish,
            reused=timings.get("cache_n"),
            computed=timings.get("prompt_n"),
        )


@dataclass(frozen=True)
class OpenAI:
    """POST /v1/completions of vLLM, SGLang, Ollama, llama-server and others.

    https://platform.openai.com/docs/api-reference/completions; token ids as prompts and `stop_token_ids` as vLLM
    and SGLang take them.
    """

    model: str
    pieces: TextPieces | None
    """What renders a prompt as text; None: token ids are sent."""
    scored: bool = True
    """Whether the server takes `logprobs`."""
    name: str = "OpenAI API"
    path: str = "/v1/completions"

    def request(
        self, tokens: Sequence[int], *, max_tokens: int, stop: Collection[int], prefix: str = ""
    ) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "model": self.model,
            "prompt": list(tokens) if self.pieces is None else self.pieces.text(tokens),
            "max_tokens": max_tokens,
            "temperature": 0,
            "stream": True,
        }
        if self.pieces is None:
            asked["stop_token_ids"] = sorted(stop)
        elif stop:
            asked["stop"] = [self.pieces.text([each]) for each in sorted(stop)][:_MOST_STOPS]
        if self.scored:
            asked |= {
                "logprobs": 1,
                "stream_options": {"include_usage": True, "continuous_usage_stats": True},
            }
        return asked

    def unscored(self) -> OpenAI:
        """The same without what some servers refuse."""
        return replace(self, scored=False)

    def read(self, event: dict[str, Any]) -> Piece:
        if "error" in event:
            raise ValueError("an error in place of a token")
        usage = event.get("usage") or {}
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
        computed = None if cached is None else usage["prompt_tokens"] - cached
        if not event["choices"]:
            return Piece(reused=cached, computed=computed)
        choice = event["choices"][0]
        scores = _scores(choice.get("logprobs") or {})
        reason = choice.get("finish_reason")
        return Piece(
            text=choice["text"],
            logprob=sum(scores),
            finish=reason and ("length" if reason == "length" else "stop"),
            reused=cached,
            computed=computed,
        )


def _scores(logprobs: dict[str, Any]) -> list[float]:
    """Log-probabilities of an event's tokens: as the completions API tells them, or, in llama-server, the chat API."""
    told = logprobs.get("token_logprobs") or [each["logprob"] for each in logprobs.get("content") or []]
    return [float(score or 0.0) for score in told]


@dataclass(frozen=True)
class LlamaTokenizer:
    """llama-server's own tokenizer over POST /tokenize: the user's text never becomes a control token."""

    ask: Callable[[str, dict[str, Any]], dict[str, Any]]
    """Posts JSON to a path of the server and returns the JSON of the answer."""

    def encode(self, text: str) -> list[int]:
        return self._tokens(text, parse_special=False) if text else []

    def hold_back(self, text: str) -> tuple[str, bytes]:
        return hold_word(text)

    def special(self, name: str) -> int | None:
        tokens = self._tokens(name, parse_special=True)
        as_text = self._tokens(name, parse_special=False)
        return tokens[0] if len(tokens) == 1 and tokens != as_text else None

    def _tokens(self, text: str, *, parse_special: bool) -> list[int]:
        answer = self.ask(
            "/tokenize", {"content": text, "add_special": False, "parse_special": parse_special}
        )
        tokens: list[int] = answer["tokens"]
        return tokens
