from __future__ import annotations

import json

import pytest
from tests.fakes.provider import ScriptedProvider

from lmbridge.core.errors import ModelNotFound
from lmbridge.core.models import ModelInfo
from lmbridge.doors.mcp.shelf import documents, read, uri_of
from lmbridge.hub.hub import Hub

ODD = ModelInfo("owner/a model@q4", "scripted", display_name="A Model")


async def test_each_model_has_an_address_that_leads_back_to_it() -> None:
    async with Hub([ScriptedProvider([ODD])]) as hub:
        (document,) = await documents(hub)
        assert document.uri == "lmbridge://models/scripted:owner/a%20model@q4"
        assert (document.name, document.title) == ("scripted:owner/a model@q4", "A Model")
        found = json.loads(await read(hub, document.uri))
        assert (found["name"], found["loaded"]) == (ODD.id, False)
        await hub.load(ODD.qualified)
        assert json.loads(await read(hub, "lmbridge://models/owner/a%20model@q4"))["loaded"] is True


@pytest.mark.parametrize("uri", ["lmbridge://models/b", "lmbridge://models/", "file:///etc/passwd", ""])
async def test_what_is_no_model_is_not_found(uri: str) -> None:
    async with Hub([ScriptedProvider([ODD])]) as hub:
        with pytest.raises(ModelNotFound):
            await read(hub, uri)


def test_an_address_names_the_provider() -> None:
    assert uri_of(ModelInfo("a", "p")) == "lmbridge://models/p:a"
