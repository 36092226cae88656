import json

import pytest

from lmbridge.cli.lmstudio import screen
from lmbridge.cli.lmstudio.program import ERRORS, state_exit
from lmbridge.core.errors import BridgeError, ProviderUnavailable
from lmbridge.providers.lmstudio.status import LMStudioStatus, State

READY = LMStudioStatus(
    "ready", True, True, True, "http://127.0.0.1:1234", detail="It answers.", started_by_us=True
)


def in_state(state: State) -> LMStudioStatus:
    detail, command, hint = "Something is amiss.", "mend it", "Or do it by hand."
    return LMStudioStatus(
        state, True, True, False, "http://127.0.0.1:1234", detail=detail, command=command, hint=hint
    )


def test_each_state_ends_with_the_code_of_the_error_that_using_it_meets() -> None:
    assert state_exit(READY) == 0
    assert {state: state_exit(in_state(state)) for state in ERRORS} == {  # type: ignore[arg-type]
        "not_installed": 4,
        "not_bootstrapped": 4,
        "server_down": 4,
        "foreign": 4,
        "needs_token": 7,
    }


def test_a_state_that_is_not_ready_is_shown_with_what_mends_it(capsys: pytest.CaptureFixture[str]) -> None:
    screen.show(in_state("foreign"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "○ Something is amiss."
    assert lines[-2:] == ["What mends it:  mend it", "Or do it by hand."]


def test_a_state_that_is_ready_needs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    screen.show(READY)
    out = capsys.readouterr().out
    assert out.startswith("● It answers.\n")
    assert "mends" not in out
    assert "✗" not in out


def test_for_programs_the_code_of_the_error_stands_beside_the_state(capsys: pytest.CaptureFixture[str]) -> None:
    screen.json(in_state("needs_token"), more=1)
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["code"], told["command"], told["more"]) == (
        "needs_token",
        "provider_needs_key",
        "mend it",
        1,
    )


def test_a_server_that_was_started_and_is_of_no_use_is_an_error() -> None:
    screen.check_answers(READY)
    with pytest.raises(ProviderUnavailable, match=r"Something is amiss\. `mend it` may help\."):
        screen.check_answers(in_state("server_down"))


def test_a_server_that_runs_on_another_port_is_an_error_and_on_the_same_none() -> None:
    screen.check_port(READY, None)
    screen.check_port(READY, 1234)
    with pytest.raises(BridgeError, match="not on port 1240") as caught:
        screen.check_port(READY, 1240)
    assert caught.value.code == "already_running"


def test_who_started_the_server_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    screen.started(READY, already=False)
    assert "started by lmbridge." in capsys.readouterr().out
    screen.started(READY, already=True)
    assert "lmbridge started it" in capsys.readouterr().out
