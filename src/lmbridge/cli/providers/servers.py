"""`lmbridge providers add | remove | discover`: other servers."""

from __future__ import annotations

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, json_option
from lmbridge.cli.providers.changing import changed

SORTS = ("ollama", "vllm", "llama.cpp", "openai", "anthropic", "other")
"""The presets of `providers.openai.presets`, as a test sees to; Anthropic's; and what stands for none."""


def _check(url: str) -> None:
    """Refuse what is no URL.

    Raises:
        click.UsageError
    """
    from lmbridge.clients.http.address import wrong_url

    if url and (why := wrong_url(url)):
        raise click.UsageError(f"The address cannot be used: {why}.")


@click.command(
    "add",
    cls=BridgeCommand,
    examples=[
        ("lmbridge providers add ollama", "on this machine, where it usually listens"),
        ("lmbridge providers add vllm big --url http://gpu:8000", "under another name, elsewhere"),
        ("lmbridge providers add openai", "its key from $OPENAI_API_KEY"),
        (
            "lmbridge providers add other mine --url https://h/v1 --key-env MINE",
            "any that speaks OpenAI's language",
        ),
    ],
)
@click.argument("sort", type=click.Choice(SORTS))
@click.argument("name", required=False, default="")
@click.option("--url", default="", metavar="URL", help="Where it is, if not where it usually listens.")
@click.option("--key-env", default="", metavar="NAME", help="Environment variable that holds its API key.")
@json_option
def add(sort: str, name: str, url: str, key_env: str, as_json: bool) -> None:
    """Add a server of a known SORT, called NAME: a provider from now on, beside those of lmbridge.toml."""
    from lmbridge.cli.providers.sights import opened

    _check(url)
    if sort == "other" and not (name and url):
        raise click.UsageError("Give it a name and --url.")
    name = opened()[1].add(sort, name, url, key_env)
    changed(as_json, f"{name} is added. `lmbridge providers list` tells whether it answers.", added=name)


@click.command(
    "remove",
    cls=BridgeCommand,
    examples=[("lmbridge providers remove ollama", "with its settings and its key")],
)
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> None:
    """Forget the server NAME that was added, its settings and its key."""
    from lmbridge.cli.providers.sights import opened

    registry, chooser = opened()
    before = registry.default
    default = chooser.remove(name)
    told = f" The default is {default} now." if before == name and default else ""
    changed(as_json, f"{name} is forgotten.{told}", removed=name, default=default)


@click.command(
    "discover",
    cls=BridgeCommand,
    examples=[
        ("lmbridge providers discover", "where Ollama, vLLM and llama.cpp usually listen"),
        ("lmbridge providers discover http://gpu:8000", "or somewhere else"),
    ],
)
@click.argument("urls", nargs=-1, metavar="[URL]...")
@json_option
def discover(urls: tuple[str, ...], as_json: bool) -> None:
    """Look for servers where they usually listen on this machine, or at each URL. Nothing is added."""
    import msgspec

    from lmbridge.cli import ending
    from lmbridge.machine.home import home
    from lmbridge.registry.discovery import USUAL
    from lmbridge.registry.discovery import discover as look

    for url in urls:
        _check(url)
    found = ending.run(look(home(), dict.fromkeys(urls, "") if urls else USUAL))
    if as_json:
        render.json({"found": [msgspec.structs.asdict(each) for each in found]})
        return
    for each in found:
        told = f"{each.models} model{'s' if each.models != 1 else ''}" if each.state == "ready" else "wants a key"
        command = f"lmbridge providers add {each.preset}" if each.preset else ""
        command = command or f"lmbridge providers add other NAME --url {each.url}"
        render.sentence(f"{render.printable(each.url)}: {told}. `{command}` adds it.", 2)
    if not found:
        render.line("No server that speaks OpenAI's language answers there.")
