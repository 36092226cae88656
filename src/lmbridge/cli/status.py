"""`lmbridge status`: what works here, what does not, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, gateway_option, json_option
from lmbridge.cli.provider import check_provider, provider_option
from lmbridge.version import __version__

if TYPE_CHECKING:
    from lmbridge.core.hub import AnyHub
    from lmbridge.core.models import InstanceState, ModelInfo
    from lmbridge.core.provider import ProviderState

MARKS = {
    "ready": ("●", "green"),
    "unavailable": ("○", "dim"),
    "needs_key": ("!", "yellow"),
    "foreign": ("!", "yellow"),
}


@click.command(
    "status",
    cls=BridgeCommand,
    examples=[
        ("lmbridge status", "for people"),
        ("lmbridge status --provider lmstudio", "LM Studio alone"),
        ("lmbridge status --json", "for programs"),
    ],
)
@provider_option("Tell of this one alone.")
@json_option
@gateway_option
def command(provider: str, as_json: bool, gateway: bool | None) -> None:
    """Tell what works here: the gateway, the providers, memory, and the models in it."""
    import msgspec

    from lmbridge.cli.connect import with_hub
    from lmbridge.config import load_config
    from lmbridge.machine.gateway_file import running
    from lmbridge.machine.memory import memory

    config, room = load_config(), memory()
    found = running(config.home)
    providers, models, states = with_hub(lambda hub: _look(hub, provider), gateway=gateway)
    if as_json:
        render.json(
            {
                "version": __version__,
                "home": str(config.home),
                "config": config.source,
                "gateway": {"running": True, "url": found.url, "pid": found.pid} if found else {"running": False},
                "providers": [msgspec.structs.asdict(state) for state in providers],
                "models": len(models),
                "memory": {"total_bytes": room.total, "available_bytes": room.available},
                "instances": [msgspec.structs.asdict(state) for state in states],
            }
        )
        return
    _line(
        "lmbridge",
        f"{__version__}, folder {config.home}" + (f", settings {config.source}" if config.source else ""),
    )
    _line(
        "Gateway",
        f"{found.url} (pid {found.pid})" if found else "not running; `lmbridge gateway start` starts one",
    )
    if room.total:
        _line("Memory", f"{render.size(room.available)} of {render.size(room.total)} free")
    _providers(providers, models)
    _instances(states)


async def _look(
    hub: AnyHub, provider: str
) -> tuple[Sequence[ProviderState], Sequence[ModelInfo], Sequence[InstanceState]]:
    await check_provider(hub, provider)
    probed, models, loaded = await hub.probe(), await hub.models(), await hub.instances()
    return (
        [state for state in probed if provider in ("", state.provider)],
        [model for model in models if provider in ("", model.provider)],
        [state for state in loaded if provider in ("", state.provider)],
    )


def _providers(providers: Sequence[ProviderState], models: Sequence[ModelInfo]) -> None:
    for state in providers:
        mark, colour = MARKS[state.state]
        mine = [model for model in models if model.provider == state.provider]
        usable = sum(not model.problem for model in mine)
        facts = [f"{usable} model{'s' if usable != 1 else ''}" if state.state == "ready" else state.state]
        facts += [f"{len(mine) - usable} unusable"] if len(mine) > usable else []
        facts += filter(
            None,
            (
                state.detail.removesuffix("."),
                f"version {state.version}" if state.version and state.state == "ready" else "",
            ),
        )
        _line(f"{render.paint(mark, colour)} {state.provider}", render.printable(", ".join(facts)), marked=True)
        if state.hint:
            _line("", render.paint(render.printable(state.hint), "dim"))


def _instances(states: Sequence[InstanceState]) -> None:
    for number, state in enumerate(states):
        busy = f"kept by {state.provider}" if state.kept else f"answering {state.leases}"
        facts = [state.state, render.size(state.memory) if state.memory else "", busy]
        _line(
            "In memory" if number == 0 else "",
            render.printable(f"{state.name or state.model}: {', '.join(filter(None, facts))}"),
        )


def _line(name: str, text: str, *, marked: bool = False) -> None:
    # A mark carries invisible colour codes, which count for the width.
    hidden = len(name) - len(click.unstyle(name)) if marked else 0
    render.sentence(f"{name:<{14 + hidden}}{text}", 14)
