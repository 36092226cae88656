"""Simon Willison's `llm` against the gateway and the built-in model, set up as its documentation says."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.doors.gateway.asking import LIMIT_S, running

from lmbridge.core.provider import ProviderContext
from lmbridge.providers.embedded import EmbeddedProvider

MODELS = """\
- model_id: tiny
  model_name: lmbridge-tiny
  api_base: "{url}/v1"
  supports_tools: true
  supports_schema: true
- model_id: tiny-responses
  model_name: lmbridge-tiny
  api_base: "{url}/v1"
  responses: true
- model_id: tiny-text
  model_name: lmbridge-tiny
  api_base: "{url}/v1"
  completion: true
"""
FUNCTION = '''
def get_weather(city: str) -> str:
    """The weather of a city."""
    return "sunny in " + city
'''

Command = Callable[..., Awaitable[str]]


@pytest.fixture(scope="module")
async def llm(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Command]:
    """Runs the command; returns what it prints."""
    home = tmp_path_factory.mktemp("home")
    provider = EmbeddedProvider.create({"lmstudio_models": False}, ProviderContext(home, "embedded"))
    async with running([provider], home) as up:
        (home / "extra-openai-models.yaml").write_text(MODELS.format(url=up.url))
        yield lambda *arguments: _run(home, *arguments)


async def _run(home: Path, *arguments: str) -> str:
    own = {"LLM_USER_PATH": str(home), "LLM_LOAD_PLUGINS": "", "PYTHONWARNINGS": "ignore"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "llm",
        *arguments,
        env={**os.environ, **own},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(2 * LIMIT_S):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.parametrize("model", ["tiny", "tiny-responses"])
@pytest.mark.parametrize("how", [[], ["--no-stream"]])
async def test_a_prompt_is_answered_whole_and_streamed(llm: Command, model: str, how: list[str]) -> None:
    said = await llm("-m", model, "-o", "temperature", "0", *how, "What is lmbridge?")
    assert said.startswith("lmbridge makes the language models on your own computer usable")


async def test_a_text_is_continued(llm: Command) -> None:
    assert (await llm("-m", "tiny-text", "-o", "max_tokens", "4", "lmbridge makes")).strip()


async def test_a_conversation_goes_on(llm: Command) -> None:
    await llm("-m", "tiny", "What is 3 + 4?")
    assert "lmbridge" in await llm("-c", "-o", "temperature", "0", "What is lmbridge?")


async def test_an_answer_follows_a_schema(llm: Command) -> None:
    asked = "Anna is 31 years old. Give the name and age as JSON."
    said = json.loads(await llm("-m", "tiny", "-o", "temperature", "0", "--schema", "name, age int", asked))
    assert said == {"name": "Anna", "age": 31}


async def test_a_function_is_called_and_its_result_taken_back(llm: Command) -> None:
    asked = "What is the weather in Paris?"
    said = await llm("-m", "tiny", "-o", "temperature", "0", "--functions", FUNCTION, asked)
    assert "sunny in Paris" in said


async def test_what_was_set_up_is_listed(llm: Command) -> None:
    listed = await llm("models", "list", "-q", "tiny")
    assert {"OpenAI Chat: tiny", "OpenAI Responses: tiny-responses"} <= set(listed.splitlines())
