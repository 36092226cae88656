"""LM Studio itself, as the settings describe it, and what its states mean in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lmbridge.cli import render, stand_in
from lmbridge.cli.exits import OK, exit_code
from lmbridge.cli.provider import WITHOUT_LMSTUDIO
from lmbridge.clients.lmstudio import LMStudioSettings
from lmbridge.config import Config, load_config
from lmbridge.core.errors import RuntimeMissing
from lmbridge.providers.lmstudio.program import LMStudioProgram
from lmbridge.providers.lmstudio.status import LMStudioStatus

ERRORS: Mapping[str, str] = MappingProxyType(
    {
        "not_installed": "runtime_missing",
        "not_bootstrapped": "runtime_missing",
        "server_down": "provider_unavailable",
        "foreign": "foreign_server",
        "needs_token": "provider_needs_key",
    }
)
"""State, and the code of the error that using LM Studio meets in it."""


def program_of(config: Config) -> LMStudioProgram:
    """LM Studio as the table `[lmstudio]` and the environment describe it.

    Raises:
        ConfigInvalid: a setting that cannot be used.
    """
    return LMStudioProgram(LMStudioSettings.read(config.providers.get("lmstudio", {})), home=config.home)


async def make_way(port: int) -> None:
    """Have a gateway that stands in for LM Studio at a port give it up, and say so."""
    config = load_config()
    if port == config.gateway.stand_in_port and (url := await stand_in.give_up(config.home)):
        render.note(f"The gateway at {url} no longer stands in for LM Studio on port {port}.", "dim")


def state_exit(status: LMStudioStatus) -> int:
    """The exit code of a state: 0 when LM Studio is ready, else that of the error which using it meets."""
    return OK if status.state == "ready" else exit_code(ERRORS[status.state])


def missing(error: RuntimeMissing) -> RuntimeMissing:
    """The same error, and what works anyway."""
    hint = f"{error.hint} {WITHOUT_LMSTUDIO}".lstrip()
    return RuntimeMissing(error.name, error.message, hint=hint)
