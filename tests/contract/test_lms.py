"""What this project believes of the command `lms`: the fake's is held to it and, with `--live`, the real one.

With the real one nothing is started, loaded or changed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.lmstudio import FAKES, WITH_LMS, Studio
from tests.fakes.lmstudio import FakeInstall, install_fake
from tests.fakes.lmstudio.install import ROOT, alive, until

CHAT = "qwen/qwen3-4b-2507"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[FakeInstall]:
    """A user with LM Studio, of which nothing runs."""
    with install_fake(tmp_path / "Jürgen's folder") as place:
        yield place


def found(place: FakeInstall, *arguments: str) -> object:
    """What a command prints as JSON."""
    done = place.run(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


# ---- in any state, real or not


@WITH_LMS
async def test_lists_are_json_in_one_line(studio: Studio) -> None:
    models = await studio.run("ls", "--json")
    assert models.stdout.count("\n") == 1
    by_key = {model["modelKey"]: model for model in json.loads(models.stdout)}
    assert by_key[studio.chat]["type"] == "llm"
    assert by_key[studio.embedding]["type"] == "embedding"
    assert isinstance(by_key[studio.chat]["sizeBytes"], int)
    assert isinstance(by_key[studio.chat]["maxContextLength"], int)
    assert isinstance(json.loads((await studio.run("ps", "--json")).stdout), list)


@WITH_LMS
async def test_the_server_tells_its_port(studio: Studio) -> None:
    done = await studio.run("server", "status", "--json")
    assert done.returncode == 0
    state = json.loads(done.stdout)
    assert state["running"] is True
    assert studio.url.endswith(f":{state['port']}")


@WITH_LMS
async def test_its_version_is_a_commit(studio: Studio) -> None:
    assert json.loads((await studio.run("version", "--json")).stdout)["version"]
    assert "CLI commit: " in (await studio.run("--version")).stdout


@WITH_LMS
async def test_unloading_what_is_not_loaded_is_no_failure_by_its_status(studio: Studio) -> None:
    await studio.said("Say hello.")
    done = await studio.run("unload", "no-such-identifier")
    assert done.returncode == 0
    assert done.stderr


@WITH_LMS
@pytest.mark.parametrize(
    "arguments", [["frobnicate"], ["ls", "--frobnicate"], ["server", "start", "--port", "abc"]]
)
async def test_what_it_does_not_know_ends_with_status_1(studio: Studio, arguments: list[str]) -> None:
    done = await studio.run(*arguments)
    assert done.returncode == 1
    assert done.stderr
    assert done.stdout == ""


@FAKES
async def test_it_shows_what_requests_loaded_and_unloads_it(studio: Studio) -> None:
    assert studio.fake is not None
    await studio.said("Say hello.")
    shown = json.loads((await studio.run("ps", "--json")).stdout)[0]
    assert (shown["identifier"], shown["status"], shown["ttlMs"]) == (studio.chat, "idle", 3_600_000)
    assert shown["contextLength"] <= shown["maxContextLength"]
    assert (await studio.run("unload", studio.chat)).returncode == 0
    assert studio.fake.runtime.loaded() == []


# ---- models


def test_a_load_makes_one_more_instance_each_time(place: FakeInstall) -> None:
    assert place.run("load", CHAT, "-y").returncode == 0
    done = place.run("load", CHAT, "--yes", "--context-length", "1024", "--parallel", "2", "--ttl", "60")
    assert (done.returncode, done.stdout) == (0, "")
    assert f'"{CHAT}:2"' in done.stderr
    shown = found(place, "ps", "--json")
    assert isinstance(shown, list)
    facts = [(each["identifier"], each["contextLength"], each["parallel"], each["ttlMs"]) for each in shown]
    assert facts == [(CHAT, 8192, 4, None), (f"{CHAT}:2", 1024, 2, 60000)]


def test_a_load_can_name_its_instance(place: FakeInstall) -> None:
    place.run("load", CHAT, "-y", "--identifier", "mine")
    shown = found(place, "ps", "--json")
    assert isinstance(shown, list)
    assert shown[0]["identifier"] == "mine"


def test_the_name_of_a_load_is_fuzzy(place: FakeInstall) -> None:
    done = place.run("load", "g4b", "-y")
    assert done.returncode == 0
    assert '"google/gemma-3-4b"' in done.stderr
    several = place.run("load", "qwen", "-y")
    assert "Warning" in several.stderr
    assert place.run("load", "nothing-like-it", "-y").returncode == 1


def test_an_exact_load_takes_a_path(place: FakeInstall) -> None:
    models = found(place, "ls", "--json")
    assert isinstance(models, list)
    path = next(model["path"] for model in models if model["modelKey"] == CHAT)
    assert place.run("load", CHAT, "--exact").returncode == 1
    assert place.run("load", path, "--exact").returncode == 0


def test_without_yes_it_asks_which_of_several_is_meant(place: FakeInstall) -> None:
    done = place.run("load", "qwen")
    assert done.returncode == 1
    assert "? Select a model" in done.stderr


def test_an_estimate_loads_nothing(place: FakeInstall) -> None:
    done = place.run("load", CHAT, "--estimate-only")
    assert "Estimated Total Memory" in done.stdout
    assert found(place, "ps", "--json") == []


def test_unloading_without_a_name_needs_exactly_one(place: FakeInstall) -> None:
    assert place.run("unload").returncode == 1
    assert place.run("unload", "--all").returncode == 0
    place.run("load", CHAT, "-y")
    assert place.run("unload").returncode == 0
    place.run("load", CHAT, "-y")
    place.run("load", CHAT, "-y")
    asked = place.run("unload")
    assert (asked.returncode, "? Select" in asked.stderr) == (1, True)
    assert place.run("unload", "--all").returncode == 0
    assert found(place, "ps", "--json") == []


def test_a_download_draws_its_bar_on_standard_output(place: FakeInstall) -> None:
    done = place.run("get", "openai/gpt-oss-20b", "--yes")
    assert done.returncode == 0
    assert "Download completed." in done.stderr
    bars = done.stdout.split("\r")[1:]
    assert len(bars) == 4
    assert bars[0].startswith("⠙ [█████                 ] 25.00% | 11.25 MB / 45.00 MB | ")
    models = found(place, "ls", "--json")
    assert isinstance(models, list)
    assert "openai/gpt-oss-20b" in {model["modelKey"] for model in models}
    assert place.run("get", "openai/gpt-oss-20b", "--yes").returncode == 0


def test_a_download_that_cannot_be_fails(place: FakeInstall) -> None:
    assert place.run("get", "no/such-model", "--yes").returncode == 1
    assert place.run("get", "openai/gpt-oss-20b", "--yes", "--limit", "3").returncode == 1
    place.wish(outcome="failed")
    done = place.run("get", "openai/gpt-oss-20b", "--yes")
    assert (done.returncode, "50.00%" in done.stdout) == (1, True)
    assert "Error: Download failed" in done.stderr


def test_what_was_downloaded_stays_when_the_program_ends(place: FakeInstall) -> None:
    place.run("get", "openai/gpt-oss-20b", "--yes")
    place.stop()
    models = found(place, "ls", "--json", "--llm")
    assert isinstance(models, list)
    assert "openai/gpt-oss-20b" in {model["modelKey"] for model in models}


# ---- the program


def test_looking_wakes_nothing(place: FakeInstall) -> None:
    assert found(place, "server", "status", "--json") == {"running": False, "port": place.port}
    assert found(place, "daemon", "status", "--json") == {"status": "not-running"}
    assert place.run("server", "stop").returncode == 1
    assert place.run("daemon", "down").returncode == 1
    assert place.run("status").returncode == 0
    assert place.pid is None


def test_a_server_never_configured_tells_no_port(tmp_path: Path) -> None:
    with install_fake(tmp_path, configured=False) as place:
        state = found(place, "server", "status", "--json")
        assert isinstance(state, dict)
        assert "port" not in state


def test_what_needs_the_program_wakes_it(place: FakeInstall) -> None:
    done = place.run("ps", "--json")
    assert (done.returncode, done.stdout) == (0, "[]\n")
    assert "Waking up" in done.stderr
    assert place.pid is not None
    assert found(place, "server", "status", "--json") == {"running": False, "port": place.port}


def test_the_server_starts_and_stops_and_models_stay(place: FakeInstall) -> None:
    started = place.run("server", "start")
    assert (started.returncode, started.stdout) == (0, "")
    assert f"Success! Server is now running on port {place.port}" in started.stderr
    assert found(place, "server", "status", "--json") == {"running": True, "port": place.port}
    place.run("load", CHAT, "-y")
    assert place.run("server", "stop").returncode == 0
    assert place.run("server", "stop").returncode == 1
    shown = found(place, "ps", "--json")
    assert isinstance(shown, list)
    assert len(shown) == 1


def test_starting_forgets_what_was_set_for_other_origins(place: FakeInstall) -> None:
    settings = place.home / ".internal" / "http-server-config.json"
    place.run("server", "start", "--cors")
    assert json.loads(settings.read_text())["cors"] is True
    place.run("server", "start")
    assert json.loads(settings.read_text())["cors"] is False


def test_a_port_that_somebody_else_holds_is_a_failure(place: FakeInstall) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert place.run("server", "start", "--port", port).returncode == 1
        place.fault = "believes"
        assert place.run("server", "start", "--port", port).returncode == 0


@pytest.mark.parametrize("port", ["abc", "0", "-1", "99999"])
def test_a_port_that_is_none_is_refused(place: FakeInstall, port: str) -> None:
    done = place.run("server", "start", f"--port={port}")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert place.pid is None


def test_the_app_is_no_daemon(place: FakeInstall) -> None:
    up = found(place, "daemon", "up", "--json")
    assert up == {"status": "running", "pid": place.pid, "isDaemon": False, "version": "0.4.25+1"}
    down = place.run("daemon", "down")
    assert (down.returncode, "part of LM Studio" in down.stderr) == (1, True)


def test_the_daemon_is_preferred_and_can_be_ended(tmp_path: Path) -> None:
    with install_fake(tmp_path, llmster=True) as place:
        up = found(place, "daemon", "up", "--json")
        assert isinstance(up, dict)
        assert up["isDaemon"] is True
        assert place.run("daemon", "down").returncode == 0
        assert found(place, "daemon", "status", "--json") == {"status": "not-running"}


def test_before_0_4_there_is_no_daemon(tmp_path: Path) -> None:
    with install_fake(tmp_path, version="0.3") as place:
        assert place.run("daemon", "status", "--json").returncode == 1


def test_an_app_that_was_moved_is_not_found(place: FakeInstall) -> None:
    place.app.unlink()
    done = place.run("ps", "--json")
    assert (done.returncode, done.stdout) == (1, "")


def test_the_app_puts_the_command_into_place_when_it_starts(tmp_path: Path) -> None:
    with install_fake(tmp_path, bootstrapped=False) as place:
        assert not place.lms.exists()
        place.start_app()
        assert found(place, "ps", "--json") == []


def test_quiet_hides_errors_too(place: FakeInstall) -> None:
    done = place.run("server", "stop", "--quiet")
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("where", ["default", "legacy", "pointer"])
def test_its_home_is_found_and_noted(tmp_path: Path, where: str) -> None:
    with install_fake(tmp_path, where=where) as place:  # type: ignore[arg-type]
        assert place.run("server", "status", "--json").returncode == 0
        assert (tmp_path / ".lmstudio-home-pointer").read_text() == str(place.home)


def test_bootstrap_asks_before_it_changes_files_of_the_shell(place: FakeInstall) -> None:
    assert place.run("bootstrap").returncode == 1
    assert not (place.user_home / ".profile").exists()
    assert place.run("bootstrap", "-y").returncode == 0
    assert str(place.lms.parent) in (place.user_home / ".profile").read_text()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT], ids=["terminated", "interrupted"])
def test_the_log_is_json_by_line_until_it_is_ended(place: FakeInstall, end: signal.Signals) -> None:
    place.run("server", "start")
    command = [str(place.lms), "log", "stream", "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, stdin=subprocess.DEVNULL, env=place.environ) as log:
        assert log.stdout is not None
        assert log.stderr is not None
        assert b"Streaming logs" in log.stderr.readline()
        body = {"model": CHAT, "messages": [{"role": "user", "content": "hello"}]}
        studio = Studio(place.url, CHAT, "", {}, place.environ, place.lms)
        studio._ask("POST /v1/chat/completions", body, {})
        records = [json.loads(log.stdout.readline()) for _ in range(2)]
        log.send_signal(end)
        assert log.wait(10) == 0
    kinds = [record["data"]["type"] for record in records]
    assert kinds == ["llm.prediction.input", "llm.prediction.output"]
    assert "hello" in records[0]["data"]["input"]
    assert records[1]["data"]["output"] == "You said: hello "
    assert "stats" not in records[1]["data"]


@pytest.mark.parametrize("arguments", [["--source", "frob"], ["--source", "server", "--filter", "input"]])
def test_a_log_of_something_else_is_refused(place: FakeInstall, arguments: list[str]) -> None:
    assert place.run("log", "stream", *arguments).returncode == 1


# ---- the fake itself: nothing stays behind


def test_the_server_ends_with_the_process_it_lives_for(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as owner, install_fake(tmp_path, owner=owner.pid) as place:
        place.run("ps")
        pid = place.pid
        assert pid is not None
        owner.kill()
        owner.wait()
        until(lambda: not alive(pid))


def test_a_person_can_run_the_server_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fakes.lmstudio", "--home", str(tmp_path / ".lmstudio"), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=ROOT, text=True
    ) as server:
        try:
            assert server.stdout is not None
            studio = Studio(server.stdout.readline().strip(), CHAT, "", {}, {}, None)
            assert studio._ask("GET /lmstudio-greeting", None, {}).json == {"lmstudio": True}
        finally:
            server.terminate()
    assert server.returncode == 0


def test_the_server_ends_when_nobody_asks_anything(place: FakeInstall) -> None:
    place.wish(idle_s=0.2)
    place.run("ps")
    until(lambda: place.pid is None)


def test_a_question_can_be_answered_where_somebody_sits(place: FakeInstall) -> None:
    place.fault = "asks"
    assert place.run("ps").returncode == 1
    inside, outside = os.openpty()
    os.write(inside, b"yes\n")
    assert place.run("ps", stdin=outside).returncode == 0
    os.close(inside)
    os.close(outside)
