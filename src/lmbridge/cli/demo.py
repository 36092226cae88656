"""`lmbridge demo`: one short answer that shows everything works, and what to try next."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, gateway_option, model_name
from lmbridge.cli.provider import check_provider, provider_option, qualified

if TYPE_CHECKING:
    from lmbridge.core.hub import AnyHub

BUILT_IN = "lmbridge-tiny"
QUESTION = "What is lmbridge?"


@click.command(
    "demo",
    cls=BridgeCommand,
    examples=[
        ("lmbridge demo", f"asks {QUESTION!r}"),
        ('lmbridge demo "What is 3 plus 4?"', "asks something else"),
        ("lmbridge demo --provider lmstudio", "a model of LM Studio"),
    ],
)
@click.argument("prompt", required=False, default=QUESTION)
@click.option(
    "--model",
    default="",
    callback=model_name,
    metavar="NAME",
    help="Who answers.  [default: the one of a server that runs, else the built-in one]",
)
@provider_option("Whose model answers.")
@gateway_option
def command(prompt: str, model: str, provider: str, gateway: bool | None) -> None:
    """Answer PROMPT, tell who answered and how fast, and what to try next."""
    from lmbridge.cli.connect import with_hub

    async def ask(hub: AnyHub) -> None:
        await check_provider(hub, provider)
        await _demo(hub, qualified(model, provider), prompt.strip() or QUESTION)

    with_hub(ask, gateway=gateway, model=model)


async def _demo(hub: AnyHub, name: str, prompt: str) -> None:
    from lmbridge.cli.chat.figures import Stopwatch, speed
    from lmbridge.cli.chat.once import stream
    from lmbridge.cli.chat.screens import screen
    from lmbridge.cli.connect import THIS_PROCESS
    from lmbridge.core.requests import ChatRequest

    model = await hub.resolve(name)
    if not name and model.path and not model.builtin:
        # A file of the user's own may take minutes to load, and this is to show that everything works.
        model = await hub.resolve(BUILT_IN)
    where = "" if hub.where == THIS_PROCESS else f", through the gateway at {hub.where}"
    render.line(f"{render.paint(model.id, 'bold')} (provider: {model.provider}{where}) answers {prompt!r}")
    render.line()
    watch = Stopwatch()
    request = ChatRequest(model.qualified, prompt, task="lmbridge demo")
    answer = await stream(hub, request, screen("loading the model"), watch)
    render.line()
    usage, rate = answer.finish.usage, speed(answer.finish)
    facts = [f"{usage.completion_tokens} tokens" if usage else "", f"at {rate:.0f} tokens/s" if rate else ""]
    told = " ".join(filter(None, facts))
    first = f"first word after {render.duration(watch.first_word_s)}" if watch.first_word_s else ""
    render.line(render.paint(f"{model.id} ({model.provider}): {', '.join(filter(None, (told, first)))}", "dim"))
    if model.builtin:
        render.line(
            render.paint(f"{BUILT_IN} is a very small model, made to show and test that all works.", "dim")
        )
    render.line()
    render.line("Try next:")
    program = _program()
    for line, meaning in (
        (f"{program} chat", "talk with it"),
        (f"{program} serve", "an OpenAI-compatible API for your programs"),
        (f"{program} ls", "the models on this machine"),
    ):
        render.line(f"  {render.paint(f'{line:<{len(program) + 8}}', 'cyan')}{meaning}")


def _program() -> str:
    """How to call lmbridge from here: by its name where that finds it, else by its path."""
    beside = Path(sys.executable).with_name("lmbridge")
    found = shutil.which("lmbridge")
    if found is not None and Path(found).resolve() == beside.resolve():
        return "lmbridge"
    if beside.exists():
        near = os.path.relpath(beside)
        return str(beside) if near.startswith("..") else near
    return "python -m lmbridge"
