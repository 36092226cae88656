"""How the gateway is set up."""

from __future__ import annotations

from msgspec import Struct


class GatewaySettings(Struct, frozen=True):
    """What `lmbridge serve` was told.

    Attributes:
        host: address to listen on. Anything but loopback needs an API key.
        port: 0 takes a free one.
        cors: origins of web pages that may use the gateway, as `https://example.org`; `*` for every page,
            possible only where a key is needed.
        hosts: further names (with a port if it is another one) that callers may use for this gateway in the
            `Host` header, for example the name of a reverse proxy.
        require_key: whether an API key is needed although only loopback is listened on.
        max_body: bytes of a request's body.
        heartbeat_s: seconds between signs of life in a stream while there is no answer yet.
        grace_s: seconds that answers may still take when the gateway stops.
        store_days: days that answers are stored for whoever goes on from them; 0 stores none.
        log: whether each request leaves a line in the log of requests; never a word of prompts or answers.
        stand_in: also listen where LM Studio does, on loopback alone, if nobody else does.
        stand_in_port: where that is.
        lmstudio_quirks: answer as LM Studio does also where that is a trap: status 200 for unknown paths, an
            answer by another model than the one that was asked for, and others.
        mcp: callers with a key may use the MCP servers of this user.
        mcp_idle_s: seconds that such a server may be idle before it is ended; 0: not before the gateway stops.
        ephemeral_mcp: callers with a key may name MCP servers by their URL, on the internet and over HTTPS.
        ephemeral_mcp_local: such servers may be on this machine and in private networks, too.
    """

    host: str = "127.0.0.1"
    port: int = 1235
    cors: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    require_key: bool = False
    max_body: int = 32 * 2**20
    heartbeat_s: float = 10.0
    grace_s: float = 5.0
    store_days: float = 30.0
    log: bool = True
    stand_in: bool = False
    stand_in_port: int = 1234
    lmstudio_quirks: bool = False
    mcp: bool = False
    mcp_idle_s: float = 600.0
    ephemeral_mcp: bool = False
    ephemeral_mcp_local: bool = False
