from lmbridge.cli.exits import EXITS, INTERRUPTED, OK, UNEXPECTED, exit_code
from lmbridge.core.errors import all_errors


def test_every_error_is_known_at_this_door() -> None:
    assert set(EXITS) == {error.code for error in all_errors()}


def test_no_error_ends_with_success_and_all_codes_are_small() -> None:
    assert all(OK < code < 64 or code == INTERRUPTED for code in EXITS.values())


def test_an_error_of_another_version_ends_with_one() -> None:
    assert exit_code("a_code_of_the_future") == UNEXPECTED
    assert exit_code("model_not_found") == EXITS["model_not_found"]
