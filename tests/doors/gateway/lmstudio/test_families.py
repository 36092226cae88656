from __future__ import annotations

import json

from lmbridge.core.errors import ContextExceeded, ModelNotFound
from lmbridge.doors.gateway.lmstudio.families import FAITHFUL, LMSTUDIO

TOO_LONG = ContextExceeded(5000, 4096)


def test_too_long_a_prompt_is_the_callers_mistake_unless_lm_studio_is_followed_to_the_letter() -> None:
    assert LMSTUDIO.status(TOO_LONG) == 400
    assert FAITHFUL.status(TOO_LONG) == 500
    assert json.loads(LMSTUDIO.body(TOO_LONG))["error"]["type"] == "invalid_request"
    assert json.loads(FAITHFUL.body(TOO_LONG))["error"]["type"] == "internal_error"
    assert FAITHFUL.status(ModelNotFound("m", ())) == LMSTUDIO.status(ModelNotFound("m", ())) == 404


def test_both_have_an_event_for_streams() -> None:
    for family in (LMSTUDIO, FAITHFUL):
        assert family.event(TOO_LONG).startswith(b"event: error\n")
