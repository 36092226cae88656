"""The six states of LM Studio, and the one command that mends each. Pure."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import asdict, replace

from lmbridge.clients.lmstudio import Identity
from lmbridge.core.errors import BrokenAnswer, ProviderNeedsKey
from lmbridge.machine.lmstudio.install import Installation
from lmbridge.providers.lmstudio.look import Look
from lmbridge.providers.lmstudio.status import LMStudioStatus, judge, other_port
from lmbridge.wire.lmstudio.models import LMStudioModel, LoadedInstance

HERE = "http://127.0.0.1:1234"
THERE = "http://10.0.0.7:1234"
NOTHING = Installation(Path("/home/ada/.lmstudio"))
APP = replace(NOTHING, app=Path("/apps/LM Studio.AppImage"))
WHOLE = replace(APP, lms=Path("/home/ada/.lmstudio/bin/lms"))

ANSWERS = Identity("lmstudio")
DOWN = Identity("down", "nothing answers at 127.0.0.1:1234 (connection refused)")
FOREIGN = Identity("foreign", "it answers LM Studio's greeting with status 404")
SILENT = Identity("silent", "it accepts connections and did not answer within 3 s")


def seen(found: Installation, who: Identity, url: str = HERE, **others: Identity) -> Look:
    places = {f"http://127.0.0.1:{port.lstrip('p')}": each for port, each in others.items()}
    return Look(found, url, who, places, "127.0.0.1" in url)


@pytest.mark.parametrize(
    ("look", "state", "command"),
    [
        (seen(NOTHING, DOWN), "not_installed", "https://lmstudio.ai/install"),
        (seen(NOTHING, FOREIGN), "not_installed", "https://lmstudio.ai/install"),
        (seen(APP, DOWN), "not_bootstrapped", "lmbridge lmstudio bootstrap"),
        (seen(APP, FOREIGN), "not_bootstrapped", "lmbridge lmstudio bootstrap"),
        (seen(WHOLE, DOWN), "server_down", "lmbridge lmstudio start"),
        (seen(WHOLE, FOREIGN), "foreign", "lmbridge lmstudio start --port 1236"),
        (seen(WHOLE, SILENT), "foreign", "lmbridge lmstudio start --port 1236"),
        (seen(WHOLE, ANSWERS), "ready", ""),
        (seen(NOTHING, ANSWERS, THERE), "ready", ""),
        (seen(NOTHING, DOWN, THERE), "server_down", "lms server start --bind 0.0.0.0"),
    ],
)
def test_every_state_has_the_one_command_that_mends_it(look: Look, state: str, command: str) -> None:
    status = judge(look, [])
    assert status.state == state
    assert (command in status.command) if command else status.command == ""
    assert status.detail
    assert status.hint or state in ("ready", "server_down")


def test_an_address_in_the_settings_that_is_foreign_is_told_even_where_nothing_is_installed() -> None:
    assert judge(seen(NOTHING, FOREIGN), named=True).state == "foreign"
    status = judge(seen(NOTHING, FOREIGN, THERE), named=True)
    assert (status.state, status.command) == ("foreign", "lmbridge doctor")
    assert "`url`" in status.hint


def test_the_holder_of_the_port_is_named() -> None:
    assert "but ollama (pid 7) has" in judge(seen(WHOLE, FOREIGN), holder="ollama (pid 7)").detail


def test_an_lm_studio_that_does_not_answer_is_no_foreign_program() -> None:
    status = judge(seen(WHOLE, SILENT), holder="lm-studio (pid 7)", holder_is_lmstudio=True)
    assert (status.state, status.server_running) == ("server_down", False)
    assert "stop && lmbridge lmstudio start" in status.command


def test_a_token_that_is_wanted_is_not_a_server_that_is_down() -> None:
    status = judge(seen(WHOLE, ANSWERS), ProviderNeedsKey("lmstudio", 401))
    assert (status.state, status.server_running) == ("needs_token", True)
    assert "wants an API token" in status.detail
    given = judge(seen(WHOLE, ANSWERS), ProviderNeedsKey("lmstudio", 401), token=True)
    assert "refuses the API token it was given" in given.detail
    assert "LM_API_TOKEN" in status.command
    assert "Manage Tokens" in status.hint


def test_a_greeting_alone_is_not_ready() -> None:
    status = judge(seen(WHOLE, ANSWERS), BrokenAnswer("lmstudio", "not JSON"))
    assert (status.state, status.server_running) == ("server_down", True)
    assert "not JSON" in status.detail


def model(key: str, *loaded: str, kind: str = "chat") -> LMStudioModel:
    return LMStudioModel(key, kind, loaded=tuple(LoadedInstance(each, key) for each in loaded))  # type: ignore[arg-type]


def test_what_is_in_memory_is_told_and_one_chat_model_is_the_current_one() -> None:
    models = [model("e", "e", kind="embedding"), model("a/b", "a/b", "a/b:2"), model("c/d", "mine"), model("x")]
    status = judge(seen(WHOLE, ANSWERS), models)
    assert status.models_loaded == ("e", "a/b", "a/b:2", "mine")
    assert status.current_model == "a/b"
    assert judge(seen(WHOLE, ANSWERS), models, default_model="C/D").current_model == "c/d"
    assert judge(seen(WHOLE, ANSWERS), models, default_model="x").current_model == "a/b"
    assert judge(seen(WHOLE, ANSWERS), models[:1]).current_model is None


def test_other_servers_are_told_apart() -> None:
    status = judge(seen(WHOLE, ANSWERS, p4321=ANSWERS, p5000=FOREIGN), [])
    assert "Another LM Studio answers at http://127.0.0.1:4321." in status.detail
    assert "Something else answers at http://127.0.0.1:5000." in status.detail


def test_what_is_odd_about_the_installation_is_told_unless_it_works() -> None:
    odd = replace(APP, problems=("The file is stale.",))
    assert "The file is stale." in judge(seen(odd, DOWN)).detail
    assert "The file is stale." not in judge(seen(odd, ANSWERS), []).detail


def test_from_wsl_the_way_to_the_windows_side_is_told() -> None:
    assert "mirrored" in judge(seen(replace(WHOLE, windows=True), DOWN)).hint


def test_the_version_is_that_of_the_program_before_that_of_the_command() -> None:
    assert judge(seen(WHOLE, DOWN), version="lms abc").version == "lms abc"
    assert judge(replace(seen(WHOLE, ANSWERS), version="0.4.25"), [], version="lms abc").version == "0.4.25"


def test_who_started_it_matters_only_while_it_runs() -> None:
    assert judge(seen(WHOLE, ANSWERS), [], started_by_us=True).started_by_us
    assert not judge(seen(WHOLE, DOWN), started_by_us=True).started_by_us


def test_a_status_is_read_by_attribute_and_as_a_mapping() -> None:
    status = judge(seen(WHOLE, ANSWERS), [])
    assert status["installed"] is status.installed is True
    assert dict(status) == asdict(status)
    assert (status["lms_path"], status["app_path"]) == (str(WHOLE.lms), str(WHOLE.app))
    with pytest.raises(KeyError):
        status["nonsense"]
    with pytest.raises(KeyError):
        status["keys"]
    assert isinstance(status, LMStudioStatus)


def test_a_port_to_move_to_is_one_that_nobody_seen_has() -> None:
    assert other_port(seen(WHOLE, FOREIGN, p1236=FOREIGN, p1237=ANSWERS)) == 1238
