"""The least a Python proxy on our libraries can do: no checks, no hub, no decoding. What we measure against.

Run as `python -m bench.bare_proxy PORT UPSTREAM_URL`.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from lmbridge.clients.http import HTTPClient

Message = MutableMapping[str, Any]


class BareProxy:
    """An ASGI application that hands requests on and answers back."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.http = HTTPClient()

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        message = await receive()
        body: bytes = message["body"]
        while message["more_body"]:
            message = await receive()
            body += message["body"]
        async with await self.http.request(scope["method"], self.upstream + scope["path"], body=body) as answer:
            length = answer.header(b"content-length")
            headers = [(b"content-type", answer.header(b"content-type"))]
            if length:
                headers.append((b"content-length", length))
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            async for piece in answer:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def main(port: int, upstream: str) -> None:
    """Serve until killed."""
    import uvicorn

    uvicorn.run(
        BareProxy(upstream),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=2048,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
