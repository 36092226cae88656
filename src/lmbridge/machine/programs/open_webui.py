"""Open WebUI: variables for its first start, in a file of `NAME=value` such as Docker's `--env-file` reads.

Source: https://docs.openwebui.com/reference/env-configuration (`OPENAI_API_BASE_URLS`, `OPENAI_API_KEYS`). What it
was first started with stays in its database: later the connection is added in its settings, not by variables.
"""

from __future__ import annotations

from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.programs.change import Setting
from lmbridge.machine.programs.program import NO_KEY, Link, Part, Program


def variables(link: Link) -> dict[str, str]:
    """The variables and their values."""
    return {
        "ENABLE_OPENAI_API": "true",
        "OPENAI_API_BASE_URLS": link.openai_url,
        "OPENAI_API_KEYS": link.key or NO_KEY,
    }


def _parts(places: Places, link: Link) -> tuple[Part, ...]:
    settings = tuple(Setting((name,), value) for name, value in variables(link).items())
    url, key = ("OPENAI_API_BASE_URLS",), ("OPENAI_API_KEYS",)
    return (Part(places.user_home / "open-webui.env", "env", settings, "models", url, key),)


PROGRAM = Program(
    "open-webui",
    "Open WebUI",
    "https://docs.openwebui.com/reference/env-configuration",
    ("models",),
    _parts,
    home=lambda places: None,
    commands=("open-webui",),
    after="The variables count when Open WebUI starts for the first time; later the same URL and key are "
    "added in its settings, Admin Panel, Connections. In Docker, this computer is host.docker.internal.",
)
