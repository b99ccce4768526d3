"""Lets a Pipecat that cuts sentences with NLTK do so offline.

Newer Pipecats bring rules of their own. Older ones use NLTK's model of English, which they download
when first imported; without a network every answer would then fail. The model beside this module
is small and its own: common abbreviations, and words that open a sentence after one.
"""
# Pipecat is an extra that need not be there, and is typed in part only.
# pyright: reportMissingImports=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipecat.utils import string

__all__ = ["MODEL", "find_sentences"]

MODEL = Path(__file__).with_name("nltk_data")
"""NLTK's folder layout; ``tokenizers/punkt_tab/english`` is all there is in it."""


def find_sentences() -> None:
    """Have NLTK find our model, if Pipecat needs one and has not got the whole one."""
    nltk: Any = getattr(string, "nltk", None)
    if nltk is None:
        return
    try:
        nltk.data.find("tokenizers/punkt_tab/english")
    except LookupError:
        nltk.data.path.append(str(MODEL))
