"""The server: verified webhooks in, media sockets joined to calls, no carrier named."""

from .dialled import Dialled, DialState
from .routes import Server, create_app, router
from .run import running, serve

__all__ = ["DialState", "Dialled", "Server", "create_app", "router", "running", "serve"]
