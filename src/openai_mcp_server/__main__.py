"""The command: what arguments and environment tell, then lmbridge's MCP server on standard input and output.

Nothing heavy is imported before the host has its first answer.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lmbridge.core.errors import BridgeError, ConfigInvalid
from lmbridge.doors.mcp.offer import Offer
from lmbridge.doors.mcp.stdio import need_mcp, open_pipe
from lmbridge.version import __version__

if TYPE_CHECKING:
    from argparse import Namespace

    from lmbridge.cli.mcp.following import Following
    from lmbridge.hub.hub import Hub

NAME = "openai"
LM_STUDIO = "http://localhost:1234/v1"
INSTRUCTIONS = (
    "Language models of a server that the user has set up, often on his own computer. `list_models` names them; "
    "`chat` asks one."
)
DESCRIPTION = f"""\
Serves the models of any OpenAI-compatible server to an MCP host, over standard input and output.

environment:
  OPENAI_BASE_URL  the server, such as {LM_STUDIO}; without it
                   the running gateway of lmbridge, else LM Studio at that address
  OPENAI_API_KEY   its key; any value, or none, where it wants none
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the host goes; the exit code."""
    given = _parsed(sys.argv[1:] if arguments is None else arguments)
    if given is not None and given.manifest:
        from lmbridge.cli import render

        render.json({"mcpServers": {NAME: entry(dict(os.environ))}})
        return 0
    manage, model = (given.manage, given.model) if given is not None else (False, "")
    offer = Offer("openai_mcp_server", "Models", __version__, INSTRUCTIONS, manage)
    try:
        need_mcp()
        if sys.stdin is not None and sys.stdin.isatty():
            from lmbridge.cli.mcp.serving import tell_a_person

            tell_a_person("python -m openai_mcp_server")
        pipe = open_pipe(offer)
        pipe.wait_for_first()
        from lmbridge.cli.mcp.serving import run

        run(pipe, offer, lambda: follow(model))
    except BridgeError as error:
        from lmbridge.cli import render

        return render.failure(error, as_json=False)
    except KeyboardInterrupt:
        return 130
    return 0


def _parsed(arguments: Sequence[str]) -> Namespace | None:
    """What was asked for; None where nothing was, as a host does, who need not wait for argparse."""
    if not arguments:
        return None
    from argparse import ArgumentParser, RawDescriptionHelpFormatter

    parser = ArgumentParser(
        "python -m openai_mcp_server", description=DESCRIPTION, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="", metavar="NAME", help="asked where a call names none")
    parser.add_argument("--manage", action="store_true", help="offer load_model and unload_model too")
    parser.add_argument("--manifest", action="store_true", help="print the entry for a host's mcp.json, and end")
    parser.add_argument("--version", action="version", version=f"openai_mcp_server of lmbridge {__version__}")
    return parser.parse_args(arguments)


def entry(env: dict[str, str]) -> dict[str, object]:
    """The entry for a host's `mcp.json`. A key is not written down: fill it in where the server wants one."""
    url = env.get("OPENAI_BASE_URL") or LM_STUDIO
    variables = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": ""}
    return {"command": sys.executable, "args": ["-m", "openai_mcp_server"], "env": variables}


def follow(model: str) -> Following:
    """What gives the hub to ask.

    Raises:
        ConfigInvalid: an address that is none, or a key that no header can carry.
    """
    from lmbridge.cli.mcp.following import Following
    from lmbridge.machine.home import home

    url = os.environ.get("OPENAI_BASE_URL", "").strip()
    hub = hub_of(url or LM_STUDIO, os.environ.get("OPENAI_API_KEY", ""), model)
    return Following(home(), lambda: hub, gateway=False if url else None)


def hub_of(url: str, key: str, model: str) -> Hub:
    """A hub with the models of one server.

    Raises:
        ConfigInvalid: naming the variables.
    """
    from lmbridge.core.provider import ProviderContext
    from lmbridge.hub.hub import Hub
    from lmbridge.machine.home import home
    from lmbridge.providers.openai import OpenAIProvider

    try:
        provider = OpenAIProvider.create({"url": url, "key": key}, ProviderContext(home(), NAME))
    except ConfigInvalid as error:
        raise ConfigInvalid("OPENAI_BASE_URL and OPENAI_API_KEY", error.reason, hint=error.hint) from error
    return Hub([provider], default_model=model)


if __name__ == "__main__":
    sys.exit(main())
