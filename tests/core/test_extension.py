from __future__ import annotations

import msgspec

from lmbridge.core.extension import ExtensionManifest, ExtensionState


def test_a_manifest_is_of_a_provider_of_models_unless_it_says_otherwise() -> None:
    assert ExtensionManifest("x", "X", "Does x.").category == "ai"


def test_a_state_is_written_without_what_there_is_nothing_to_say_of() -> None:
    assert msgspec.json.encode(ExtensionState("x", "active")) == b'{"id":"x","state":"active"}'
