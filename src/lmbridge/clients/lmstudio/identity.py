"""Whether it is LM Studio that answers at an address: asked before anybody is told a token or a prompt."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lmbridge.clients.http import HTTPClient
from lmbridge.core.errors import (
    BridgeError,
    BrokenAnswer,
    ForeignServer,
    ProviderTimeout,
    ProviderUnavailable,
)

GREETING: Final = "/lmstudio-greeting"
"""Answered with `{"lmstudio":true}`; LM Studio's own command asks it without a token."""

GREETING_LIMIT: Final = 5.0
"""Seconds for the greeting. LM Studio's own command gives it half a second, a slow machine needs more."""

GATEWAY_HEADER: Final = "x-lmbridge"
"""Header of the greeting of a gateway of lmbridge: it speaks as LM Studio does, and is not LM Studio."""
OURSELVES: Final = secrets.token_hex(8)
"""Its value, another one in every process: so a gateway knows itself when it looks for LM Studio."""

MAX_GREETING: Final = 64 * 1024

START_HINT: Final = "Start it with `lmbridge lmstudio start`, or correct the setting `url`."

Kind: TypeAlias = Literal["lmstudio", "foreign", "down", "silent"]


class Identity(Struct, frozen=True):
    """Who answers.

    Attributes:
        kind: `lmstudio`; `foreign`, another program; `down`, nothing listens there; `silent`, something
            accepts connections and does not answer.
        reason: what gave it away, in a few words; "" for `lmstudio`.
        gateway: the name of the process that stands in for LM Studio; "" for LM Studio itself.
    """

    kind: Kind
    reason: str = ""
    gateway: str = ""

    def error(self, provider: str, url: str) -> BridgeError | None:
        """The error that this is for who needs LM Studio; None when it is LM Studio.

        Args:
            provider: id named in the error.
        """
        if self.kind == "lmstudio":
            return None
        if self.kind == "foreign":
            return ForeignServer(provider, url, self.reason, hint=FOREIGN_HINT)
        return ProviderUnavailable(provider, self.reason, hint=START_HINT)


FOREIGN_HINT: Final = (
    "Set `url` of [lmstudio] in lmbridge.toml to where LM Studio listens, or start it on another port "
    "with `lms server start --port PORT`."
)


class _Greeting(Struct):
    lmstudio: object = None
    error: object = None


async def identify(
    http: HTTPClient, url: str, headers: Sequence[tuple[str, str]] = (), *, limit: float = GREETING_LIMIT
) -> Identity:
    """Ask for LM Studio's greeting. Never raises for what the other side does.

    Args:
        url: address without a route.
        headers: sent along; no token belongs here, as another program may listen.
        limit: seconds for all of it.
    """
    try:
        async with asyncio.timeout(limit):
            async with await http.request("GET", url + GREETING, headers=headers, provider="lmstudio") as response:
                body = (await response.read(MAX_GREETING)).removeprefix(b"\xef\xbb\xbf")
    except ProviderUnavailable as error:
        return Identity("down", error.reason)
    except ProviderTimeout as error:
        if error.phase == "connect":
            return Identity("down", f"no connection within {error.seconds:g} s")
        return Identity("silent", f"it accepts connections and was silent for {error.seconds:g} s")
    except TimeoutError:
        return Identity("silent", f"it accepts connections and did not answer within {limit:g} s")
    except BrokenAnswer as error:
        if "closed" in error.reason or "reset" in error.reason:
            return Identity("silent", "it accepts connections and closes them without an answer")
        return Identity("foreign", error.reason)
    gateway = response.header(GATEWAY_HEADER.encode())[:100].decode("latin-1")
    return replace(_judge(response.status, body), gateway=gateway)


def _judge(status: int, body: bytes) -> Identity:
    if status in (401, 403) and b"LM Studio" in body:  # its own words for a token that is missing
        return Identity("lmstudio")
    if status in (502, 503, 504):
        return Identity("down", f"a proxy before it answers with status {status}")
    if status != 200:
        return Identity("foreign", f"it answers LM Studio's greeting with status {status}")
    try:
        greeting = msgspec.json.decode(body, type=_Greeting)
    except (ValueError, RecursionError):
        return Identity("foreign", "it answers LM Studio's greeting with something else")
    # Its word for a path that it does not know, with status 200: nobody else says it so.
    unexpected = isinstance(greeting.error, str) and greeting.error.startswith("Unexpected endpoint or method")
    if greeting.lmstudio is True or unexpected:
        return Identity("lmstudio")
    return Identity("foreign", "it answers LM Studio's greeting with something else")
