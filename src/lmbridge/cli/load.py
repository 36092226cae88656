"""`lmbridge load`: a model into the memory of the gateway, ready before the first question."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, json_option, model_name
from lmbridge.core.models import MAX_PARALLEL, MAX_THREADS

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
@click.option("--ttl", type=click.FloatRange(min=0), metavar="SECONDS", help="Unload after so long idle; 0 never.")
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
    no_gateway: bool,
    as_json: bool,
) -> None:
    """Load MODEL into memory, or load it again with other options.

    The gateway keeps it there. Where none runs, one is started in the background.
    """
    import msgspec

    from lmbridge.cli.connect import with_hub
    from lmbridge.core.models import LoadOptions

    _make_sure_of_gateway(model, may_start=not no_gateway)
    options = LoadOptions(context_length, parallel, gpu_layers, threads, kv_type, ttl)

    async def load(hub: AnyHub) -> InstanceState:
        with render.progress(f"Loading {model}") as moved:
            return await hub.load(model, options, moved)

    state = with_hub(load, gateway=True, model=model)
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
    render.line(f"{render.printable(state.model)} ({state.provider}) is loaded{f': {told}' if told else ''}.")


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
