"""Getting a model that is not here, with progress: for `lmbridge get`, and for `--get` at other commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lmbridge.cli import progress, render
from lmbridge.cli.provider import LMSTUDIO
from lmbridge.core.errors import ModelNotFound

if TYPE_CHECKING:
    from lmbridge.core.hub import AnyHub
    from lmbridge.core.models import Download, ModelInfo

F = TypeVar("F", bound=Callable[..., Any])


def get_option(function: F) -> F:
    """`--get`: the parameter `get`."""
    return click.option("--get", is_flag=True, help="Download the model first if it is not here.")(function)


async def fetch(hub: AnyHub, name: str, provider: str = "") -> tuple[ModelInfo, Download | None]:
    """Download *name*, showing how far it is; returns the model, and the last that was told of the download.

    Raises:
        as `AnyHub.download`.
    """
    latest: Download | None = None
    try:
        with progress.downloading(name) as moved:

            def tell(now: Download) -> None:
                nonlocal latest
                latest = now
                moved(now)

            return await hub.download(name, provider=provider, progress=tell), latest
    except asyncio.CancelledError:
        if latest is not None:
            render.note(_what_remains(name, provider), "dim")
        raise


def _what_remains(name: str, provider: str) -> str:
    """What becomes of a download that was left."""
    again = f"`lmbridge get {name}` goes on where it stopped"
    if provider == LMSTUDIO:
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
