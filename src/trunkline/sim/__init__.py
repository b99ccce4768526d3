"""The carrier's side of a call, simulated: a person with a phone, and the carrier between.

Names no carrier: everything here is a loop over the seam's mirror half (``carrier_end``, ``sign``,
``write_webhook``, ``read_answer``, ``platform``). Import what you need from the modules.
"""

from __future__ import annotations

__all__: list[str] = []
