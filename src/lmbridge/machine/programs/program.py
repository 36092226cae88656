"""What is known of a program: where its settings lie, and what is written into them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

from lmbridge.core.errors import InvalidRequest
from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.programs import values
from lmbridge.machine.programs.change import Setting
from lmbridge.machine.programs.languages import LanguageName

Use: TypeAlias = Literal["models", "tools"]
"""What a program gets: models to ask, over HTTP; tools that ask models, over MCP."""

NAME: Final = "lmbridge"
"""How our entries are called in other programs' settings."""

NO_KEY: Final = "not-needed"
"""For programs that insist on a key where the gateway asks for none."""


class Link(Struct, frozen=True):
    """What programs are told.

    Attributes:
        url: of the gateway, without `/v1` and a final slash. key: "" where none is needed.
        model: the one to ask. command: runs our MCP server; its first part is a path.
        environ: the variables that it needs.
    """

    url: str = ""
    key: str = ""
    model: str = ""
    command: tuple[str, ...] = ()
    environ: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"Link({self.url!r}, model={self.model!r})"  # the key is nobody's business

    @property
    def openai_url(self) -> str:
        """The base URL for clients of OpenAI's API."""
        return f"{self.url}/v1"

    @property
    def mcp_entry(self) -> dict[str, object]:
        """Our MCP server in the form that most programs share: `command`, `args`, `env`."""
        entry: dict[str, object] = {"command": self.command[0], "args": list(self.command[1:])}
        return {**entry, "env": dict(self.environ)} if self.environ else entry


class Part(Struct, frozen=True):
    """One file of a program.

    Attributes:
        file: where it lies. settings: what is written into it.
        use: what the program gets by that.
        url_at, key_at: where the URL and the key are in it, to try them out as they are written.
        lists: what follows that URL where the models are listed.
        entry_at: where the MCP server's entry is in it.
    """

    file: Path
    language: LanguageName
    settings: tuple[Setting, ...]
    use: Use
    url_at: values.Path = ()
    key_at: values.Path = ()
    lists: str = "/models"
    entry_at: values.Path = ()


class Program(Struct, frozen=True):
    """A program that can be connected.

    Attributes:
        id: its name in commands. name: as people call it. source: where its makers describe these settings.
        uses: what it can get. parts: its files and what goes into them.
        home: a folder that is there where the program was used. commands: what it is run by.
        wants_model: whether a model must be named in its settings.
        takes_key: whether a key can be put there.
        after: what is left to do for a person.
    """

    id: str
    name: str
    source: str
    uses: tuple[Use, ...]
    parts: Callable[[Places, Link], tuple[Part, ...]]
    home: Callable[[Places], Path | None]
    commands: tuple[str, ...] = ()
    wants_model: bool = False
    takes_key: bool = True
    after: str = ""


def mcp_part(file: Path, table: str, link: Link, language: LanguageName, **more: str) -> Part:
    """The entry of our MCP server in a table of servers, as most programs have one."""
    path = (table, NAME)
    return Part(file, language, (Setting(path, {**more, **link.mcp_entry}),), "tools", entry_at=path)


_SPACES: Final = re.compile(r"[\s\x00-\x1f\x7f]")


def checked_url(text: str) -> str:
    """The URL of a gateway as `Link` has it, from what a person wrote; a final `/v1` is dropped.

    Raises:
        InvalidRequest: it is no URL of a server.
    """
    url = text.rstrip("/").removesuffix("/v1").rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or _SPACES.search(url) or parts.query or parts.fragment or parts.username is not None:
        raise InvalidRequest(
            f"{text[:200]!r} is not the URL of a gateway.",
            hint="It looks like http://127.0.0.1:1235, and holds no key.",
            param="url",
        )
    return url


def checked_text(text: str, what: str) -> str:
    """A name or a key that can stand in settings.

    Raises:
        InvalidRequest: it cannot.
    """
    if not text or not text.isprintable():
        raise InvalidRequest(f"{text[:100]!r} cannot be a {what}.", param=what)
    return text
