"""`lmbridge chat`: talk with a model, or ask it one thing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from lmbridge.cli.command import BridgeCommand, gateway_option, model_name
from lmbridge.cli.download import get_option, present
from lmbridge.cli.provider import check_provider, provider_option, qualified

if TYPE_CHECKING:
    from lmbridge.core.hub import AnyHub
    from lmbridge.machine.presets import Preset

MOST_ROUNDS: Final = 32
"""How often a model with tools is asked, unless the command says otherwise."""


@click.command(
    "chat",
    cls=BridgeCommand,
    examples=[
        ("lmbridge chat", "talk with the default model; /help tells more"),
        ("lmbridge chat qwen3-8b", "talk with another one"),
        ("lmbridge chat --provider lmstudio", "talk with one of LM Studio"),
        ("lmbridge chat --preset writer", "with a model, options and instructions of yours"),
        ("lmbridge chat openai/gpt-oss-20b --get", "download it first if it is not here"),
        ('lmbridge chat -p "Why is the sky blue?"', "one answer"),
        ('cat notes.txt | lmbridge chat -p "Summarise"', "about a text"),
        ("git diff | lmbridge chat -p 'Review this' > review.md", "plain markdown in files and pipes"),
        ('lmbridge chat -p "Who wrote it?" --schema book.json', "an answer of a given shape"),
        ('lmbridge chat -p "What is this?" --image cat.png', "about a picture"),
        ("lmbridge chat --tool tools.py --files notes", "with tools, asking before each call"),
        ("lmbridge chat --mcp github", "with those of an MCP server of `lmbridge mcp servers`"),
        ('lmbridge chat -p "Hi" --json', "answer, tokens and times as JSON"),
    ],
)
@click.argument("model", required=False, default="", callback=model_name)
@click.option("-p", "--prompt", metavar="TEXT", help="Answer this once. Piped input is appended to it.")
@click.option("-s", "--system", metavar="TEXT", default="", help="Instructions the model follows throughout.")
@click.option(
    "--preset", metavar="NAME", default="", help="Model, options and instructions of `lmbridge presets`."
)
@click.option(
    "--image",
    "images",
    metavar="FILE",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Show the model a picture (PNG, JPEG, WebP, GIF). May be repeated.",
)
@click.option(
    "--schema",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON schema the answer must follow; it is checked.",
)
@click.option(
    "--tool",
    "tool_files",
    metavar="FILE.py",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Functions of this file may be called. The file is run. May be repeated.",
)
@click.option(
    "--files",
    "folders",
    metavar="DIR",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Text files of this folder may be created, read, listed and edited.",
)
@click.option(
    "--mcp",
    "servers",
    metavar="NAME",
    multiple=True,
    help="Tools of an MCP server: of LM Studio's mcp.json, or of lmbridge.toml. May be repeated.",
)
@click.option(
    "--mcp-command", "server_commands", metavar="LINE", multiple=True, help='One that is started: "npx …".'
)
@click.option("--mcp-url", "server_urls", metavar="URL", multiple=True, help="One that is asked over HTTP.")
@click.option("--yes", is_flag=True, help="Carry calls of tools out without asking.")
@click.option(
    "--max-rounds",
    metavar="N",
    type=click.IntRange(min=1),
    help=f"With tools: ask the model so often at most.  [default: {MOST_ROUNDS}]",
)
@click.option(
    "-t", "--temperature", metavar="X", type=click.FloatRange(0, 2), help="0 is the likeliest word each time."
)
@click.option("-n", "--max-tokens", metavar="N", type=click.IntRange(min=1), help="Longest answer.")
@click.option("--seed", metavar="N", type=click.IntRange(min=0), help="The same seed gives the same answer.")
@click.option("--stats", is_flag=True, help="Tell tokens and times on standard error afterwards.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: answer, model, usage, timings.")
@provider_option("Whose model answers.")
@get_option
@gateway_option
def command(
    model: str,
    prompt: str | None,
    system: str,
    preset: str,
    images: tuple[Path, ...],
    schema: Path | None,
    tool_files: tuple[Path, ...],
    folders: tuple[Path, ...],
    servers: tuple[str, ...],
    server_commands: tuple[str, ...],
    server_urls: tuple[str, ...],
    yes: bool,
    max_rounds: int | None,
    temperature: float | None,
    max_tokens: int | None,
    seed: int | None,
    stats: bool,
    as_json: bool,
    provider: str,
    get: bool,
    gateway: bool | None,
) -> None:
    """Talk with MODEL, or ask it one thing with -p or through a pipe.

    MODEL is a name from `lmbridge ls`, PROVIDER:NAME, or the path of a GGUF file; without it the default
    model answers. On a terminal the answer is rendered; into a file or a pipe it goes as plain text.
    """
    from lmbridge.cli.chat.question import question_from
    from lmbridge.cli.chat.tooling import equipment, ready, somebody_is_there
    from lmbridge.cli.connect import with_hub
    from lmbridge.cli.mcp.boxes import placed
    from lmbridge.core.models import LoadOptions
    from lmbridge.core.requests import Sampling

    if len(folders) > 1:
        raise click.UsageError("--files is for one folder; give one that holds the others.")
    if not (tool_files or folders or servers or server_commands or server_urls):
        for option, given in (("--yes", yes), ("--max-rounds", max_rounds)):
            if given:
                raise click.UsageError(f"{option} is about tools: name some with --tool, --files or --mcp.")
    chosen_preset = preset_named(preset)
    model, system = model or chosen_preset.model, system or chosen_preset.system
    wanted = qualified(model, provider)
    attended = yes or somebody_is_there()
    others = placed(servers, server_commands, server_urls, attended=attended)
    folder = folders[0] if folders else None
    most = max_rounds or MOST_ROUNDS
    tools = equipment(tool_files, folder, others, yes=yes, attended=attended, max_rounds=most)

    async def chosen(hub: AnyHub) -> str:
        await check_provider(hub, provider)
        name = await present(hub, wanted, get=get)
        if chosen_preset.load != LoadOptions():
            await hub.load(name, chosen_preset.load)
        return name

    sampling = chosen_preset.sampled(Sampling(temperature=temperature, max_tokens=max_tokens, seed=seed))
    asked = question_from(prompt, sys.stdin)
    if asked is not None:
        from lmbridge.cli.chat.once import Once

        once = Once(asked, system, images, schema, sampling, tools, as_json=as_json, stats=stats)

        async def answer(hub: AnyHub) -> None:
            async with ready(tools):
                await once.run(hub, await chosen(hub))

        with_hub(answer, gateway=gateway, model=model)
        return
    if as_json or schema or images:
        raise click.UsageError("--json, --schema and --image are for one answer: give a question with -p.")
    if sys.stdin is None or not sys.stdin.isatty() or not sys.stdout.isatty():
        raise click.UsageError("Nothing is asked: give a question with -p, or through a pipe.")
    from lmbridge.cli.chat.talk import talk

    async def converse(hub: AnyHub) -> None:
        async with ready(tools):
            await talk(hub, await chosen(hub), system, sampling, tools, show_stats=stats)

    with_hub(converse, gateway=gateway, model=model)


def preset_named(name: str) -> Preset:
    """The preset of that name, an empty one for none.

    Raises:
        InvalidRequest, ConfigInvalid: see `load_preset`.
    """
    from lmbridge.machine.home import home
    from lmbridge.machine.presets import Preset, load_preset

    return load_preset(home(), name) if name else Preset()
