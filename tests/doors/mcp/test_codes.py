from __future__ import annotations

from lmbridge.core.errors import Forbidden, ModelNotFound, all_errors
from lmbridge.doors.mcp.codes import CODES, NOT_FOUND, STATUS, code_of, details_of


def test_every_error_is_known_at_this_door() -> None:
    assert set(CODES) == {error.code for error in all_errors()}
    assert set(STATUS) <= set(CODES)


def test_codes_are_of_the_ranges_that_json_rpc_leaves_free_or_defines() -> None:
    assert all(-32700 <= code <= -32000 for code in CODES.values())


def test_an_error_has_its_code_and_what_is_known_beside_its_words() -> None:
    error = ModelNotFound("a", ["b"])
    assert code_of(error) == NOT_FOUND
    assert details_of(error) == {"code": "model_not_found", "hint": error.hint, "param": "model"}
    assert details_of(Forbidden("No.")) == {"code": "forbidden"}
