from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.fakes.provider import ScriptedProvider

from lmbridge.core.provider import Setting
from lmbridge.core.registering import NEEDED, provider_problem


def test_a_provider_and_a_class_of_them_are_no_problem() -> None:
    assert provider_problem(ScriptedProvider([])) == ""
    assert provider_problem(ScriptedProvider) == ""


class NoCreate(ScriptedProvider):
    create = None  # type: ignore[assignment]


class Wrong(ScriptedProvider):
    manifest = replace(ScriptedProvider.manifest, settings=(Setting("two words", "string", "Wrong."),))


class Empty:
    manifest = ScriptedProvider.manifest


def _without_an_id() -> ScriptedProvider:
    provider = ScriptedProvider([])
    provider.id = 5  # type: ignore[assignment]
    return provider


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (object(), "a provider needs a `manifest` of the type `Manifest`"),
        (NoCreate, "the provider 'scripted' lacks `create`"),
        (Empty(), f"the provider 'scripted' lacks {', '.join(f'`{name}`' for name in NEEDED)}"),
        (_without_an_id(), "the provider 'scripted' has no `id`"),
        (Wrong, "the provider 'scripted': 'two words' cannot be the name of a setting"),
    ],
)
def test_what_is_no_provider_is_told_why(given: object, problem: str) -> None:
    assert provider_problem(given) == problem
