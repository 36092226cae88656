"""Routes: which handler answers a method of a path, and in whose words its errors are."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from lmbridge.doors.gateway.asgi import NO_PARAMS, Request
from lmbridge.doors.gateway.family import OPENAI, Family

Handler: TypeAlias = Callable[[Request], Awaitable[None]]
Scope: TypeAlias = Literal["infer", "models", "admin"]


class Route(Struct, frozen=True):
    """One method of one path.

    Attributes:
        summary: what it does, in a sentence.
        key: `open` for everyone, `key` for holders of a key where one is needed, `session` for the
            gateway file's own key alone.
        scope: what a key must be good for: asking models, changing which are here, or looking after the gateway.
        family: how its errors are written.
        asks: struct of its JSON body; None where it takes none.
        answers: struct of the answer, or those it may be, or the media type of one that is not JSON.
        events: structs of the events, if the answer may be or is a stream. media: content type of that stream.
        status: of the answer.
        query: struct of what may follow a `?` in its address; None where nothing may.
    """

    handler: Handler
    summary: str
    key: Literal["open", "key", "session"] = "key"
    scope: Scope = "infer"
    family: Family = OPENAI
    asks: type[Struct] | None = None
    answers: type[Struct] | tuple[type[Struct], ...] | str | None = None
    events: tuple[type[Struct], ...] = ()
    media: str = "text/event-stream"
    status: int = 200
    query: type[Struct] | None = None


Methods: TypeAlias = Mapping[str, Route]
Paths: TypeAlias = Mapping[str, Methods]

_PLACE: Final = re.compile(r"\{(\w+)\}")


class RouteTable:
    """All routes.

    In a path, `{name}` stands for the rest of it, slashes included, or for one segment where something follows.
    Longer paths come before shorter ones that would take them too.

    Args:
        families: the family of each beginning of a path, for paths that are not there; the longest that fits wins.
    """

    def __init__(self, doors: Sequence[Paths], families: Mapping[str, Family]) -> None:
        self.paths: dict[str, Methods] = {}
        for paths in doors:
            for path, methods in paths.items():
                self.paths[path] = {**self.paths.get(path, {}), **methods}
        patterns = sorted((path for path in self.paths if "{" in path), key=len, reverse=True)
        self._patterns = [(re.compile(_pattern(path)), self.paths[path]) for path in patterns]
        self._families = sorted(families.items(), key=lambda each: len(each[0]), reverse=True)

    def find(self, path: str) -> tuple[Methods | None, Mapping[str, str]]:
        """The methods of a path, and what stands in it for its placeholders; None for a path that is not there."""
        methods = self.paths.get(path)
        if methods is not None:
            return methods, NO_PARAMS
        for pattern, methods in self._patterns:
            if found := pattern.fullmatch(path):
                return methods, found.groupdict()
        return None, NO_PARAMS

    def family(self, path: str) -> Family:
        """In whose words an error on a path is told that is not there."""
        return next((family for begin, family in self._families if path.startswith(begin)), OPENAI)


def _pattern(path: str) -> str:
    pieces = _PLACE.split(path)  # text, name, text, name, …, text
    made = re.escape(pieces[0])
    for name, text in zip(pieces[1::2], pieces[2::2], strict=True):
        made += f"(?P<{name}>[^/]+)" if text else f"(?P<{name}>.+)"
        made += re.escape(text)
    return made
