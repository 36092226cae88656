"""The HTTP door: OpenAI's API under `/v1`, health and metrics, and what lmbridge itself asks a gateway.

`Gateway` is the application, `serve` runs it. The server (uvicorn) is imported by `serve` when it is called.
"""

from lmbridge.doors.gateway.app import Gateway
from lmbridge.doors.gateway.server import serve
from lmbridge.doors.gateway.settings import GatewaySettings

__all__ = ["Gateway", "GatewaySettings", "serve"]
