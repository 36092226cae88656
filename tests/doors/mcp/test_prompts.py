"""Prompts of the server, asked by the official client: in both ways that hosts speak, over both transports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mcp_types as types
import pytest
from mcp import Client, MCPError
from msgspec.structs import replace
from tests.doors.mcp.asking import MODES, OFFER, connected
from tests.doors.mcp.test_http import served

from lmbridge.core.errors import ConfigInvalid, InvalidRequest
from lmbridge.doors.mcp.codes import INTERNAL, INVALID_PARAMS
from lmbridge.doors.mcp.prompts import Prompt
from lmbridge.providers.openai import OpenAIProvider

modes = pytest.mark.parametrize("mode", MODES)
REVIEW = Prompt("review", "Short and strict", "Say what is wrong.")


class Written:
    """One prompt, and a file that is broken."""

    def all(self) -> Sequence[Prompt]:
        return [REVIEW]

    def get(self, name: str) -> Prompt:
        if name == "broken":
            raise ConfigInvalid("broken.toml, line 3", "is not TOML")
        if name != "review":
            raise InvalidRequest(f"There is no preset {name!r}.", param="preset")
        return REVIEW


WITH_PROMPTS = replace(OFFER, prompts=Written())


async def check(client: Client) -> None:
    (listed,) = (await client.list_prompts()).prompts
    assert (listed.name, listed.description) == ("review", "Short and strict")
    assert [(one.name, one.required) for one in listed.arguments or ()] == [("input", False)]
    assert await said(client, {}) == "Say what is wrong."
    assert await said(client, {"input": "x = 1"}) == "Say what is wrong.\n\nx = 1"


async def said(client: Client, arguments: dict[str, str]) -> str:
    (message,) = (await client.get_prompt("review", arguments)).messages
    assert message.role == "user"
    assert isinstance(message.content, types.TextContent)
    return message.content.text


@modes
async def test_a_host_is_given_prompts_and_what_they_are_about_is_put_after_them(
    provider: OpenAIProvider, mode: str
) -> None:
    async with connected([provider], mode, offer=WITH_PROMPTS) as client:
        await check(client)


@modes
async def test_over_http_it_is_the_same(provider: OpenAIProvider, tmp_path: Path, mode: str) -> None:
    async with served([provider], tmp_path, offer=WITH_PROMPTS) as door, door.client(mode) as client:
        await check(client)


@pytest.mark.parametrize(
    ("name", "arguments", "code", "why"),
    [
        ("gone", {}, INVALID_PARAMS, "no preset 'gone'"),
        ("broken", {}, INTERNAL, "line 3"),
        ("review", {"tone": "kind"}, INVALID_PARAMS, "no argument 'tone'. It has `input`"),
    ],
)
async def test_what_cannot_be_had_says_why(
    provider: OpenAIProvider, name: str, arguments: dict[str, str], code: int, why: str
) -> None:
    async with connected([provider], offer=WITH_PROMPTS) as client:
        with pytest.raises(MCPError, match=why) as caught:
            await client.get_prompt(name, arguments)
    assert caught.value.code == code


async def test_a_server_says_that_it_has_prompts_where_it_has_some(provider: OpenAIProvider) -> None:
    async with connected([provider], offer=WITH_PROMPTS) as client:
        assert client.server_capabilities.prompts is not None
    async with connected([provider]) as client:
        assert client.server_capabilities.prompts is None
