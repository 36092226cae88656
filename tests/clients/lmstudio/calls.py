"""Every call of the client, with a check that its answer is right: not merely that there is one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from msgspec import Struct
from tests.fakes.lmstudio import FakeLMStudio

from lmbridge.clients.lmstudio import LMStudioClient
from lmbridge.clients.lmstudio.answering import AnswerStream
from lmbridge.clients.lmstudio.identity import GREETING
from lmbridge.core.events import Finished, TextDelta
from lmbridge.core.requests import ChatRequest, EmbedRequest

CHAT, THINKER = "qwen/qwen3-4b-2507", "qwen/qwen3-1.7b"
EMBEDDING, MISSING = "text-embedding-nomic-embed-text-v1.5", "openai/gpt-oss-20b"
TEXT = "grüß 😀 dich, bitte"
REQUEST = ChatRequest(CHAT, TEXT)

Run: TypeAlias = Callable[[LMStudioClient, FakeLMStudio], Awaitable[None]]


class Call(Struct):
    """A call. *route*: of the request that a fault strikes, or its beginning."""

    run: Run
    route: str


async def check(client: LMStudioClient, fake: FakeLMStudio) -> None:
    await client.check()


async def fetch_models(client: LMStudioClient, fake: FakeLMStudio) -> None:
    listed = {model.key for model in await client.fetch_models()}
    vanished = any(each.fault == "vanishes" for each in fake.faults.injected)
    assert listed == (set() if vanished else {model.key for model in fake.models})


async def resolve(client: LMStudioClient, fake: FakeLMStudio) -> None:
    assert (await client.resolve(CHAT.upper())).key == CHAT


async def load_model(client: LMStudioClient, fake: FakeLMStudio) -> None:
    instance = await client.load_model(THINKER)
    assert [each.id for each in fake.runtime.loaded() if each.model.key == THINKER] == [instance.id]


async def unload_model(client: LMStudioClient, fake: FakeLMStudio) -> None:
    assert await client.unload_model(CHAT) == (CHAT,)
    assert [each.id for each in fake.runtime.loaded()] == [EMBEDDING]


async def download_model(client: LMStudioClient, fake: FakeLMStudio) -> None:
    assert (await client.download_model(MISSING)).state == "completed"
    assert fake.runtime.on_disk(MISSING) is not None


async def ensure_ready(client: LMStudioClient, fake: FakeLMStudio) -> None:
    instance = await client.ensure_ready(MISSING, download=True)
    assert fake.runtime.find(instance.id) is not None
    assert instance.id == MISSING


async def ensure_ready_in_background(client: LMStudioClient, fake: FakeLMStudio) -> None:
    assert (await client.ensure_ready_in_background(THINKER).wait()).id == THINKER
    assert fake.runtime.find(THINKER) is not None


async def chat(client: LMStudioClient, fake: FakeLMStudio) -> None:
    await _streamed(client.chat(REQUEST))


async def answer(client: LMStudioClient, fake: FakeLMStudio) -> None:
    answer = await client.answer(REQUEST)
    assert (answer.text, answer.finish.reason) == (f"You said: {TEXT} ", "stop")


async def complete(client: LMStudioClient, fake: FakeLMStudio) -> None:
    await _streamed(client.complete(TEXT, model=CHAT))


async def respond(client: LMStudioClient, fake: FakeLMStudio) -> None:
    await _streamed(client.respond(REQUEST))


async def native_chat(client: LMStudioClient, fake: FakeLMStudio) -> None:
    await _streamed(client.native_chat(TEXT, model=CHAT))


async def embed(client: LMStudioClient, fake: FakeLMStudio) -> None:
    made = await client.embed(EmbedRequest(EMBEDDING, ("one two", "three")))
    assert [vector[0] for vector in made.vectors] == [2.0, 1.0]


async def _streamed(stream: AnswerStream) -> None:  # type: ignore[type-arg]
    async with stream as events:
        heard = [event async for event in events]
    assert "".join(event.text for event in heard if isinstance(event, TextDelta)) == f"You said: {TEXT} "
    assert [event.reason for event in heard if isinstance(event, Finished)] == ["stop"]


LIST = "GET /api/v1/models"

CALLS = {
    "check": Call(check, LIST),
    "check, greeting": Call(check, f"GET {GREETING}"),
    "fetch_models": Call(fetch_models, LIST),
    "resolve": Call(resolve, LIST),
    "load_model": Call(load_model, "POST /api/v1/models/load"),
    "unload_model": Call(unload_model, "POST /api/v1/models/unload"),
    "download_model": Call(download_model, "POST /api/v1/models/download"),
    "download_model, status": Call(download_model, "GET /api/v1/models/download/status"),
    "ensure_ready": Call(ensure_ready, "POST /api/v1/models"),
    "ensure_ready_in_background": Call(ensure_ready_in_background, "POST /api/v1/models/load"),
    "chat": Call(chat, "POST /v1/chat/completions"),
    "answer": Call(answer, "POST /v1/chat/completions"),
    "complete": Call(complete, "POST /v1/completions"),
    "respond": Call(respond, "POST /v1/responses"),
    "native_chat": Call(native_chat, "POST /api/v1/chat"),
    "embed": Call(embed, "POST /v1/embeddings"),
}

# How version 0.3 is asked the same; unloading and downloading take `lms` there.
OLDER_LIST = "GET /api/v0/models"
OLDER_CALLS = {
    "check": Call(check, OLDER_LIST),
    "fetch_models": Call(fetch_models, OLDER_LIST),
    "resolve": Call(resolve, OLDER_LIST),
    "load_model": Call(load_model, "POST /v1/responses"),
    **{name: CALLS[name] for name in ("chat", "answer", "complete", "respond", "embed")},
}
