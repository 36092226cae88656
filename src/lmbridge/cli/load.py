"""`lmbridge load`: a model into memory, ready before the first question.

A gateway keeps it there, or LM Studio, which is a program of its own and needs none.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import click
from msgspec.structs import replace

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, json_option, model_name
from lmbridge.cli.download import get_option, present
from lmbridge.cli.progress import loading
from lmbridge.cli.provider import check_provider, provider_option, qualified
from lmbridge.core.models import MAX_PARALLEL, MAX_THREADS, LoadOptions

if TYPE_CHECKING:
    from lmbridge.core.hub import AnyHub
    from lmbridge.core.models import InstanceState


@click.command(
    "load",
    cls=BridgeCommand,
    examples=[
        ("lmbridge load qwen3-8b", "with what suits this machine"),
        ("lmbridge load qwen3-8b --context-length 16384 --parallel 4", "for long texts, four at a time"),
        ("lmbridge load qwen3-8b --gpu-layers 20 --ttl 0", "partly on the GPU, until it is unloaded"),
        ("lmbridge load qwen/qwen3-8b --provider lmstudio --get", "into LM Studio, downloaded first"),
    ],
)
@click.argument("model", callback=model_name)
@click.option(
    "--context-length", metavar="N", type=click.IntRange(min=1), help="Tokens of context for each answer."
)
@click.option(
    "--parallel", metavar="N", type=click.IntRange(1, MAX_PARALLEL), help="Answers given at the same time."
)
@click.option("--gpu-layers", metavar="N", type=click.IntRange(min=-1), help="Layers put on the GPU; -1 all.")
@click.option("--threads", metavar="N", type=click.IntRange(1, MAX_THREADS), help="CPU threads.")
@click.option(
    "--kv-type", type=click.Choice(["f16", "q8_0", "q4_0"]), help="Number format of the context's memory."
)
@click.option(
    "--ttl",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Unload after so long idle; 0 never, as is usual in LM Studio.",
)
@provider_option("Whose model.")
@get_option
@click.option("--no-gateway", is_flag=True, help="Do not start a gateway where none runs; fail instead.")
@json_option
def command(
    model: str,
    context_length: int | None,
    parallel: int | None,
    gpu_layers: int | None,
    threads: int | None,
    kv_type: Literal["f16", "q8_0", "q4_0"] | None,
    ttl: float | None,
    provider: str,
    get: bool,
    no_gateway: bool,
    as_json: bool,
) -> None:
    """Load MODEL into memory, or load it again with other options.

    LM Studio keeps its models itself. For others the gateway does; where none runs, one is started in the
    background.
    """
    from lmbridge.cli.connect import with_hub

    wanted = _Wanted(
        qualified(model, provider),
        provider,
        LoadOptions(context_length, parallel, gpu_layers, threads, kv_type, ttl),
        get=get,
    )
    state = _without_gateway(wanted)
    if state is None:
        _make_sure_of_gateway(model, may_start=not no_gateway)
        state = with_hub(wanted.load, gateway=True, model=model)
    _tell(state, context_length, as_json=as_json)


class _Wanted:
    """What is to be loaded, and how."""

    def __init__(self, name: str, provider: str, options: LoadOptions, *, get: bool) -> None:
        self.name, self.options = name, options
        self._provider, self._get = provider, get

    async def load(self, hub: AnyHub) -> InstanceState:
        """Load it, downloaded first if need be."""
        name = await self.present(hub)
        with loading(f"Loading {render.printable(name)}") as moved:
            return await hub.load(name, self.options, moved)

    async def present(self, hub: AnyHub) -> str:
        """Its name, once it is here."""
        await check_provider(hub, self._provider)
        return await present(hub, self.name, get=self._get)


def _without_gateway(wanted: _Wanted) -> InstanceState | None:
    """Load a model whose runtime keeps it in memory by itself; None when a gateway must do that."""
    from lmbridge.cli.connect import with_hub
    from lmbridge.config import load_config
    from lmbridge.core.provider import Keeper
    from lmbridge.hub.hub import Hub
    from lmbridge.machine.gateway_file import running
    from lmbridge.machine.lmstudio.install import find_installation

    if os.path.isabs(wanted.name) or running(load_config().home) is not None:
        return None

    async def load(hub: AnyHub) -> InstanceState | None:
        assert isinstance(hub, Hub)  # noqa: S101 - tells mypy; it was asked for without a gateway
        wanted.name = await wanted.present(hub)
        model = await hub.find(wanted.name)
        kept = any(isinstance(each, Keeper) for each in hub.providers if each.id == model.provider)
        if not kept or (wanted.options.ttl and find_installation().lms is None):
            return None  # a gateway has to mind the time, too, where LM Studio's command is not there for that
        if wanted.options.ttl is None:
            wanted.options = replace(wanted.options, ttl=0)  # else it would go when we do
        return await wanted.load(hub)

    return with_hub(load, gateway=False)


def _tell(state: InstanceState, context_length: int | None, *, as_json: bool) -> None:
    import msgspec

    if as_json:
        render.json(msgspec.structs.asdict(state))
        return
    if context_length and state.context_length and state.context_length < context_length:
        render.note(
            f"The model was made for {state.context_length:,} tokens of context, not {context_length:,}.", "yellow"
        )
    facts = [f"{state.context_length:,} tokens of context" if state.context_length else ""]
    facts += [f"{state.slots} at a time" if state.slots else "", render.size(state.memory) if state.memory else ""]
    told = ", ".join(filter(None, facts))
    render.sentence(f"{render.printable(state.model)} ({state.provider}) is loaded{f': {told}' if told else ''}.")


def _make_sure_of_gateway(model: str, *, may_start: bool) -> None:
    """A model stays in memory only as long as the process that holds it: that must be a gateway.

    One that is started here offers the file that *model* names, if it is the path of one.

    Raises:
        NotRunning: there is none, and none may be started.
    """
    from lmbridge.cli import background
    from lmbridge.config import load_config
    from lmbridge.core.errors import NotRunning
    from lmbridge.machine.gateway_file import running

    config = load_config()
    if running(config.home) is not None:
        return
    if not may_start or not config.use_gateway:
        raise NotRunning
    render.note("No gateway is running to keep it in memory; starting one in the background …", "dim")
    file = ["--model", model] if os.path.isabs(model) else []
    found = background.start(config, file, background.LOAD_S if file else background.START_S)
    render.note(f"It answers at {found.url}; `lmbridge gateway stop` ends it.", "dim")
