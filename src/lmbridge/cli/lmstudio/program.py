"""LM Studio itself, as the settings describe it, and what its states mean in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lmbridge.cli.exits import OK, exit_code
from lmbridge.cli.provider import WITHOUT_LMSTUDIO
from lmbridge.clients.lmstudio import LMStudioSettings
from lmbridge.config import Config
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


def state_exit(status: LMStudioStatus) -> int:
    """The exit code of a state: 0 when LM Studio is ready, else that of the error which using it meets."""
    return OK if status.state == "ready" else exit_code(ERRORS[status.state])


def missing(error: RuntimeMissing) -> RuntimeMissing:
    """The same error, and what works anyway."""
    hint = f"{error.hint} {WITHOUT_LMSTUDIO}".lstrip()
    return RuntimeMissing(error.name, error.message, hint=hint)
