"""The API's description (OpenAPI 3.1), made from the very structs that requests are decoded into."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import Struct

from lmbridge.core.models import InstanceState, ModelInfo
from lmbridge.doors.gateway.management import (
    DownloadAsk,
    Downloaded,
    Downloading,
    Health,
    LoadAsk,
    Loaded,
    Loading,
    Models,
    ResolveAsk,
    ShutdownAsk,
    Status,
    UnloadAsk,
)
from lmbridge.doors.gateway.openai import ModelList, ModelObject
from lmbridge.doors.gateway.status import STATUS
from lmbridge.wire.openai.requests import ChatBody, CompletionBody, EmbeddingBody

REF: Final = "#/components/schemas/{name}"

Schema = dict[str, Any]


class ErrorDetail(Struct, frozen=True):
    """What went wrong and what to do about it.

    Attributes:
        code: stable name. param: the field of the request that is to blame. hint: what mends it.
    """

    message: str
    type: str
    param: str | None
    code: str
    hint: str


class ErrorBody(Struct, frozen=True):
    """The body of every error, and the data of an error event in a stream."""

    error: ErrorDetail


class ChatCompletion(Struct, frozen=True):
    """An OpenAI chat completion, passed on as the provider wrote it."""


class TextCompletion(Struct, frozen=True):
    """An OpenAI text completion, passed on as the provider wrote it."""


class EmbeddingList(Struct, frozen=True):
    """OpenAI embeddings, passed on as the provider wrote them."""


class Operation(Struct, frozen=True):
    """One method of one path.

    Attributes:
        asks: struct of the body. answers: struct of the answer, or the media type of one that is not JSON.
        events: structs of the events, if the answer may be or is a stream. open: needs no key.
        status: of the answer.
    """

    method: str
    path: str
    summary: str
    asks: type[Struct] | None = None
    answers: type[Struct] | str | None = None
    events: tuple[type[Struct], ...] = ()
    open: bool = False
    status: int = 200


OPERATIONS: Final = (
    Operation("get", "/v1/models", "The models that can be used.", answers=ModelList),
    Operation("get", "/v1/models/{id}", "One model. Its id may contain slashes.", answers=ModelObject),
    Operation(
        "post",
        "/v1/chat/completions",
        "Answer a conversation, whole or streamed.",
        asks=ChatBody,
        answers=ChatCompletion,
        events=(ChatCompletion,),
    ),
    Operation(
        "post",
        "/v1/completions",
        "Continue a text, whole or streamed.",
        asks=CompletionBody,
        answers=TextCompletion,
        events=(TextCompletion,),
    ),
    Operation("post", "/v1/embeddings", "Vectors for texts.", asks=EmbeddingBody, answers=EmbeddingList),
    Operation("get", "/health", "Whether the gateway answers.", answers=Health, open=True),
    Operation("get", "/metrics", "Counters for Prometheus.", answers="text/plain"),
    Operation("get", "/openapi.json", "This document.", answers="application/json", open=True),
    Operation(
        "get", "/", "A page that shows this document, the models and the state.", answers="text/html", open=True
    ),
    Operation("get", "/api/lmbridge/status", "Providers and models in memory.", answers=Status),
    Operation("get", "/api/lmbridge/models", "Every model, with all that is known of it.", answers=Models),
    Operation(
        "post", "/api/lmbridge/models/resolve", "Which model a name means.", asks=ResolveAsk, answers=ModelInfo
    ),
    Operation(
        "post",
        "/api/lmbridge/models/load",
        "Load a model; the events tell how far it is and end with the instance or an error.",
        asks=LoadAsk,
        events=(Loading, Loaded, ErrorBody),
    ),
    Operation(
        "post",
        "/api/lmbridge/models/download",
        "Get a model that is not here yet; the events tell how far it is and end with the model or an error.",
        asks=DownloadAsk,
        events=(Downloading, Downloaded, ErrorBody),
    ),
    Operation(
        "post", "/api/lmbridge/models/unload", "Give a model's memory back.", asks=UnloadAsk, answers=InstanceState
    ),
    Operation(
        "post",
        "/api/lmbridge/shutdown",
        "Stop the gateway. Needs the key in the gateway file, which only its user can read.",
        asks=ShutdownAsk,
        status=202,
    ),
)


@lru_cache(maxsize=1)
def document(version: str) -> bytes:
    """The whole document as JSON."""
    structs = sorted(_structs(), key=lambda struct: struct.__name__)
    _, components = msgspec.json.schema_components(structs, schema_hook=_anything, ref_template=REF)
    paths: dict[str, Schema] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "lmbridge",
                "version": version,
                "summary": "The models on your own computer, usable from everywhere.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
                "description": _description(),
            },
            "servers": [{"url": "/"}],
            "security": [{"bearer": []}, {"apiKey": []}, {}],
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                },
            },
        }
    )


def _structs() -> set[type[Struct]]:
    used: set[type[Struct]] = {ErrorBody}
    for operation in OPERATIONS:
        used.update(operation.events)
        used.update(s for s in (operation.asks, operation.answers) if isinstance(s, type))
    return used


def _anything(kind: type) -> Schema:
    """The schema of `object`, which msgspec has none for: any value."""
    if kind is not object:
        raise NotImplementedError(kind)
    return {"description": "Any value."}  # not {}: msgspec takes that for no answer


def _ref(struct: type[Struct]) -> Schema:
    return {"$ref": REF.format(name=struct.__name__)}


def _operation(operation: Operation) -> Schema:
    answer: Schema = {"description": operation.summary}
    content: Schema = {}
    if isinstance(operation.answers, str):
        content[operation.answers] = {}
    elif operation.answers is not None:
        content["application/json"] = {"schema": _ref(operation.answers)}
    if operation.events:
        content["text/event-stream"] = {"schema": {"anyOf": [_ref(event) for event in operation.events]}}
    if content:
        answer["content"] = content
    made: Schema = {
        "operationId": _name(operation),
        "summary": operation.summary,
        "responses": {
            str(operation.status): answer,
            "default": {"description": "An error.", "content": {"application/json": {"schema": _ref(ErrorBody)}}},
        },
    }
    if operation.asks is not None:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(operation.asks)}}}
    if "{id}" in operation.path:
        made["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
    if operation.open:
        made["security"] = []
    return made


def _name(operation: Operation) -> str:
    words = "".join(c if c.isalnum() else " " for c in operation.path).split() or ["page"]
    return operation.method + "".join(word.capitalize() for word in words)


def _description() -> str:
    rows = "".join(f"\n| `{code}` | {status} |" for code, status in sorted(STATUS.items()))
    return (
        "Every error has the same form, with a stable `code` and a `hint` that says what to do. A stream that "
        f"has begun ends with an error as its last event.\n\n| code | HTTP status |\n|---|---|{rows}"
    )
