"""How a package tests its provider: built from settings, and asked through a hub."""

import asyncio
from pathlib import Path

import pytest
from lmbridge_rules import RulesProvider

from lmbridge.core.errors import ConfigInvalid
from lmbridge.extending import ChatRequest, ProviderContext
from lmbridge.hub.hub import Hub


def made(tmp_path: Path, **settings: object) -> RulesProvider:
    return RulesProvider.create(settings, ProviderContext(tmp_path, "rules"))


async def ask(provider: RulesProvider, text: str) -> str:
    async with Hub([provider]) as hub:
        return (await hub.answer(ChatRequest("rules:parrot", text))).text


def test_a_rule_that_fits_is_the_answer_and_else_it_repeats(tmp_path: Path) -> None:
    provider = made(tmp_path, answers=["hello=Hi there!"], token="x")
    assert asyncio.run(ask(provider, "Hello")) == "Hi there!"
    assert asyncio.run(ask(provider, "Polly wants a cracker")) == "Polly wants a cracker"


def test_without_its_token_it_has_no_model_and_says_what_is_missing(tmp_path: Path) -> None:
    provider = made(tmp_path)
    assert asyncio.run(provider.models()) == []
    assert "token" in asyncio.run(provider.probe()).hint


def test_a_setting_it_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="tokn"):
        made(tmp_path, tokn="x")
