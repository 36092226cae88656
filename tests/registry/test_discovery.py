from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.byte_server import ByteServer, always, answer
from tests.fakes.openai_server import fake_openai

from lmbridge.core.errors import ConfigInvalid
from lmbridge.providers.openai.presets import PRESETS
from lmbridge.registry.discovery import USUAL, discover


def test_only_servers_of_this_machine_are_looked_for() -> None:
    assert set(USUAL.values()) == set(PRESETS) - {"openai"}
    assert all(url.startswith("http://127.0.0.1:") for url in USUAL)


async def test_servers_that_answer_are_told_and_others_are_not(tmp_path: Path) -> None:
    page = answer(b"<html>")
    async with fake_openai() as ready, fake_openai(key="sesame") as closed, ByteServer(always(page)) as other:
        places = {ready.url: "ollama", closed.url: "", other.url: "vllm", "http://127.0.0.1:1": "llama.cpp"}
        found = await discover(tmp_path, places)
        assert [(each.url, each.state, each.models, each.preset) for each in found] == [
            (ready.url, "ready", 2, "ollama"),
            (closed.url, "needs_key", 0, ""),
        ]


async def test_a_place_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid):
        await discover(tmp_path, {"nonsense": ""})
