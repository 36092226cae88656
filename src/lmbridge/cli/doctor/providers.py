"""The embedded engine, and the servers of the settings other than LM Studio."""

from __future__ import annotations

from lmbridge.cli.doctor.answers import ANSWER, one_token, one_vector
from lmbridge.cli.doctor.checks import Checklist, Found
from lmbridge.cli.provider import EMBEDDED, LMSTUDIO
from lmbridge.core.errors import NoModels
from lmbridge.core.models import ModelInfo, ModelKind
from lmbridge.core.provider import Provider
from lmbridge.hub.hub import Hub
from lmbridge.machine.engine.requirements import PROCESSOR_FEATURES
from lmbridge.machine.hardware import Hardware

ENGINE = "embedded engine"
SERVERS = "servers"


async def engine(checks: Checklist, hub: Hub, found: Hardware) -> None:
    """Look at the engine: whether it can run, and whether the models that come with lmbridge answer."""
    provider = next((each for each in hub.providers if each.id == EMBEDDED), None)
    if provider is None:
        return

    async def runs() -> Found:
        return await _probed(provider)

    async def answers() -> Found:
        return await one_token(hub, (await _builtin(hub, "chat")).qualified)

    async def embeds() -> Found:
        return await one_vector(hub, (await _builtin(hub, "embedding")).qualified)

    await checks.look(ENGINE, "engine", runs)
    checks.add(ENGINE, "features", _features(found, runs=checks.good(ENGINE, "engine")))
    await checks.look(ENGINE, ANSWER, answers, needs="engine")
    await checks.look(ENGINE, "embeddings", embeds, needs="engine")


def _features(found: Hardware, *, runs: bool) -> Found:
    """What the engine's package is compiled for; lacking it is no fault where another engine is used."""
    lacking = ", ".join(found.processor.lacking).upper()
    if lacking:
        return Found(f"the processor lacks {lacking}, which its package needs", "skipped" if runs else "failed")
    if found.processor.architecture not in ("x86_64", "AMD64"):
        return Found(f"none are needed on {found.processor.architecture}", "skipped")
    return Found(f"the processor is not known to lack any of {', '.join(PROCESSOR_FEATURES).upper()}")


async def _builtin(hub: Hub, kind: ModelKind) -> ModelInfo:
    found = next((m for m in await hub.models() if m.builtin and m.kind == kind and not m.problem), None)
    if found is None:
        raise NoModels
    return found


async def servers(checks: Checklist, hub: Hub) -> list[str]:
    """Look at the other servers; returns those that are ready."""
    ready = []
    for provider in hub.providers:
        if provider.id in (EMBEDDED, LMSTUDIO):
            continue

        async def answers(asked: Provider = provider) -> Found:
            return await _probed(asked)

        if await checks.look(SERVERS, provider.id, answers):
            ready.append(provider.id)
    return ready


async def _probed(provider: Provider) -> Found:
    state = await provider.probe()
    if state.state != "ready":
        return Found(state.detail or state.state, "failed", state.hint)
    version = f", version {state.version}" if state.version else ""
    return Found(f"{state.detail.removesuffix('.')}{version}", hint=state.hint)
