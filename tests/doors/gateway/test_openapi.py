from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.doors.gateway.asking import Running

from lmbridge.core.errors import ModelNotFound
from lmbridge.doors.gateway import Gateway
from lmbridge.doors.gateway.family import ErrorBody
from lmbridge.doors.gateway.status import STATUS
from lmbridge.wire.openai.errors import error_body
from lmbridge.wire.openai.requests import ChatBody


@pytest.fixture
async def description(door: Running) -> dict[str, Any]:
    return (await door.get("/openapi.json")).json


async def test_every_route_is_described_and_nothing_else(door: Running, description: dict[str, Any]) -> None:
    assert {path: set(item) for path, item in description["paths"].items()} == {
        path: {m.lower() for m in methods} for path, methods in door.gateway.routes.items()
    }
    for path, methods in door.gateway.routes.items():
        for method, route in methods.items():
            told = description["paths"][path][method.lower()]
            assert told["summary"].endswith(".")
            assert ("requestBody" in told) == (route.asks is not None)
            assert (told.get("security") == []) == (route.key == "open")
    assert description["info"]["version"] == door.gateway.version


async def test_the_document_has_the_parts_that_openapi_requires(description: dict[str, Any]) -> None:
    assert description["openapi"].startswith("3.1.")
    assert description["info"]["title"]
    assert description["info"]["version"]
    names = []
    for item in description["paths"].values():
        for operation in item.values():
            names.append(operation["operationId"])
            assert all(answer["description"] for answer in operation["responses"].values())
            for parameter in operation.get("parameters", []):
                assert parameter["required"] is (parameter["in"] == "path")
                assert "null" not in str(parameter["schema"])
    assert len(names) == len(set(names))


async def test_every_reference_leads_somewhere(description: dict[str, Any]) -> None:
    for reference in references(description):
        _, *steps = reference.split("/")
        found = description
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


async def test_what_is_described_is_what_is_decoded(description: dict[str, Any]) -> None:
    asked = description["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]
    described = description["components"]["schemas"][asked["schema"]["$ref"].rpartition("/")[2]]
    assert set(described["properties"]) == set(ChatBody.__struct_fields__)
    assert described["additionalProperties"] is False
    assert described["required"] == ["messages"]


async def test_what_may_follow_an_address_is_described_as_its_route_reads_it(
    door: Running, description: dict[str, Any]
) -> None:
    told: dict[str, set[str]] = {}
    for path, methods in door.gateway.routes.items():
        for method, route in methods.items():
            read = re.findall(r"\basked\((\w+)\)", inspect.getsource(route.handler))
            assert read == ([] if route.query is None else [route.query.__name__]), path
            parameters = description["paths"][path][method.lower()].get("parameters", [])
            names = {each["name"] for each in parameters if each["in"] == "query"}
            assert names == set(() if route.query is None else route.query.__struct_encode_fields__)
            if names:
                told[path] = names
    assert told == {
        "/api/lmbridge/usage": {"by", "since", "until", "model"},
        "/v1/responses/{id}": {"stream", "starting_after"},
        "/v1/responses/{id}/input_items": {"order", "after", "limit"},
    }
    folder = Path(inspect.getfile(Gateway)).parent
    reading = {file.name for file in folder.rglob("*.py") if "query_string" in file.read_text("utf-8")}
    assert reading == {"asgi.py", "protocol.py"}  # nobody reads an address in another way


async def test_errors_are_as_described(description: dict[str, Any]) -> None:
    told = msgspec.json.decode(error_body(ModelNotFound("a", ["b"])), type=ErrorBody)
    assert told.error.code == "model_not_found"
    assert all(f"`{code}`" in description["info"]["description"] for code in STATUS)
