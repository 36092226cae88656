"""The LM Studio that a test of the contract asks for by its parameter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import MappingProxyType

import pytest
from tests.contract.lmstudio import STUDIOS, Studio

NOT_FOLLOWED = MappingProxyType(
    {
        "test_an_unknown_route_is_an_error_with_status_200[GET /-gateway]": "A page about the gateway is there.",
        "test_the_openai_list_mixes_all_kinds_and_tells_nothing_of_them": "Ours tells what each model is.",
        "test_a_completion_has_text_and_no_messages": "The engine's own id is passed on.",
        "test_embeddings_are_numbers_whatever_was_asked_and_cost_nothing": "Tokens are counted.",
        "test_what_responses_do_not_take_is_an_error_object": "Refused is what OpenAI refuses, in its words.",
        "test_messages_speak_anthropics_language": "Errors name the field as Anthropic does.",
    }
)
"""Where the gateway does not follow LM Studio even with its quirks, and why: tests by their names."""


@pytest.fixture
async def studio(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Studio]:
    async with STUDIOS[request.param](tmp_path) as studio:
        yield studio


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Hold the gateway to what it follows."""
    left = [item for item in items if isinstance(item, pytest.Function) and _not_followed(item)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def _not_followed(item: pytest.Function) -> bool:
    asked = hasattr(item, "callspec") and item.callspec.params.get("studio") == "gateway"
    return asked and bool({item.name, item.originalname} & NOT_FOLLOWED.keys())
