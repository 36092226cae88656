"""Codex: `config.toml` in `~/.codex`, or in the folder that `CODEX_HOME` names.

Sources: https://developers.openai.com/codex/config-reference (`model_providers`, `experimental_bearer_token`, and
`wire_api`, whose only value is `responses`) and https://developers.openai.com/codex/mcp (`mcp_servers`). No
provider may be called as one that Codex has itself.
"""

from __future__ import annotations

from pathlib import Path

from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.programs.change import Setting
from lmbridge.machine.programs.places import named_folder
from lmbridge.machine.programs.program import NAME, Link, Part, Program


def _home(places: Places) -> Path:
    return named_folder(places, "CODEX_HOME", places.user_home / ".codex")


def _parts(places: Places, link: Link) -> tuple[Part, ...]:
    file, provider = _home(places) / "config.toml", ("model_providers", NAME)
    values = {"name": NAME, "base_url": link.openai_url, "wire_api": "responses"}
    if link.key:
        values["experimental_bearer_token"] = link.key
    settings = (
        Setting(("model",), link.model),
        Setting(("model_provider",), NAME),
        *(Setting((*provider, name), value, within=provider) for name, value in values.items()),
    )
    server = ("mcp_servers", NAME)
    entry = tuple(Setting((*server, name), value, within=server) for name, value in link.mcp_entry.items())
    at_key = (*provider, "experimental_bearer_token")
    return (
        Part(file, "toml", settings, "models", (*provider, "base_url"), at_key),
        Part(file, "toml", entry, "tools", entry_at=server),
    )


PROGRAM = Program(
    "codex",
    "Codex",
    "https://developers.openai.com/codex/config-reference",
    ("models", "tools"),
    _parts,
    home=_home,
    commands=("codex",),
    wants_model=True,
    after="Its prompts are long: load the model with room for them, `lmbridge load NAME --context-length 32768`.",
)
