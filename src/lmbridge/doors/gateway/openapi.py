"""The API's description (OpenAPI 3.1), made from the very structs that requests are decoded into."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from lmbridge.doors.gateway.routes import Paths, Route
from lmbridge.doors.gateway.status import STATUS

REF: Final = "#/components/schemas/{name}"

Schema = dict[str, Any]


def document(version: str, routes: Paths) -> bytes:
    """The whole document as JSON."""
    structs = sorted(_structs(routes), key=lambda struct: (struct.__name__, struct.__module__))
    # Two APIs may have structs of one name: only msgspec knows what it calls them then.
    told, components = msgspec.json.schema_components(structs, schema_hook=_anything, ref_template=REF)
    refs = dict(zip(structs, told, strict=True))
    paths = {
        path: {method.lower(): _operation(path, method, route, refs) for method, route in methods.items()}
        for path, methods in routes.items()
    }
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


def _structs(routes: Paths) -> set[type[Struct]]:
    used: set[type[Struct]] = set()
    for methods in routes.values():
        for route in methods.values():
            used.update((*route.events, *_answers(route), route.family.shape))
            if route.asks is not None:
                used.add(route.asks)
    return used


def _answers(route: Route) -> tuple[type[Struct], ...]:
    """What an answer in JSON may be."""
    if isinstance(route.answers, tuple):
        return route.answers
    return () if route.answers is None or isinstance(route.answers, str) else (route.answers,)


def _anything(kind: type) -> Schema:
    """The schema of `object`, which msgspec has none for: any value."""
    if kind is not object:
        raise NotImplementedError(kind)
    return {"description": "Any value."}  # not {}: msgspec takes that for no answer


def _operation(path: str, method: str, route: Route, refs: Mapping[type[Struct], Schema]) -> Schema:
    answer: Schema = {"description": route.summary}
    content: Schema = {}
    if isinstance(route.answers, str):
        content[route.answers] = {}
    elif route.answers is not None:
        content["application/json"] = {"schema": _one_of(_answers(route), refs)}
    if route.events:
        content[route.media] = {"schema": _one_of(route.events, refs)}
    if content:
        answer["content"] = content
    wrong = {"application/json": {"schema": refs[route.family.shape]}}
    made: Schema = {
        "operationId": _name(path, method),
        "summary": route.summary,
        "responses": {str(route.status): answer, "default": {"description": "An error.", "content": wrong}},
    }
    if route.asks is not None:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": refs[route.asks]}}}
    if parameters := [*_in_path(path), *_in_query(route.query)]:
        made["parameters"] = parameters
    if route.key == "open":
        made["security"] = []
    return made


def _in_path(path: str) -> list[Schema]:
    names = re.findall(r"\{(\w+)\}", path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _in_query(shape: type[Struct] | None) -> list[Schema]:
    if shape is None:
        return []
    (root,), parts = msgspec.json.schema_components([shape], ref_template="{name}")
    told = parts[root["$ref"]]["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": _never_null(schema)}
        for name, schema in told.items()
    ]


def _never_null(schema: Schema) -> Schema:
    """The schema of what may be left out, and can be no `null`: an address has none."""
    if "anyOf" not in schema:
        return schema
    (choice,) = (each for each in schema["anyOf"] if each != {"type": "null"})
    return {**{key: value for key, value in schema.items() if key not in ("anyOf", "default")}, **choice}


def _one_of(structs: Sequence[type[Struct]], refs: Mapping[type[Struct], Schema]) -> Schema:
    return refs[structs[0]] if len(structs) == 1 else {"anyOf": [refs[struct] for struct in structs]}


def _name(path: str, method: str) -> str:
    words = "".join(c if c.isalnum() else " " for c in path).split() or ["page"]
    return method.lower() + "".join(word.capitalize() for word in words)


def _description() -> str:
    rows = "".join(f"\n| `{code}` | {status} |" for code, status in sorted(STATUS.items()))
    return (
        "Every error has the same form, with a stable `code` and a `hint` that says what to do. A stream that "
        f"has begun ends with an error as its last event.\n\n| code | HTTP status |\n|---|---|{rows}"
    )
