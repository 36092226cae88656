"""`lmbridge unload`: a model's memory back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, json_option, model_name
from lmbridge.cli.provider import check_provider, provider_option, qualified

if TYPE_CHECKING:
    from lmbridge.core.hub import AnyHub
    from lmbridge.core.models import InstanceState


@click.command(
    "unload",
    cls=BridgeCommand,
    examples=[
        ("lmbridge unload qwen3-8b", "this one"),
        ("lmbridge unload --all", "every one in memory"),
        ("lmbridge unload --all --provider lmstudio", "every one that LM Studio holds"),
    ],
)
@click.argument("model", required=False, callback=model_name)
@click.option("--all", "every", is_flag=True, help="Every model in memory.")
@provider_option("Whose model.")
@json_option
def command(model: str | None, every: bool, provider: str, as_json: bool) -> None:
    """Give the memory of MODEL back, also where LM Studio holds it by itself.

    A model that is answering somebody through lmbridge is left alone.
    """
    import msgspec

    from lmbridge.cli.connect import with_hub

    if (model is None) != every:
        raise click.UsageError(
            "Name a model, or say --all." if model is None else "Name a model or say --all, not both."
        )

    async def unload(hub: AnyHub) -> list[InstanceState]:
        await check_provider(hub, provider)
        if model is not None:
            return [await _unload(hub, qualified(model, provider))]
        states = [state for state in await hub.instances() if provider in ("", state.provider)]
        # Several copies of a model go with one word.
        return [await _unload(hub, name) for name in dict.fromkeys(f"{s.provider}:{s.model}" for s in states)]

    gone = with_hub(unload)
    if as_json:
        render.json({"unloaded": [msgspec.structs.asdict(state) for state in gone]})
        return
    for state in gone:
        freed = f", {render.size(state.memory)} are free again" if state.memory else ""
        render.line(f"{render.printable(state.model)} ({state.provider}) is unloaded{freed}.")
    if not gone:
        render.line("No model is in memory.")


async def _unload(hub: AnyHub, name: str) -> InstanceState:
    """Unload one; a name that is known but not in memory is told apart from one that nobody has."""
    from lmbridge.core.errors import ModelNotFound, error_from_code

    try:
        return await hub.unload(name)
    except ModelNotFound as error:
        if any(name in (model.id, model.qualified) for model in await hub.models()):
            told = error_from_code(
                error.code, f"{name!r} is not in memory.", "`lmbridge ps` shows what is.", "model"
            )
            raise told or error from None
        raise
