"""The routes of Ollama's API, and those of its making of models, which are refused by name."""

from __future__ import annotations

from typing import Final, NoReturn

from lmbridge.core.errors import InvalidRequest
from lmbridge.doors.gateway.asgi import Request
from lmbridge.doors.gateway.ollama.asking import Asking
from lmbridge.doors.gateway.ollama.family import OLLAMA
from lmbridge.doors.gateway.ollama.looking import Looking
from lmbridge.doors.gateway.ollama.pulling import Pulls
from lmbridge.doors.gateway.routes import Handler, Paths, Route
from lmbridge.doors.gateway.settings import GatewaySettings
from lmbridge.hub.hub import Hub
from lmbridge.wire.ollama.answers import NDJSON
from lmbridge.wire.ollama.models import Running, Shown, Tags, Version
from lmbridge.wire.ollama.pulling import Pulling, Status
from lmbridge.wire.ollama.requests import ChatBody, EmbedBody, EmbeddingsBody, GenerateBody, PullBody, ShowBody
from lmbridge.wire.ollama.shapes import (
    ChatEnd,
    ChatLine,
    ChatLoaded,
    Embedded,
    EmbeddedOne,
    GenerateEnd,
    GenerateLine,
    GenerateLoaded,
)

_LINES: Final = NDJSON.decode()

NOT_HERE: Final = {
    "/api/create": "Models are not made here. Put a GGUF file into a folder of models, or get one by /api/pull.",
    "/api/copy": "Models have no copies here. Ask for it by the name it has.",
    "/api/push": "Models are not published from here.",
    "/api/delete": "Models are not deleted from here. Remove its file: `lmbridge ls --json` shows where it is.",
    "/api/blobs/{digest}": "Files are not taken in here. Put a GGUF file into a folder of models.",
}
"""What Ollama's API can do besides, and what to do about it here."""


class OllamaRoutes:
    """What stands directly below `/api/`.

    Args:
        version: of lmbridge.
    """

    def __init__(self, hub: Hub, settings: GatewaySettings, version: str) -> None:
        self._asking, self._pulls = Asking(hub, settings), Pulls(hub, settings)
        self._looking = Looking(hub, settings, version)

    async def aclose(self) -> None:
        """End what goes on after its request."""
        await self._asking.aclose()

    def routes(self) -> Paths:
        """What is served here."""
        look = self._looking
        return {
            "/api/version": {
                "GET": Route(
                    look.version, "The version of the API, and of lmbridge.", family=OLLAMA, answers=Version
                )
            },
            "/api/tags": {"GET": Route(look.tags, "The models that can be used.", family=OLLAMA, answers=Tags)},
            "/api/ps": {"GET": Route(look.ps, "The models in memory.", family=OLLAMA, answers=Running)},
            "/api/show": {
                "POST": Route(look.show, "What is known of a model.", family=OLLAMA, asks=ShowBody, answers=Shown)
            },
            **self._asked(),
            "/api/pull": {
                "POST": Route(
                    self._pulls.pull,
                    "Get a model that is not here yet; the lines tell how far it is.",
                    scope="models",
                    family=OLLAMA,
                    asks=PullBody,
                    answers=Status,
                    events=(Status, Pulling),
                    media=_LINES,
                )
            },
            **_refused(),
        }

    def _asked(self) -> Paths:
        asking = self._asking
        return {
            "/api/chat": {
                "POST": Route(
                    asking.chat,
                    "Answer a conversation, line by line unless `stream` is false; without one, load the model.",
                    family=OLLAMA,
                    asks=ChatBody,
                    answers=(ChatEnd, ChatLoaded),
                    events=(ChatLine, ChatEnd),
                    media=_LINES,
                )
            },
            "/api/generate": {
                "POST": Route(
                    asking.generate,
                    "Answer a prompt, line by line unless `stream` is false; without a prompt, load the model.",
                    family=OLLAMA,
                    asks=GenerateBody,
                    answers=(GenerateEnd, GenerateLoaded),
                    events=(GenerateLine, GenerateEnd),
                    media=_LINES,
                )
            },
            "/api/embed": {
                "POST": Route(
                    asking.embed, "A vector for each text.", family=OLLAMA, asks=EmbedBody, answers=Embedded
                )
            },
            "/api/embeddings": {
                "POST": Route(
                    asking.embeddings,
                    "A vector for a text; the form before /api/embed.",
                    family=OLLAMA,
                    asks=EmbeddingsBody,
                    answers=EmbeddedOne,
                )
            },
        }


def _refused() -> Paths:
    """Routes that say why they are none."""
    return {
        path: {"DELETE" if path == "/api/delete" else "POST": Route(_refusing(words), words, family=OLLAMA)}
        for path, words in NOT_HERE.items()
    }


def _refusing(words: str) -> Handler:
    async def refuse(request: Request) -> NoReturn:
        message, _, hint = words.partition(". ")
        raise InvalidRequest(f"{message.rstrip('.')}.", hint=hint)

    return refuse
