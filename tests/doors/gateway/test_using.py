from __future__ import annotations

from pathlib import Path

import pytest
from tests.doors.gateway.asking import running
from tests.fakes.hostile_server import hostile_server

from lmbridge.core.provider import ProviderContext
from lmbridge.doors.gateway.using import OF_A_SERVER
from lmbridge.providers.openai import OpenAIProvider


@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_provider_says_of_itself_is_not_told_as_said_of_the_gateway(
    tmp_path: Path, stream: bool
) -> None:
    async with hostile_server() as server:
        provider = OpenAIProvider.create({"url": server.url}, ProviderContext(tmp_path, "other"))
        async with running([provider], tmp_path) as up:
            for code in OF_A_SERVER:
                asked = {"model": f"chat-error-{code}", "messages": [{"role": "user", "content": "Hi"}]}
                got = await up.post("/v1/chat/completions", {**asked, "stream": stream})
                key = code in ("unauthorized", "forbidden")
                assert (got.status, got.code) == (502, "provider_needs_key" if key else "provider_refused")
                assert "www-authenticate" not in got.headers
                assert "allow" not in got.headers
