"""The server: verified webhooks in, media sockets joined to calls, no carrier named."""

from .routes import create_app, router

__all__ = ["create_app", "router"]
