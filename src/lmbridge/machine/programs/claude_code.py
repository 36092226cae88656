"""Claude Code: the variables in its `settings.json`, and our MCP server among those of its user.

Sources, all below https://code.claude.com/docs/en/: `settings` (`env`), `llm-gateway` (the base URL has no `/v1`),
`model-config` (the variables of models), `mcp` (scope `user`: `mcpServers` in `~/.claude.json`). With
`CLAUDE_CONFIG_DIR` both files are in that folder.
"""

from __future__ import annotations

from pathlib import Path

from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.programs.change import Setting
from lmbridge.machine.programs.places import named_folder
from lmbridge.machine.programs.program import NO_KEY, Link, Part, Program, mcp_part

MODELS = (
    "ANTHROPIC_MODEL",
    "ANTHROPIC_DEFAULT_FABLE_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
)
"""Every name that Claude Code asks by stands for a model of its own, which no gateway has: all are set."""


def _home(places: Places) -> Path:
    return named_folder(places, "CLAUDE_CONFIG_DIR", places.user_home / ".claude")


def _parts(places: Places, link: Link) -> tuple[Part, ...]:
    # A key of Anthropic's that the user has would be sent as well, and go before ours: it is none here.
    variables = {
        "ANTHROPIC_BASE_URL": link.url,
        "ANTHROPIC_AUTH_TOKEN": link.key or NO_KEY,
        "ANTHROPIC_API_KEY": "",
    }
    variables |= dict.fromkeys(MODELS, link.model)
    settings = tuple(Setting(("env", name), value) for name, value in variables.items())
    url, key = ("env", "ANTHROPIC_BASE_URL"), ("env", "ANTHROPIC_AUTH_TOKEN")
    own = named_folder(places, "CLAUDE_CONFIG_DIR", places.user_home) / ".claude.json"
    return (
        Part(_home(places) / "settings.json", "json", settings, "models", url, key, "/v1/models"),
        mcp_part(own, "mcpServers", link, "json", type="stdio"),
    )


PROGRAM = Program(
    "claude-code",
    "Claude Code",
    "https://code.claude.com/docs/en/settings",
    ("models", "tools"),
    _parts,
    home=_home,
    commands=("claude",),
    wants_model=True,
    after="Its prompts are long: load the model with room for them, `lmbridge load NAME --context-length 32768`.",
)
