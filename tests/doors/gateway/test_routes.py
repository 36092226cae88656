"""Which route a path leads to."""

from __future__ import annotations

import pytest

from lmbridge.core.errors import BridgeError
from lmbridge.doors.gateway.asgi import Request
from lmbridge.doors.gateway.family import OPENAI, Family
from lmbridge.doors.gateway.routes import Route, RouteTable


async def nobody(request: Request) -> None:
    raise AssertionError


def write(error: BridgeError) -> bytes:
    return error.code.encode()


OTHER = Family("other", write, write)
NEWER = Family("newer", write, write)
HERE = Route(nobody, "Nobody is here.")

TABLE = RouteTable(
    [
        {"/v1/things": {"POST": HERE}, "/v1/things/{id}": {"GET": HERE}},
        {"/v1/things/{id}": {"DELETE": HERE}, "/v1/things/{id}/cancel": {"POST": HERE}},
        {"/v1/models/{id}": {"GET": HERE}},
    ],
    {"/api": OTHER, "/api/v1": NEWER},
)


@pytest.mark.parametrize(
    ("path", "methods", "params"),
    [
        ("/v1/things", ["POST"], {}),
        ("/v1/things/x", ["GET", "DELETE"], {"id": "x"}),
        ("/v1/things/x/cancel", ["POST"], {"id": "x"}),
        ("/v1/things/x/y/cancel", ["GET", "DELETE"], {"id": "x/y/cancel"}),
        ("/v1/models/owner/name", ["GET"], {"id": "owner/name"}),
        ("/v1/models/", None, {}),
        ("/v1/thingsx", None, {}),
        ("/v1/things/", None, {}),
    ],
)
def test_a_path_leads_to_its_methods(path: str, methods: list[str] | None, params: dict[str, str]) -> None:
    found, given = TABLE.find(path)
    assert (None if found is None else list(found)) == methods
    assert dict(given) == params


@pytest.mark.parametrize(
    ("path", "family"), [("/api/v1/chat", NEWER), ("/api/tags", OTHER), ("/v1/nothing", OPENAI), ("/", OPENAI)]
)
def test_a_path_that_is_not_there_is_told_in_the_words_of_its_neighbours(path: str, family: Family) -> None:
    assert TABLE.family(path) is family


async def test_the_routes_are_what_they_are_for() -> None:
    with pytest.raises(AssertionError):
        await HERE.handler(None)  # type: ignore[arg-type]
    assert OTHER.body(BridgeError("no")) == b"internal_error"
