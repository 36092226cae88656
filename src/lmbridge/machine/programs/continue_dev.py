"""Continue, in editors and as `cn`: `~/.continue/config.yaml`.

Source: https://docs.continue.dev/reference (`models` with `apiBase`, `mcpServers`; `name`, `version` and `schema`
are required). `CONTINUE_GLOBAL_DIR` names another folder.
"""

from __future__ import annotations

from pathlib import Path

from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.programs.change import Setting
from lmbridge.machine.programs.places import named_folder
from lmbridge.machine.programs.program import NAME, NO_KEY, Link, Part, Program


def _home(places: Places) -> Path:
    return named_folder(places, "CONTINUE_GLOBAL_DIR", places.user_home / ".continue")


def _parts(places: Places, link: Link) -> tuple[Part, ...]:
    file = _home(places) / "config.yaml"
    required = tuple(
        Setting((name,), value, only_if_missing=True)
        for name, value in (("name", "Local"), ("version", "1.0.0"), ("schema", "v1"))
    )
    path = ("models", NAME)
    model = {
        "provider": "openai",
        "model": link.model,
        "apiBase": link.openai_url,
        "apiKey": link.key or NO_KEY,
        "roles": ["chat", "edit", "apply"],
    }
    return (
        Part(file, "yaml", (*required, Setting(path, model)), "models", (*path, "apiBase"), (*path, "apiKey")),
        Part(
            file,
            "yaml",
            (*required, Setting(("mcpServers", NAME), link.mcp_entry)),
            "tools",
            entry_at=("mcpServers", NAME),
        ),
    )


PROGRAM = Program(
    "continue",
    "Continue",
    "https://docs.continue.dev/reference",
    ("models", "tools"),
    _parts,
    home=_home,
    commands=("cn",),
    wants_model=True,
    after="Choose the model named lmbridge in Continue.",
)
