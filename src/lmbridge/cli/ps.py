"""`lmbridge ps`: what is in memory, and who uses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, gateway_option, json_option
from lmbridge.cli.provider import LMSTUDIO, check_provider, provider_option

if TYPE_CHECKING:
    from lmbridge.core.hub import AnyHub
    from lmbridge.core.models import InstanceState
    from lmbridge.core.provider import ProviderState


@click.command(
    "ps", cls=BridgeCommand, examples=[("lmbridge ps", "for people"), ("lmbridge ps --json", "for programs")]
)
@provider_option("List what this one has in memory.")
@json_option
@gateway_option
def command(provider: str, as_json: bool, gateway: bool | None) -> None:
    """List the models in memory: their size, how busy they are, and how long they stay.

    What LM Studio holds is listed too, whoever loaded it.
    """
    import msgspec

    from lmbridge.cli.connect import THIS_PROCESS, lmstudio_unasked, unseen, with_hub

    async def look(hub: AnyHub) -> tuple[Sequence[InstanceState], str, ProviderState | None]:
        await check_provider(hub, provider)
        states = [state for state in await hub.instances() if provider in ("", state.provider)]
        return states, hub.where, await lmstudio_unasked(hub) if provider in ("", LMSTUDIO) else None

    states, where, unasked = with_hub(look, gateway=gateway)
    if as_json:
        render.json({"where": where, "models": [msgspec.structs.asdict(state) for state in states]})
        return
    if not states and where == THIS_PROCESS:
        render.sentence("No gateway is running, and no model is in memory. `lmbridge load MODEL` loads one.")
    else:
        show(states)
    if unasked is not None:
        render.note(unseen(unasked), "dim")


def show(states: Sequence[InstanceState]) -> None:
    """The table of the models in memory."""
    if not states:
        render.sentence(
            "No model is in memory. One is loaded when it is first asked, or by `lmbridge load MODEL`."
        )
        return
    header = ("MODEL", "PROVIDER", "STATE", "ANSWERING", "WAITING", "CONTEXT", "MEMORY", "STAYS")
    render.table(header, [_row(state) for state in states], right=("ANSWERING", "WAITING", "CONTEXT", "MEMORY"))


def _row(state: InstanceState) -> tuple[str, ...]:
    busy = f"{state.leases}/{state.slots}" if state.slots else str(state.leases)
    loading = f"loading {state.progress:.0%}" if state.state == "loading" else state.state
    return (
        state.name or state.model,
        state.provider,
        loading,
        "" if state.kept else busy,  # others ask it too, and it does not tell
        "" if state.kept else str(state.waiting),
        f"{state.context_length:,}" if state.context_length else "",
        render.size(state.memory) if state.memory else "",
        _stays(state),
    )


def _stays(state: InstanceState) -> str:
    if state.kept:
        return f"as {state.provider} keeps it"
    if not state.ttl:
        return "until unloaded"
    if state.leases:
        return f"{render.duration(state.ttl)} after its last answer"
    return render.duration(max(0.0, state.ttl - state.idle_s))
