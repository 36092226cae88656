"""`--provider`: whose model is meant, at every command that names one."""

from __future__ import annotations

import os
from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from lmbridge.core.hub import AnyHub

F = TypeVar("F", bound=Callable[..., Any])

EMBEDDED = "embedded"
LMSTUDIO = "lmstudio"

WITHOUT_LMSTUDIO = (
    "Without it everything but LM Studio's own models works: `lmbridge chat` answers from the embedded engine."
)
"""What works where there is no LM Studio."""


def provider_option(help: str) -> Callable[[F], F]:
    """`--provider`: the parameter `provider`, "" where it was not given."""
    return click.option("--provider", default="", metavar="NAME", shell_complete=_complete, help=help)


def qualified(name: str, provider: str) -> str:
    """The name that means a model of *provider* alone; `PROVIDER:` stands for the one it would choose.

    Raises:
        click.UsageError: the name is the path of a file, which only the embedded engine can open.
    """
    if not provider or name.startswith(f"{provider}:"):
        return name
    if os.path.isabs(name):
        if provider != EMBEDDED:
            raise click.UsageError(f"A file is answered by the embedded engine, not by {provider}.")
        return name
    return f"{provider}:{name}"


async def check_provider(hub: AnyHub, provider: str) -> None:
    """Make sure that there is such a provider; "" stands for all of them.

    Raises:
        InvalidRequest: naming those that there are, or what brings it back.
    """
    from lmbridge.config import load_config
    from lmbridge.core.errors import InvalidRequest

    if not provider or any(model.provider == provider for model in await hub.models()):
        return
    known = [state.provider for state in await hub.probe()]
    if provider in known:
        return
    if provider in load_config().disabled:
        hint = f"`lmbridge providers enable {provider}` brings it back; a gateway that runs must begin anew."
        raise InvalidRequest(f"The provider {provider!r} is disabled.", hint=hint, param="provider")
    near = get_close_matches(provider, known, n=1)
    meant = f"Did you mean {near[0]!r}? " if near else ""
    raise InvalidRequest(
        f"There is no provider {provider!r}.", hint=f"{meant}There are: {', '.join(known)}.", param="provider"
    )


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The names of the providers of this user's settings; none where those are wrong."""
    from lmbridge.assembly import build_providers
    from lmbridge.config import load_config
    from lmbridge.core.errors import BridgeError

    try:
        names = [provider.id for provider in build_providers(load_config())]
    except BridgeError:
        return []
    return [name for name in names if name.startswith(incomplete)]
