from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
from tests.doors.gateway.asking import Running

from lmbridge.core.errors import ModelNotFound
from lmbridge.doors.gateway.openapi import OPERATIONS, ErrorBody, document
from lmbridge.doors.gateway.status import STATUS
from lmbridge.wire.openai.errors import error_body
from lmbridge.wire.openai.requests import ChatBody

DOCUMENT = json.loads(document("1.2.3"))


async def test_every_route_is_described_and_nothing_else(door: Running) -> None:
    routes = {(p, m.lower(), r.key) for p, methods in door.gateway.routes.items() for m, r in methods.items()}
    assert {(path, method) for path, method, _ in routes} == {(o.path, o.method) for o in OPERATIONS}
    assert {(path, method) for path, method, key in routes if key == "open"} == {
        (o.path, o.method) for o in OPERATIONS if o.open
    }
    assert {path: set(item) for path, item in DOCUMENT["paths"].items()} == {
        path: {m.lower() for m in methods} for path, methods in door.gateway.routes.items()
    }
    assert (await door.get("/openapi.json")).json["info"]["version"] == door.gateway.version  # type: ignore[index]


def test_the_document_has_the_parts_that_openapi_requires() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert DOCUMENT["info"]["title"]
    assert DOCUMENT["info"]["version"] == "1.2.3"
    names = []
    for item in DOCUMENT["paths"].values():
        for operation in item.values():
            names.append(operation["operationId"])
            assert all(answer["description"] for answer in operation["responses"].values())
            for parameter in operation.get("parameters", []):
                assert parameter["in"] == "path"
                assert parameter["required"] is True
    assert len(names) == len(set(names))


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        _, *steps = reference.split("/")
        found = DOCUMENT
        for step in steps:
            found = found[step]
        assert found


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_what_is_described_is_what_is_decoded() -> None:
    described = DOCUMENT["components"]["schemas"]["ChatBody"]
    assert set(described["properties"]) == set(ChatBody.__struct_fields__)
    assert described["additionalProperties"] is False
    assert described["required"] == ["messages"]


def test_errors_are_as_described() -> None:
    told = msgspec.json.decode(error_body(ModelNotFound("a", ["b"])), type=ErrorBody)
    assert told.error.code == "model_not_found"
    assert all(f"`{code}`" in DOCUMENT["info"]["description"] for code in STATUS)
