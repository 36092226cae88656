"""Looks for LM Studio: what is installed, and who answers where its server should be. Starts nothing.

Everything is asked at the same time and each question has its limit, so a look takes a few seconds at worst and
usually milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from lmbridge.clients.http import HTTPClient
from lmbridge.clients.lmstudio import Identity, LMStudioSettings, identify
from lmbridge.clients.lmstudio.identity import OURSELVES
from lmbridge.core.errors import BridgeError
from lmbridge.machine.lmstudio.home import Places, text_of
from lmbridge.machine.lmstudio.install import Installation, find_installation
from lmbridge.machine.lmstudio.lms import Limits, Lms

DEFAULT_PORT: Final = 1234
QUESTION: Final = 2.0
"""Seconds for each question: a port on which somebody is silent keeps everybody waiting for so long."""

_UNSPECIFIED: Final = ("", "0.0.0.0", "::", "localhost")  # noqa: S104 (compared, never bound)


class Look(Struct, frozen=True):
    """What a look found.

    Attributes:
        url: where LM Studio's server answers, or should.
        identity: who answers there.
        others: other places where LM Studio could have been, where somebody answers.
        local: whether *url* is on this computer.
        version: of the program that runs, "" where it does not tell.
    """

    installation: Installation
    url: str
    identity: Identity
    others: Mapping[str, Identity]
    local: bool
    version: str = ""

    @property
    def answers(self) -> bool:
        """Whether LM Studio answers at *url*."""
        return self.identity.kind == "lmstudio"


async def look(settings: LMStudioSettings, places: Places, http: HTTPClient, port: int | None = None) -> Look:
    """Look for LM Studio at the address of the settings, else where this computer's files say, else at 1234.

    Args:
        port: where its server must be on this computer, whatever else is known.
    """
    found = await asyncio.to_thread(find_installation, places)
    if settings.url and port is None:
        asked = [settings.url]
    else:
        asked = list(_urls(found, places, [port] if port is not None else [found.port, DEFAULT_PORT]))
    async with asyncio.TaskGroup() as group:
        asking = {url: group.create_task(identify(http, url, limit=QUESTION)) for url in asked}
        version = group.create_task(_version(http, found))
        # Where the files name no port, its command may know one.
        unknown = found.port is None and port is None and not settings.url and found.pointed
        told = group.create_task(_told_port(found, places)) if unknown else None
    named = bool(settings.url) and port is None
    answers = {url: without_gateways(task.result(), named) for url, task in asking.items()}
    if told is not None and (extra := told.result()) is not None:
        for url in _urls(found, places, [extra]):
            if url not in answers:
                # Its command asked there already, so this one comes before the default.
                answers = {url: without_gateways(await identify(http, url, limit=QUESTION), named), **answers}
    url = next((url for url, who in answers.items() if who.kind == "lmstudio"), next(iter(answers)))
    others = {other: who for other, who in answers.items() if other != url and who.kind in ("lmstudio", "foreign")}
    return Look(
        found, url, answers[url], others, is_here(url) or url in _gateways(found, places), version.result()
    )


def without_gateways(who: Identity, named: bool) -> Identity:
    """*who* answers, a gateway of lmbridge told apart from LM Studio: one that is asked by its own provider would
    ask itself without end, and one that was merely found is not what anybody looked for.

    Args:
        named: the settings name this very address.
    """
    if not who.gateway or (named and who.gateway != OURSELVES):
        return who
    whose = "this gateway itself" if who.gateway == OURSELVES else "a gateway of lmbridge"
    return Identity("foreign", f"{whose} stands in for LM Studio there", who.gateway)


def likely_urls(settings: LMStudioSettings, places: Places) -> list[str]:
    """Where it could be, the likeliest first; nobody is asked."""
    if settings.url:
        return [settings.url]
    found = find_installation(places)
    return list(_urls(found, places, [found.port, DEFAULT_PORT]))


def is_here(url: str) -> bool:
    """Whether an address is this computer's own."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def port_of(url: str) -> int:
    """The port of an address, the usual one where it names none."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def lms_of(found: Installation, places: Places, limits: Limits = Limits()) -> Lms | None:
    """Its command; None when there is none."""
    return Lms(found.lms, environ=places.environ, limits=limits) if found.lms else None


def _urls(found: Installation, places: Places, ports: list[int | None]) -> Iterator[str]:
    """Addresses on this computer, the likeliest first, each once."""
    seen = set()
    for port in ports:
        if port is None or port in seen:
            continue
        seen.add(port)
        yield f"http://{_host(found.host)}:{port}"
        if found.windows and (gateway := _windows_host(places)):
            yield f"http://{gateway}:{port}"


def _gateways(found: Installation, places: Places) -> list[str]:
    """The addresses of the Windows around this WSL, whose LM Studio is this computer's too."""
    if not found.windows:
        return []
    return list(_urls(found, places, [found.port, DEFAULT_PORT]))


def _host(setting: str) -> str:
    """The address to ask, of the one that is listened on."""
    if setting in _UNSPECIFIED:
        return "127.0.0.1"
    try:
        address = ip_address(setting)
    except ValueError:
        return "127.0.0.1"
    if address.is_loopback and address.version == 4:
        return "127.0.0.1"
    return f"[{address}]" if address.version == 6 else str(address)


def _windows_host(places: Places) -> str:
    """The Windows around this WSL as its network shows it: the default gateway (/proc/net/route, proc_net(5))."""
    for line in text_of(places.root / "proc/net/route").splitlines():
        fields = line.split()
        if len(fields) > 2 and fields[1] == "00000000" and fields[2] != "00000000":
            try:
                return ".".join(str(byte) for byte in reversed(bytes.fromhex(fields[2])))
            except ValueError:
                return ""
    return ""


async def _told_port(found: Installation, places: Places) -> int | None:
    lms = lms_of(found, places, Limits(look=QUESTION))
    if lms is None:
        return None
    try:
        return (await lms.server_status()).port
    except BridgeError:
        return None


class _Core(Struct):
    version: str = ""


async def _version(http: HTTPClient, found: Installation) -> str:
    """Of the running program, by its own server for `lms` (`GET /lms-status`)."""
    if found.sdk is None or found.sdk.alive is False:
        return ""
    try:
        async with asyncio.timeout(QUESTION):
            url = f"http://127.0.0.1:{found.sdk.port}/lms-status"
            async with await http.request("GET", url, keep_alive=False, provider="lmstudio") as response:
                body = await response.read(64 * 1024)
        return msgspec.json.decode(body, type=_Core).version[:40] if response.status == 200 else ""
    except (BridgeError, TimeoutError, ValueError, RecursionError):
        return ""
