"""What becomes of fields that cannot be honoured."""

from __future__ import annotations

import pytest
from msgspec import Struct

from lmbridge.core.errors import UnsupportedParameter
from lmbridge.wire.fields import Refused, refuse


class Body(Struct):
    choices: object = None


TABLE = (Refused("choices", "There is one.", "Ask again.", (1, False)),)


@pytest.mark.parametrize("value", [None, 1, False])
def test_what_asks_for_nothing_special_passes(value: object) -> None:
    refuse(Body(value), TABLE)


@pytest.mark.parametrize("value", [2, True, 0, 1.0, "1", []])
def test_what_would_be_missed_is_refused_by_name_with_reason_and_hint(value: object) -> None:
    with pytest.raises(UnsupportedParameter) as raised:
        refuse(Body(value), TABLE)
    assert raised.value.param == "choices"
    assert "There is one." in raised.value.message
    assert raised.value.hint == "Ask again."
