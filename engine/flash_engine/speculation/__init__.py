"""Speculative decoding: drafts of the next tokens, verified by the main model several at a time.

Y. Leviathan, M. Kalman, Y. Matias, "Fast Inference from Transformers via Speculative Decoding", 2023. Here a draft is a
sequence of single guesses, not of distributions: what the main model chooses, greedily or by a draw, is
compared with the guess, which is rejection sampling for a draft that is certain. So the output is that of plain
decoding, token for token, at any temperature.
"""

from flash_engine.speculation.controller import Choice, Controller
from flash_engine.speculation.corpus import Corpus
from flash_engine.speculation.costs import DraftCosts, PassCosts
from flash_engine.speculation.draft import LONGEST, Bounds, Draft, Source
from flash_engine.speculation.lookup import Ahead, Lookup, NGrams
from flash_engine.speculation.model import ModelDrafter
from flash_engine.speculation.speculator import Speculator, Tally
from flash_engine.speculation.text import TextDrafter

__all__ = [
    "LONGEST",
    "Ahead",
    "Bounds",
    "Choice",
    "Controller",
    "Corpus",
    "Draft",
    "DraftCosts",
    "Lookup",
    "ModelDrafter",
    "NGrams",
    "PassCosts",
    "Source",
    "Speculator",
    "Tally",
    "TextDrafter",
]
