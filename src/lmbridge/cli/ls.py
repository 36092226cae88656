"""`lmbridge ls`: every model that could answer, by provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, gateway_option, json_option
from lmbridge.cli.provider import check_provider, provider_option

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
        ("lmbridge ls --provider lmstudio", "LM Studio's"),
        ("lmbridge ls --json | jq -r '.models[].id'", "for programs"),
    ],
)
@click.argument("name", required=False, default="")
@provider_option("List the models of this one alone.")
@json_option
@gateway_option
def command(name: str, provider: str, as_json: bool, gateway: bool | None) -> None:
    """List the models of this machine, by provider; NAME shows those it is part of.

    A dot marks those in memory, also where LM Studio holds them by itself.
    """
    import msgspec

    from lmbridge.cli.connect import with_hub

    models, states, providers = with_hub(lambda hub: _look(hub, provider), gateway=gateway)
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


async def _look(
    hub: AnyHub, provider: str
) -> tuple[Sequence[ModelInfo], Sequence[InstanceState], Sequence[ProviderState]]:
    await check_provider(hub, provider)
    models = [model for model in await hub.models() if provider in ("", model.provider)]
    states = [state for state in await hub.probe() if provider in ("", state.provider)]
    return models, await hub.instances(), states


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
            render.table(HEADER, rows, right=("SIZE", "CONTEXT"), spare=("QUANT",))
        for model in group:
            if model.problem:
                render.sentence(
                    f"{render.paint('!', 'yellow')}  {render.printable(f'{model.id}: {model.problem}')}", 3
                )
        old = max(model.stale_s for model in group)
        said = [f"This list is {render.duration(max(1.0, old))} old." if old else ""]
        said += [_why(down[provider])] if provider in down else []
        if told := " ".join(filter(None, said)):
            render.sentence(f"{render.paint('!', 'yellow')}  {render.paint(render.printable(told), 'dim')}", 3)
    for state in down.values() if all_of_them else ():
        if state.provider not in groups:
            if groups:
                render.line()
            name, why = render.paint(render.printable(state.provider), "bold"), render.printable(_why(state))
            render.sentence(f"{name}  {render.paint(why, 'dim')}")


def _why(state: ProviderState) -> str:
    detail = state.detail or state.state
    return " ".join(filter(None, (f"{detail.rstrip('.')}." if state.hint else detail, state.hint)))


def _row(model: ModelInfo, state: str) -> tuple[str, ...]:
    known = (("tools", model.tools), ("vision", model.vision), ("reasoning", model.reasoning))
    abilities = [name for name, has in known if has]
    return (
        {"": "", "ready": "●"}.get(state, "○"),
        model.id,
        model.kind,
        render.size(model.size_bytes),
        f"{model.context_length:,}" if model.context_length else "",
        model.quantization,
        " ".join(abilities),
    )
