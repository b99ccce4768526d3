"""Trunkline puts phone calls through to voice bots.

Every carrier's media stream, webhooks and REST API behind one ``Call``. See ``docs/`` or start
with ``trunkline demo``.
"""

__version__ = "0.1.0"
