"""`lmbridge ls`: every model that could answer, by provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, gateway_option, json_option

if TYPE_CHECKING:
    from lmbridge.core.hub import AnyHub
    from lmbridge.core.models import InstanceState, ModelInfo
    from lmbridge.core.provider import ProviderState

HEADER = ("", "MODEL", "KIND", "SIZE", "CONTEXT", "QUANT", "CAN")


@click.command(
    "ls",
    cls=BridgeCommand,
    examples=[
        ("lmbridge ls", "all models, those in memory marked with a dot"),
        ("lmbridge ls qwen", "those with this in their name"),
        ("lmbridge ls --json | jq -r '.models[].id'", "for programs"),
    ],
)
@click.argument("name", required=False, default="")
@json_option
@gateway_option
def command(name: str, as_json: bool, gateway: bool | None) -> None:
    """List the models of this machine, by provider; NAME shows those it is part of."""
    import msgspec

    from lmbridge.cli.connect import with_hub

    models, states, providers = with_hub(_look, gateway=gateway)
    shown = [model for model in models if name.lower() in model.qualified.lower()]
    loaded = {(state.provider, state.model): state.state for state in states}
    if as_json:
        told = [
            {**msgspec.structs.asdict(model), "loaded": loaded.get((model.provider, model.id)) == "ready"}
            for model in shown
        ]
        render.json({"models": told})
        return
    _show(shown, loaded, providers, all_of_them=not name)
    if not shown:
        known = f" ({len(models)} have another name)" if name and models else ""
        render.line(f"No model{f' has {name!r} in its name' if name else ' is here'}{known}.")


async def _look(hub: AnyHub) -> tuple[Sequence[ModelInfo], Sequence[InstanceState], Sequence[ProviderState]]:
    return await hub.models(), await hub.instances(), await hub.probe()


def _show(
    models: Sequence[ModelInfo],
    loaded: Mapping[tuple[str, str], str],
    providers: Sequence[ProviderState],
    *,
    all_of_them: bool,
) -> None:
    down = {state.provider: state for state in providers if state.state != "ready"}
    groups: dict[str, list[ModelInfo]] = {}
    for model in models:
        groups.setdefault(model.provider, []).append(model)
    for number, (provider, group) in enumerate(groups.items()):
        if number:
            render.line()
        render.line(render.paint(render.printable(provider), "bold"))
        usable = [model for model in group if not model.problem]
        if usable:
            rows = [_row(model, loaded.get((model.provider, model.id), "")) for model in usable]
            render.table(HEADER, rows, right=("SIZE", "CONTEXT"))
        for model in group:
            if model.problem:
                render.line(f"{render.paint('!', 'yellow')}  {render.printable(f'{model.id}: {model.problem}')}")
        if provider in down:
            render.line(f"{render.paint('!', 'yellow')}  {_why(down[provider])}")
    for state in down.values() if all_of_them else ():
        if state.provider not in groups:
            render.line()
            render.line(f"{render.paint(render.printable(state.provider), 'bold')}  {_why(state)}")


def _why(state: ProviderState) -> str:
    said = " ".join(filter(None, (state.detail or state.state, state.hint)))
    return render.paint(render.printable(said), "dim")


def _row(model: ModelInfo, state: str) -> tuple[str, ...]:
    abilities = [name for name, has in (("tools", model.tools), ("vision", model.vision)) if has]
    return (
        {"": "", "ready": "●"}.get(state, "○"),
        model.id,
        model.kind,
        render.size(model.size_bytes),
        f"{model.context_length:,}" if model.context_length else "",
        model.quantization,
        " ".join(abilities),
    )
