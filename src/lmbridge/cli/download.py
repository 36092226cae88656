"""Getting a model that is not here, with progress: for `lmbridge get`, and for `--get` at other commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lmbridge.cli import progress, render
from lmbridge.cli.provider import LMSTUDIO
from lmbridge.core.errors import ModelNotFound, ProviderUnavailable, error_from_code

if TYPE_CHECKING:
    from lmbridge.core.hub import AnyHub
    from lmbridge.core.models import Download, ModelInfo

F = TypeVar("F", bound=Callable[..., Any])


def get_option(function: F) -> F:
    """`--get`: the parameter `get`."""
    return click.option("--get", is_flag=True, help="Download the model first if it is not here.")(function)


async def fetch(hub: AnyHub, name: str, provider: str = "") -> tuple[ModelInfo, Download | None]:
    """Download *name*, showing how far it is; returns the model, and the last that was told of the download.

    Args:
        provider: who downloads it; "" takes the one that *name* begins with, else LM Studio if it is on this
            computer, else the first that can.

    Raises:
        as `AnyHub.download`.
    """
    latest: Download | None = None
    chosen = provider or await _owner(hub, name)
    try:
        with progress.downloading(name) as moved:

            def tell(now: Download) -> None:
                nonlocal latest
                latest = now
                moved(now)

            return await hub.download(name, provider=chosen, progress=tell), latest
    except asyncio.CancelledError:
        if latest is not None:
            render.note(_what_remains(name, chosen), "dim")
        raise
    except ProviderUnavailable as error:
        if provider or chosen != LMSTUDIO:
            raise
        other = f"`lmbridge get {name} --provider embedded` gets it for the embedded engine instead."
        hint = f"{error.hint} {other}".lstrip()
        raise error_from_code(error.code, error.message, hint, error.param) or error from error


async def _owner(hub: AnyHub, name: str) -> str:
    """Who downloads a model unless somebody is named; "" leaves it to the hub."""
    states = {state.provider: state.state for state in await hub.probe()}
    owner, colon, _ = name.partition(":")
    if colon and owner in states:
        return ""
    if LMSTUDIO not in states:
        return ""
    if states[LMSTUDIO] in ("ready", "needs_key"):
        return LMSTUDIO
    from lmbridge.machine.lmstudio.install import find_installation

    # Whoever has it keeps his models there: that it is not running is no reason to put one elsewhere.
    return LMSTUDIO if find_installation().installed else ""


def _what_remains(name: str, provider: str) -> str:
    """What becomes of a download that was left."""
    again = f"`lmbridge get {name}` goes on where it stopped"
    if LMSTUDIO in (provider, name.partition(":")[0]):
        return f"LM Studio may go on with it by itself, as nobody else can stop its downloads. {again}."
    return f"Stopped. {again}."


async def present(hub: AnyHub, name: str, *, get: bool) -> str:
    """The name of a model that is here: *name*, downloaded first if it is missing and *get* says so.

    Args:
        name: `PROVIDER:NAME` says who downloads it.

    Raises:
        ModelNotFound: it is missing and *get* is False; then nothing was looked up. And as `fetch`.
    """
    if not get:
        return name
    try:
        await _find(hub, name)
    except ModelNotFound:
        model, _ = await fetch(hub, name)
        return model.qualified
    return name


async def _find(hub: AnyHub, name: str) -> None:
    """Make sure that there is such a model, whatever it can do."""
    from lmbridge.core.errors import WrongModelKind

    try:
        await hub.resolve(name)
    except WrongModelKind:
        return
