"""A prompt's tokens: the blocks of a template filled with a window of text, the most stable block first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flash_lsp.prompt.encoder import Encoder
from flash_lsp.prompt.templates import FimTemplate, Order, Piece, Slot
from flash_lsp.prompt.window import ContextBlock, PromptState, Window

_SUFFIX_SHARE = 4
"""The suffix gets one part in this many of the budget."""

_CHARS_PER_TOKEN = 2.5
"""Fewer than code has on average, so that a new window has room to grow before it must move."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model reads, and the bytes before the cursor that it must still spell out itself."""

    tokens: list[int]
    held: bytes


def build(
    template: FimTemplate,
    encoder: Encoder,
    path: str,
    prefix: str,
    suffix: str,
    *,
    budget: int,
    state: PromptState | None = None,
    repository: str | None = None,
) -> Prompt:
    """The prompt for the place between `prefix` and `suffix`, the whole texts of the file before and
    after it.

    path: of the file, as the model shall see it. budget: most tokens of the prompt besides the context (a
    header and a suffix that take more are kept whole). state: of the document, with its context, so that the
    prompt only grows at its end from keystroke to keystroke; None: prefix and suffix enter as they are, whole
    if they fit, without context.
    """
    own = budget
    if state is None:
        state = PromptState()
        window = _window(template, state, prefix, suffix)
        prompt = assemble(template, encoder, path, window, repository=repository)
        if len(prompt.tokens) <= budget:
            return prompt
    budget += len(context_tokens(template, encoder, state.context))
    room = own // _SUFFIX_SHARE
    frozen = state.freeze(suffix, int(room * _CHARS_PER_TOKEN))
    text = state.enter(prefix, suffix, int((own - room) * _CHARS_PER_TOKEN))
    while True:
        window = _window(template, state, text, frozen)
        prompt = assemble(template, encoder, path, window, repository=repository, context=state.context)
        if len(prompt.tokens) <= budget or not text:
            return prompt
        text = state.narrow(prefix)


def _window(template: FimTemplate, state: PromptState, prefix: str, suffix: str) -> Window:
    if template.order is not Order.PSM:
        return Window(prefix, suffix)
    before, typed = state.split(prefix)
    return Window(before, suffix, typed)


def assemble(
    template: FimTemplate,
    encoder: Encoder,
    path: str,
    window: Window,
    *,
    repository: str | None = None,
    context: Sequence[ContextBlock] = (),
) -> Prompt:
    """The prompt of `window` in the form of `template`, its last pre-token held back."""
    before, typed = window.prefix, window.typed or ""
    if window.typed is None:
        before, held = encoder.hold_back(before)
    else:
        typed, held = encoder.hold_back(typed)
    texts = {Slot.PATH: path, Slot.NAME: repository or "", Slot.PREFIX: before, Slot.SUFFIX: window.suffix}
    pieces = [*template.start]
    if repository is not None:
        pieces += template.repository
    pieces += [*_context_pieces(template, context), *template.file, *template.infill, typed]
    return Prompt(_tokens(pieces, texts, encoder), held)


def context_tokens(template: FimTemplate, encoder: Encoder, context: Sequence[ContextBlock]) -> list[int]:
    """The tokens of the context alone; none for a model that knows no headers of files."""
    return _tokens(_context_pieces(template, context), {}, encoder)


def _context_pieces(template: FimTemplate, context: Sequence[ContextBlock]) -> list[Piece]:
    if not template.file:
        return []
    pieces: list[Piece] = []
    for block in context:
        pieces += [block.path if piece is Slot.PATH else piece for piece in template.file]
        pieces.append(block.text)
    return pieces


def _tokens(pieces: Iterable[Piece], texts: Mapping[Slot, str], encoder: Encoder) -> list[int]:
    tokens: list[int] = []
    text = ""
    for piece in pieces:
        if isinstance(piece, int):
            tokens += encoder.encode(text)
            tokens.append(piece)
            text = ""
        else:
            text += texts[piece] if isinstance(piece, Slot) else piece
    return tokens + encoder.encode(text)
