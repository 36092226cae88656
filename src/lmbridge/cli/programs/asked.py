"""What a program is to be told: the gateway's URL, whether it needs a key, the model. The gateway is asked."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.clients.http import HTTPClient
from lmbridge.clients.lmbridge import RemoteHub
from lmbridge.config import Config
from lmbridge.core.errors import (
    BridgeError,
    ForeignServer,
    InvalidRequest,
    ModelNotFound,
    NotRunning,
    Unauthorized,
)
from lmbridge.machine.gateway_file import running
from lmbridge.machine.programs.program import checked_text, checked_url
from lmbridge.wire.openai.errors import decode_error

LIMIT_S: Final = 30.0
TRIES: Final = 20
"""A gateway looks at its keys once a second: a new one is not known at once."""
MOST_BYTES: Final = 16 * 2**20


class Gateway(Struct, frozen=True):
    """The gateway that programs are told of.

    Attributes:
        own_key: its own, where it is this user's; "" for another.
        needs_key: whether it asks programs for one.
        models: the names that it lists; None where it was not asked.
    """

    url: str
    own_key: str = ""
    needs_key: bool = False
    models: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return f"Gateway({self.url!r})"


class _Named(Struct):
    id: str


class _Listed(Struct):
    data: tuple[_Named, ...]


async def gateway(config: Config, url: str, *, check: bool) -> Gateway:
    """The gateway at *url*, or the one of this user.

    Args:
        check: ask it; otherwise what it is known by is believed.

    Raises:
        NotRunning: there is none. InvalidRequest: the URL is none.
    """
    found = running(config.home)
    mine = found is not None and (not url or _plain(checked_url(url)) == _plain(found.url))
    where = checked_url(url) if url else found.url if found is not None else ""
    if not where and check:
        raise NotRunning
    where = where or f"http://127.0.0.1:{config.gateway.port}"
    own = found.key if found is not None and mine else ""
    if not check:
        return Gateway(where, own)
    try:
        return Gateway(where, own, models=await listed(f"{where}/v1/models", ""))
    except Unauthorized:
        return Gateway(where, own, needs_key=True, models=await listed(f"{where}/v1/models", own) if own else None)


async def model(there: Gateway, name: str, *, check: bool) -> str:
    """The model that a program is to name: *name* itself if it is known there, else the one for who names none.

    Raises:
        ModelNotFound, NoModels, WrongModelKind; InvalidRequest: it cannot be found out, and none is named.
    """
    if name:
        checked_text(name, "model")
    if check and there.own_key:
        async with asyncio.timeout(LIMIT_S), RemoteHub(there.url, there.own_key) as hub:
            found = await hub.resolve(name)
        return name or (found.id if found.id in (there.models or ()) else found.qualified)
    if not name:
        hint = "Name one with --model."
        raise InvalidRequest("This program must be told which model to ask.", hint=hint, param="model")
    if there.models is not None and name not in there.models:
        raise ModelNotFound(name, there.models, where=there.url)
    return name


async def listed(url: str, key: str) -> tuple[str, ...]:
    """The models that are listed at a URL, with the very key that a program would send.

    Raises:
        Unauthorized: the key is not taken, or one is needed. NotRunning: nothing answers. ForeignServer: something
        else does.
    """
    headers = (("authorization", f"Bearer {key}"),) if key else ()
    try:
        async with asyncio.timeout(LIMIT_S):
            http = HTTPClient()
            try:
                response = await http.request("GET", url, headers=headers, keep_alive=False, provider="gateway")
                async with response:
                    data = await response.read(MOST_BYTES)
            finally:
                await http.aclose()
    except TimeoutError as error:
        raise ForeignServer("gateway", url, f"it says nothing for {LIMIT_S:.0f} s") from error
    except BridgeError as error:
        if error.code == "provider_unavailable":
            raise NotRunning(url.removesuffix("/v1/models")) from error
        raise
    if response.status in (401, 403):
        raise Unauthorized
    if response.status >= 300:
        raise decode_error(response.status, data, "gateway")
    return _names(url, data)


async def listed_soon(url: str, key: str) -> tuple[str, ...]:
    """The same with a key that was made a moment ago."""
    for _ in range(TRIES):
        try:
            return await listed(url, key)
        except Unauthorized:
            await asyncio.sleep(0.2)
    return await listed(url, key)


def _plain(url: str) -> str:
    return url.replace("//localhost:", "//127.0.0.1:").lower()


def _names(url: str, data: bytes) -> tuple[str, ...]:
    try:
        return tuple(each.id for each in msgspec.json.decode(data, type=_Listed).data)
    except msgspec.DecodeError as error:
        raise ForeignServer("gateway", url, "it lists no models", hint="Name the gateway's URL.") from error
