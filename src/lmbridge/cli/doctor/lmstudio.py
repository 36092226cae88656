"""LM Studio, from its command to a one-token answer. Nothing is started or loaded for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from lmbridge.cli.doctor.answers import ANSWER, one_token, one_vector
from lmbridge.cli.doctor.checks import Checklist, Found
from lmbridge.cli.provider import LMSTUDIO
from lmbridge.core.models import InstanceState, ModelInfo
from lmbridge.hub.hub import Hub
from lmbridge.machine.lmstudio.install import Installation, find_installation
from lmbridge.providers.lmstudio.program import LMStudioProgram
from lmbridge.providers.lmstudio.status import BOOTSTRAP, LMStudioStatus, no_command

PART = "LM Studio"


async def look(checks: Checklist, program: LMStudioProgram, hub: Hub) -> None:
    """Look at it step by step; each needs the one before."""
    status = await program.status()
    there = await asyncio.to_thread(find_installation)
    _installed(checks, status, there)
    _server(checks, status)
    await _models(checks, hub)


def _installed(checks: Checklist, status: LMStudioStatus, there: Installation) -> None:
    if not there.installed and status.server_running:
        elsewhere = Found("not on this computer; its server is asked over the network", "skipped")
        checks.add(PART, "installed", elsewhere)
        return
    if not there.installed:
        checks.add(PART, "installed", _failed(status))
        checks.add(PART, "command", _unseen("installed"))
        return
    where = there.app or there.llmster
    checks.add(PART, "installed", Found(str(where) if where else "only its command"))
    if there.lms is None:
        reason, hint = no_command(there)
        checks.add(PART, "command", Found(reason, "failed", hint, BOOTSTRAP))
    elif there.lms_on_path:
        checks.add(PART, "command", Found(str(there.lms)))
    else:
        hint = "Not on PATH, which only matters in your own shell: `lmbridge lmstudio bootstrap` puts it there."
        checks.add(PART, "command", Found(f"{there.lms}, not on PATH", hint=hint))


def _server(checks: Checklist, status: LMStudioStatus) -> None:
    """Server, identity and token, from the one look that was taken."""
    reached = status.state in ("ready", "needs_token", "foreign")
    if status.state == "not_installed":
        checks.add(PART, "server", _unseen("installed"))
    elif status.state == "not_bootstrapped":
        checks.add(PART, "server", _unseen("command"))
    elif reached:
        checks.add(PART, "server", Found(f"something answers at {status.api_endpoint}"))
    else:
        checks.add(PART, "server", _failed(status))
    if not reached:
        checks.add(PART, "identity", _unseen("server"))
    elif status.state == "foreign":
        checks.add(PART, "identity", _failed(status))
    else:
        version = f", version {status.version}" if status.version else ""
        checks.add(PART, "identity", Found(f"it is LM Studio{version}"))
    if status.state == "needs_token":
        checks.add(PART, "token", _failed(status))
    elif status.state == "ready":
        checks.add(PART, "token", Found("accepted, or not asked for"))
    else:
        checks.add(PART, "token", _unseen("identity"))


def _failed(status: LMStudioStatus) -> Found:
    return Found(status.detail, "failed", status.hint, status.command)


def _unseen(needs: str) -> Found:
    return Found(f"not looked at, needs: {needs}", "skipped")


async def _models(checks: Checklist, hub: Hub) -> None:
    """Its models, and whether those in its memory answer."""
    models: Sequence[ModelInfo] = ()
    loaded: Sequence[InstanceState] = ()

    async def listed() -> Found:
        nonlocal models, loaded
        models = [model for model in await hub.models() if model.provider == LMSTUDIO]
        loaded = [state for state in await hub.instances() if state.provider == LMSTUDIO]
        if not models:
            hint = "`lmbridge get openai/gpt-oss-20b --provider lmstudio` downloads one."
            return Found("it has no model", "failed", hint)
        chat = sum(model.kind == "chat" for model in models)
        return Found(f"{chat} for chats, {len(models) - chat} for embeddings")

    def in_memory(kind: str) -> str:
        able = {model.id for model in models if model.kind == kind}
        return next((state.model for state in loaded if state.model in able), "")

    async def held() -> Found:
        if in_memory("chat"):
            return Found(", ".join(state.name or state.model for state in loaded))
        first = next((model.id for model in models if model.kind == "chat"), "")
        if not first:
            return Found("it has no model for chats", "failed")
        hint = f"`lmbridge load {LMSTUDIO}:{first}` loads one; else the first question does."
        return Found("none; the first question loads one", "skipped", hint)

    async def answers() -> Found:
        return await one_token(hub, f"{LMSTUDIO}:{in_memory('chat')}")

    async def embeds() -> Found:
        if not in_memory("embedding"):
            return Found("no model for embeddings in memory", "skipped")
        return await one_vector(hub, f"{LMSTUDIO}:{in_memory('embedding')}")

    await checks.look(PART, "models", listed, needs="token")
    await checks.look(PART, "loaded", held, needs="models")
    await checks.look(PART, ANSWER, answers, needs="loaded")
    await checks.look(PART, "embeddings", embeds, needs="models")
