"""How a command gets its hub: the settings, then a running gateway of this user or a hub of its own."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from lmbridge.cli import ending, render
from lmbridge.cli.provider import LMSTUDIO, WITHOUT_LMSTUDIO
from lmbridge.core.errors import BridgeError, ModelNotFound, ProviderUnavailable, error_from_code
from lmbridge.core.hub import AnyHub
from lmbridge.core.provider import ProviderState

T = TypeVar("T")

THIS_PROCESS = "this process"
"""What `AnyHub.where` says when no gateway stands between."""


def with_hub(work: Callable[[AnyHub], Awaitable[T]], *, gateway: bool | None = None, model: str = "") -> T:
    """Run *work* with a hub, and close the hub behind it, also after Ctrl-C or `kill`.

    Args:
        gateway: True insists on a running gateway, False does without, None leaves it to the settings.
        model: the one that *work* will ask for; the path of a file makes it known.

    Raises:
        ConfigInvalid, NotRunning, and whatever *work* raises.
    """
    from lmbridge.assembly import connect

    files = [Path(model)] if os.path.isabs(model) else []

    async def connected() -> T:
        async with connect(gateway=gateway, files=files) as hub:
            try:
                return await work(hub)
            except ModelNotFound as error:
                told = _unknown_there(files[0], hub.where) if files and gateway else await _unasked(hub, error)
                raise told or error from None
            except ProviderUnavailable as error:
                raise _not_installed(error) or error from error

    return ending.run(connected())


async def lmstudio_unasked(hub: AnyHub) -> ProviderState | None:
    """The state of an LM Studio that is there, or set to be elsewhere, and cannot be asked for its models now."""
    state = next((state for state in await hub.probe() if state.provider == LMSTUDIO), None)
    if state is None or state.state == "ready":
        return None
    from lmbridge.cli.lmstudio.program import program_of
    from lmbridge.config import load_config
    from lmbridge.machine.lmstudio.install import find_installation

    there = find_installation().installed or program_of(load_config()).settings.url
    return state if there else None


def unseen(state: ProviderState) -> str:
    """What is said of an LM Studio that cannot be asked what it holds."""
    return render.printable(
        f"What LM Studio holds cannot be seen. {state.detail.rstrip('.')}. {state.hint}".strip()
    )


async def _unasked(hub: AnyHub, error: ModelNotFound) -> BridgeError | None:
    """The same error, and that LM Studio may have the model, where it cannot be asked."""
    state = await lmstudio_unasked(hub)
    if state is None:
        return None
    hint = f"{error.hint} LM Studio may have it. {state.detail.rstrip('.')}. {state.hint}".strip()
    return error_from_code(error.code, error.message, hint, error.param)


def _not_installed(error: ProviderUnavailable) -> BridgeError | None:
    """The same error, and what works anyway, where it is about LM Studio and there is none."""
    from lmbridge.machine.lmstudio.install import find_installation

    # One that a gateway sent has its words alone.
    if repr(LMSTUDIO) not in error.message or find_installation().installed:
        return None
    return error_from_code(error.code, error.message, f"{error.hint} {WITHOUT_LMSTUDIO}".lstrip(), error.param)


def _unknown_there(file: Path, where: str) -> BridgeError | None:
    """What to do about a file that a gateway does not offer: it opens none because a request names it."""
    return error_from_code(
        "model_not_found",
        f"The gateway at {where} does not offer {file}.",
        f"Put it into a folder of models, or stop the gateway and `lmbridge gateway start --model {file}`.",
        "model",
    )
