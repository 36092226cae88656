"""What we write, read by the official `openai` package."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest
from tests.fakes.byte_server import ByteServer, always, answer, read_request
from tests.fakes.openai_server import fake_openai

from lmbridge.core.errors import BridgeError, BrokenAnswer, ContextExceeded, ModelNotFound, Unauthorized
from lmbridge.wire.openai.errors import error_body, error_event

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
CHUNK = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}], "model": "m", "id": "x"}


def client(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)


async def test_an_error_event_is_raised_in_the_middle_of_a_stream() -> None:
    error = BrokenAnswer("p", "the stream ended before the answer did")
    stream = HEAD + b"data: " + json.dumps(CHUNK).encode() + b"\n\n" + error_event(error)
    seen: list[str | None] = []
    async with ByteServer(always(stream, keep=False)) as server, client(server.url) as asking:
        answering = await asking.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        with pytest.raises(openai.APIError, match="ended before the answer did") as caught:
            seen.extend([chunk.choices[0].delta.content async for chunk in answering])
    assert caught.value.code == "broken_answer"
    body = caught.value.body
    assert isinstance(body, dict)
    assert body["hint"] == "Send the request again."


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (404, ModelNotFound("x", ["xy"]), openai.NotFoundError),
        (401, Unauthorized(), openai.AuthenticationError),
        (400, ContextExceeded(9, 5), openai.BadRequestError),
        (502, BrokenAnswer("p", "cut"), openai.InternalServerError),
    ],
)
async def test_an_error_body_is_raised_with_its_facts(
    status: int, error: BridgeError, kind: type[openai.APIStatusError]
) -> None:
    reply = answer(error_body(error), "content-type: application/json", status=f"{status} X")
    async with ByteServer(always(reply)) as server, client(server.url) as asking:
        with pytest.raises(kind) as caught:
            await asking.models.list()
    assert (caught.value.code, caught.value.param) == (error.code, error.param)
    assert error.message in str(caught.value)


async def test_the_fake_server_is_one_that_the_official_client_understands() -> None:
    async with fake_openai() as server, client(server.url) as asking:
        assert [model.id async for model in await asking.models.list()] == ["fake-chat", "fake-embed"]
        whole = await asking.chat.completions.create(
            model="fake-chat", messages=[{"role": "user", "content": "hi"}], n=2
        )
        assert [choice.message.content for choice in whole.choices] == ["You said: hi "] * 2
        stream = await asking.chat.completions.create(
            model="fake-chat", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        assert "".join([c.choices[0].delta.content or "" async for c in stream]) == "You said: hi "
        coded = await asking.embeddings.create(model="fake-embed", input=["a", "bb"])  # asks for base64 itself
        plain = await asking.embeddings.create(model="fake-embed", input=["a", "bb"], encoding_format="float")
        for vectors in (coded, plain):
            assert [item.embedding[0] for item in vectors.data] == [1.0, 2.0]


async def test_what_the_official_client_writes_is_what_the_tables_know() -> None:
    """Every field of the package's own list of parameters has a decision of ours."""
    from openai.types import completion_create_params, embedding_create_params
    from openai.types.chat import completion_create_params as chat_params

    from lmbridge.wire.openai.requests import ChatBody, CompletionBody, EmbeddingBody

    for params, body in (
        (chat_params.CompletionCreateParamsBase, ChatBody),
        (completion_create_params.CompletionCreateParamsBase, CompletionBody),
        (embedding_create_params.EmbeddingCreateParams, EmbeddingBody),
    ):
        assert set(params.__annotations__) <= set(body.__struct_fields__), body


async def test_no_request_of_the_official_client_carries_a_field_unasked() -> None:
    bodies: list[dict[str, object]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bodies.append(json.loads((await read_request(reader))[1]))
        writer.write(answer(b'{"choices": []}', "content-type: application/json"))

    async with ByteServer(handle) as server, client(server.url) as asking:
        await asking.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert bodies[0].keys() == {"model", "messages"}
