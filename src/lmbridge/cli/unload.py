"""`lmbridge unload`: a model's memory back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, json_option, model_name
from lmbridge.cli.provider import LMSTUDIO, check_provider, provider_option, qualified

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmbridge.core.hub import AnyHub
    from lmbridge.core.models import InstanceState
    from lmbridge.core.provider import ProviderState


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

    from lmbridge.cli.connect import lmstudio_unasked, unseen, with_hub

    if (model is None) != every:
        raise click.UsageError(
            "Name a model, or say --all." if model is None else "Name a model or say --all, not both."
        )

    async def unload(hub: AnyHub) -> tuple[list[InstanceState], ProviderState | None]:
        await check_provider(hub, provider)
        if model is not None:
            return [await _unload(hub, qualified(model, provider))], None
        states = [state for state in await hub.instances() if provider in ("", state.provider)]
        unasked = await lmstudio_unasked(hub) if provider in ("", LMSTUDIO) else None
        return [await _unload(hub, name) for name in names(states)], unasked

    gone, unasked = with_hub(unload)
    if as_json:
        render.json({"unloaded": [msgspec.structs.asdict(state) for state in gone]})
        return
    for state in gone:
        freed = f", {render.size(state.memory)} are free again" if state.memory else ""
        render.sentence(f"{render.printable(_name(state))} ({state.provider}) is unloaded{freed}.")
    if not gone:
        render.line("No model is in memory.")
    if unasked is not None:
        render.note(unseen(unasked), "dim")


def names(states: Sequence[InstanceState]) -> list[str]:
    """What to say so that everything of *states* is unloaded.

    Each copy of ours goes by its own name, those that a runtime keeps by itself with one word.
    """
    return list(dict.fromkeys(f"{state.provider}:{_name(state)}" for state in states))


def _name(state: InstanceState) -> str:
    return state.model if state.kept else state.name or state.model


async def _unload(hub: AnyHub, name: str) -> InstanceState:
    """Unload one; a name that is known but not in memory is told apart from one that nobody has."""
    from lmbridge.cli.connect import lmstudio_unasked
    from lmbridge.core.errors import ModelNotFound, ProviderUnavailable, error_from_code

    try:
        return await hub.unload(name)
    except ModelNotFound as error:
        known = [model for model in await hub.models() if name in (model.id, model.qualified)]
        if any(model.stale_s for model in known) and (state := await lmstudio_unasked(hub)):
            raise ProviderUnavailable(state.provider, state.detail.rstrip("."), hint=state.hint) from None
        if known:
            told = error_from_code(
                error.code, f"{name!r} is not in memory.", "`lmbridge ps` shows what is.", "model"
            )
            raise told or error from None
        raise
