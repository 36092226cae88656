from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from lmbridge.hub.happenings import Happening, RequestEnded


def test_each_happening_is_written_with_a_type_of_its_own() -> None:
    tags = [kind.__struct_config__.tag for kind in get_args(Happening)]
    assert len(set(tags)) == len(tags)


def test_a_happening_is_read_back_as_what_it_was() -> None:
    told = RequestEnded(number=1, door="openai", route="chat", provider="p", model="m", total_s=0.5)
    assert msgspec.json.decode(msgspec.json.encode(told), type=Happening) == told


@pytest.mark.parametrize("kind", get_args(Happening))
def test_no_happening_has_a_place_for_words(kind: type[msgspec.Struct]) -> None:
    assert not {"prompt", "messages", "text", "content", "answer", "key"} & set(kind.__struct_fields__)
