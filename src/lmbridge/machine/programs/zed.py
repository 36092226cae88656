"""Zed: `settings.json`, JSON with comments.

Sources: https://zed.dev/docs/configuring-zed (where it lies), https://zed.dev/docs/ai/mcp (`context_servers`),
https://zed.dev/docs/ai/use-a-local-model (LM Studio). Zed finds all models of an LM Studio by itself and needs no
key for one, so lmbridge is given to it as one: it asks LM Studio's older API, `/api/v0`, which the gateway speaks.
"""

from __future__ import annotations

from pathlib import Path

from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.programs.change import Setting
from lmbridge.machine.programs.places import config_folder, xdg_folder
from lmbridge.machine.programs.program import Link, Part, Program, mcp_part


def _home(places: Places) -> Path:
    if places.system == "win32":
        return config_folder(places) / "Zed"
    if places.system == "darwin":
        return places.user_home / ".config" / "zed"
    return xdg_folder(places) / "zed"


def _parts(places: Places, link: Link) -> tuple[Part, ...]:
    file, path = _home(places) / "settings.json", ("language_models", "lmstudio", "api_url")
    models = Part(file, "jsonc", (Setting(path, f"{link.url}/api/v0"),), "models", url_at=path)
    return models, mcp_part(file, "context_servers", link, "jsonc")


PROGRAM = Program(
    "zed",
    "Zed",
    "https://zed.dev/docs/ai/use-a-local-model",
    ("models", "tools"),
    _parts,
    home=_home,
    commands=("zed", "zeditor"),
    takes_key=False,
    after="Zed shows the models below LM Studio. Where the gateway asks for a key, Zed takes it from its own "
    "settings of LM Studio or from the variable LMSTUDIO_API_KEY.",
)
