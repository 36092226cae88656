"""A lean HTTP/1.1 client: asyncio and httptools, the pooled connections, nothing else.

It lies on the gateway's hot path: every relayed request passes through it, so it makes no task, no
timer unless a limit is set, and wakes its caller once for everything that came in one read. It knows
nothing of JSON or models. It follows no redirect and uses no proxy (neither settings nor environment
variables), it sends no cookies, and it asks for unencoded bodies: what arrives is what was sent.

`address` takes URLs apart and writes request heads, `connection` parses answers, `client` connects,
keeps idle connections and ends them.
"""

from lmbridge.clients.http.client import HTTPClient
from lmbridge.clients.http.connection import MAX_BODY, Response

__all__ = ["MAX_BODY", "HTTPClient", "Response"]
