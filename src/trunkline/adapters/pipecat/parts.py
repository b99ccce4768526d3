"""What of Pipecat is used here, fetched in one place. It knows nothing of calls.

Pipecat is an extra and only partly typed, so that everything of it is ``Any`` from here on; a
type checker needs it no more than somebody who does without.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["part"]


def part(path: str) -> Any:
    """One thing out of Pipecat: ``part("frames.frames.EndFrame")``.

    Raises:
        ImportError: Pipecat is not installed.
    """
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(f"pipecat.{module}"), name)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "pipecat":
            raise
        hint = "this needs Pipecat 1.4 or newer: pip install 'trunkline[pipecat]'"
        raise ImportError(hint, name=missing.name) from missing
