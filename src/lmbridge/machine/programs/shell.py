"""The shell: the variables that the packages of OpenAI, Anthropic and Ollama read, in its profile.

Sources: https://github.com/openai/openai-python (`OPENAI_BASE_URL`, `OPENAI_API_KEY`),
https://github.com/anthropics/anthropic-sdk-python (`ANTHROPIC_BASE_URL`, `ANTHROPIC_AUTH_TOKEN`),
https://github.com/ollama/ollama-python (`OLLAMA_HOST`, `OLLAMA_API_KEY`). Older programs, and aider
(https://aider.chat/docs/llms/openai-compat.html), go by `OPENAI_API_BASE`.
"""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Final

from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.programs.block import Dialect
from lmbridge.machine.programs.change import Setting
from lmbridge.machine.programs.places import named_folder, xdg_folder
from lmbridge.machine.programs.program import NO_KEY, Link, Part, Program

_POWERSHELL: Final = "Microsoft.PowerShell_profile.ps1"


def variables(link: Link) -> dict[str, str]:
    """The variables and their values."""
    key = link.key or NO_KEY
    return {
        "OPENAI_BASE_URL": link.openai_url,
        "OPENAI_API_BASE": link.openai_url,
        "OPENAI_API_KEY": key,
        "ANTHROPIC_BASE_URL": link.url,
        "ANTHROPIC_AUTH_TOKEN": key,
        "ANTHROPIC_API_KEY": "",  # the user's own would be sent as well, and go before ours
        "OLLAMA_HOST": link.url,
        **({"OLLAMA_API_KEY": link.key} if link.key else {}),
    }


def dialect(places: Places) -> Dialect:
    """What the user's shell reads."""
    if places.system == "win32":
        return "powershell"
    return "fish" if _shell(places) == "fish" else "sh"


def profile(places: Places) -> Path:
    """The file that the user's shell reads when it starts.

    Sources: the manuals of bash ("Bash Startup Files"), of zsh ("Startup/Shutdown Files"), of fish
    ("Configuration") and of PowerShell (`about_Profiles`).
    """
    if places.system == "win32":
        return places.user_home / "Documents" / "PowerShell" / _POWERSHELL
    shell = _shell(places)
    if shell == "fish":
        return xdg_folder(places) / "fish" / "config.fish"
    if shell == "zsh":
        return named_folder(places, "ZDOTDIR", places.user_home) / ".zshrc"
    if shell == "bash":  # Terminal on macOS starts login shells, which do not read the other file
        return places.user_home / (".bash_profile" if places.system == "darwin" else ".bashrc")
    return places.user_home / ".profile"


def _shell(places: Places) -> str:
    return PurePath(places.environ.get("SHELL", "")).name


def _parts(places: Places, link: Link) -> tuple[Part, ...]:
    settings = tuple(Setting((name,), value) for name, value in variables(link).items())
    url, key = ("OPENAI_BASE_URL",), ("OPENAI_API_KEY",)
    return (Part(profile(places), dialect(places), settings, "models", url, key),)


PROGRAM = Program(
    "shell",
    "Shell (OpenAI, Anthropic, Ollama)",
    "https://github.com/openai/openai-python",
    ("models",),
    _parts,
    home=lambda places: places.user_home,
    after="Open a new terminal: the profile is read when a shell starts.",
)
