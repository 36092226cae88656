"""`lmbridge lmstudio`: the program itself, found, started, stopped and listened to."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import PATIENCE_S, Run, Terminal
from tests.cli.lmstudio.conftest import at, runs_as
from tests.fakes.lmstudio import GOOD_TOKEN
from tests.fakes.lmstudio.install import FakeInstall, install_fake


def state(lmbridge: Run) -> dict[str, object]:
    told: dict[str, object] = json.loads(lmbridge("lmstudio", "status", "--json").stdout)
    return told


def test_status_tells_one_screen_with_the_command_that_mends_it(lmbridge: Run, user: FakeInstall) -> None:
    done = lmbridge("lmstudio", "status")
    assert (done.returncode, done.stderr) == (4, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("○ LM Studio's server does not run: ")
    assert any(line.split()[:2] == ["✓", "installed"] and str(user.app) in line for line in lines)
    assert any(line.split()[:2] == ["✓", "command"] and str(user.lms) in line for line in lines)
    assert any(line.split()[:2] == ["✗", "server"] for line in lines)
    assert "lmbridge lmstudio start" in done.stdout
    assert len(lines) <= 24


def test_status_in_json_has_the_state_and_the_command(lmbridge: Run, user: FakeInstall) -> None:
    told = state(lmbridge)
    assert (told["state"], told["command"]) == ("server_down", "lmbridge lmstudio start")
    assert told["code"] == "provider_unavailable"
    assert (told["installed"], told["bootstrapped"], told["server_running"]) == (True, True, False)
    assert (told["lms_path"], told["home"]) == (str(user.lms), str(user.home))
    assert user.pid is None, "looking has started something"


def test_status_changes_nothing(lmbridge: Run, user: FakeInstall) -> None:
    def files() -> dict[Path, bytes]:
        paths = [path for path in user.user_home.rglob("*") if path.is_file()]
        # LM Studio's own command writes this one, whatever it is asked.
        return {path: path.read_bytes() for path in paths if path.name != ".lmstudio-home-pointer"}

    before = files()
    assert lmbridge("lmstudio", "status").returncode == 4
    assert files() == before


def test_a_server_is_started_once_and_stopped(lmbridge: Run, user: FakeInstall) -> None:
    started = lmbridge("lmstudio", "start")
    assert started.returncode == 0, started.stderr
    assert started.stderr.startswith("Starting LM Studio …\n")
    assert f"answers at {user.url}" in started.stdout.replace("localhost", "127.0.0.1")
    pid = user.pid
    assert pid is not None

    again = lmbridge("lmstudio", "start")
    assert again.returncode == 0
    assert "runs already" in again.stdout
    assert "lmbridge started it" in again.stdout
    assert user.pid == pid

    ready = lmbridge("lmstudio", "status")
    assert ready.returncode == 0
    assert ready.stdout.startswith("● LM Studio answers at ")
    assert (state(lmbridge)["state"], state(lmbridge)["command"]) == ("ready", "")

    stopped = lmbridge("lmstudio", "stop")
    assert stopped.returncode == 0, stopped.stderr
    assert "has stopped" in stopped.stdout
    assert lmbridge("lmstudio", "status").returncode == 4

    nothing = lmbridge("lmstudio", "stop")
    assert nothing.returncode == 0
    assert "is not running" in nothing.stdout


def test_start_in_json_is_the_state_and_whether_it_ran_already(lmbridge: Run) -> None:
    first, second = (json.loads(lmbridge("lmstudio", "start", "--json").stdout) for _ in range(2))
    assert (first["state"], first["already_running"]) == ("ready", False)
    assert (second["state"], second["already_running"]) == ("ready", True)
    assert json.loads(lmbridge("lmstudio", "stop", "--json").stdout)["stopped"] is True


def test_who_started_the_server_is_told(lmbridge: Run, user: FakeInstall) -> None:
    assert user.run("server", "start").returncode == 0
    done = lmbridge("lmstudio", "start")
    assert done.returncode == 0
    assert "lmbridge did not start it" in done.stdout
    assert state(lmbridge)["started_by_us"] is False


def test_a_server_that_runs_on_another_port_is_told_with_the_way_there(lmbridge: Run, user: FakeInstall) -> None:
    assert user.port is not None
    assert lmbridge("lmstudio", "start", "--port", str(user.port)).returncode == 0
    assert lmbridge("lmstudio", "start", "--port", str(user.port)).returncode == 0
    done = lmbridge("lmstudio", "start", "--port", "1")
    assert done.returncode == 8
    assert "not on port 1" in done.stderr
    assert "lmbridge lmstudio stop" in done.stderr


def test_a_start_on_a_terminal_shows_the_seconds_in_one_line(user: FakeInstall, home: Path) -> None:
    with Terminal(home, "lmstudio", "start", **at(user, home)) as terminal:
        terminal.wait_for("Starting LM Studio")
        terminal.wait_for("LM Studio's server answers at")
        assert terminal.wait_for_end() == 0


def test_a_start_that_is_left_says_what_may_become_of_it(user: FakeInstall, home: Path) -> None:
    user.inject("never-ends", "server start")
    with Terminal(home, "lmstudio", "start", **at(user, home)) as terminal:
        terminal.wait_for("Starting LM Studio, 1 s")
        terminal.type("\x03")
        terminal.wait_for("`lmbridge lmstudio status` tells.")
        assert terminal.wait_for_end() == 130
        assert "Traceback" not in terminal.text


@pytest.mark.parametrize("verb", ["status", "start", "stop", "bootstrap", "log", "setup"])
def test_without_lm_studio_every_verb_tells_what_is_missing(stranger: FakeInstall, home: Path, verb: str) -> None:
    lmbridge = runs_as(stranger, home)
    yes = ["--yes"] if verb in ("bootstrap", "setup") else []
    done = lmbridge("lmstudio", verb, *yes)
    assert done.returncode == 4, (done.stdout, done.stderr)
    shown = done.stdout + done.stderr
    assert "not installed" in shown
    assert "lmstudio.ai" in shown
    assert "embedded engine" in shown
    assert len(shown.splitlines()) <= 24


def test_an_app_that_was_never_started_is_told_with_the_command_that_starts_it_once(
    tmp_path: Path, home: Path
) -> None:
    with install_fake(tmp_path / "u", bootstrapped=False) as fake:
        lmbridge = runs_as(fake, home)
        told = state(lmbridge)
        assert (told["state"], told["command"]) == ("not_bootstrapped", "lmbridge lmstudio bootstrap")
        assert lmbridge("lmstudio", "status").returncode == 4
        assert lmbridge("lmstudio", "log").returncode == 4
        assert "Nothing can be changed yet." in lmbridge("lmstudio", "setup", "--dry-run").stdout
        done = lmbridge("lmstudio", "bootstrap", "--yes")
        assert done.returncode == 0, done.stderr
        assert str(fake.lms) in done.stdout
        assert state(lmbridge)["bootstrapped"] is True


def test_a_server_that_wants_a_token_is_told_apart_from_one_that_is_down(tmp_path: Path, home: Path) -> None:
    with install_fake(tmp_path / "u", token=GOOD_TOKEN) as fake:
        lmbridge = runs_as(fake, home)
        assert lmbridge("lmstudio", "start").returncode == 0
        done = lmbridge("lmstudio", "status")
        assert done.returncode == 7
        assert "wants an API token" in done.stdout
        refused = lmbridge("lmstudio", "status", env={"LM_API_TOKEN": "sk-lm-wrong"})
        assert "refuses the API token it was given" in refused.stdout
        assert "sk-lm-wrong" not in refused.stdout
        assert "LM_API_TOKEN" in done.stdout
        with_token = lmbridge("lmstudio", "status", env={"LM_API_TOKEN": GOOD_TOKEN})
        assert with_token.returncode == 0
        assert GOOD_TOKEN not in with_token.stdout


def test_another_program_on_the_port_is_told_apart(lmbridge: Run, user: FakeInstall) -> None:
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(user.port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
        try:
            while not _listens(user.port or 0):
                assert other.poll() is None
            done = lmbridge("lmstudio", "status", env={"LMBRIDGE_LMSTUDIO_URL": user.url})
            assert done.returncode == 4
            assert state(lmbridge)["state"] == "foreign"
        finally:
            other.kill()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_command_that_fails_is_told_in_its_own_words(lmbridge: Run, user: FakeInstall) -> None:
    user.inject("fails", "server start")
    done = lmbridge("lmstudio", "start")
    assert done.returncode == 4
    assert "engine room is on fire" in done.stderr
    assert "Traceback" not in done.stderr


def test_bootstrap_asks_first_and_does_nothing_where_nobody_can_be_asked(
    lmbridge: Run, user: FakeInstall, home: Path
) -> None:
    refused = lmbridge("lmstudio", "bootstrap")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    with Terminal(home, "lmstudio", "bootstrap", **at(user, home)) as terminal:
        terminal.wait_for("[y/N]")
        terminal.enter("n")
        terminal.wait_for("Nothing was changed.")
        assert terminal.wait_for_end() == 0
    done = lmbridge("lmstudio", "bootstrap", "--yes")
    assert done.returncode == 0, done.stderr
    assert "PATH" in done.stdout


# -- setup ----------------------------------------------------------------------------------------


def settings_of(user: FakeInstall) -> list[Path]:
    return [user.home / "settings.json", user.home / ".internal" / "http-server-config.json"]


def test_setup_shows_what_it_would_change_and_changes_nothing(lmbridge: Run, user: FakeInstall) -> None:
    before = [path.read_text() for path in settings_of(user)]
    done = lmbridge("lmstudio", "setup", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "enableLocalService" in done.stdout
    assert "autoStartOnLaunch" in done.stdout
    assert "Nothing was changed." in done.stdout
    refused = lmbridge("lmstudio", "setup")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert [path.read_text() for path in settings_of(user)] == before


def test_setup_asks_and_no_means_no(user: FakeInstall, home: Path) -> None:
    before = [path.read_text() for path in settings_of(user)]
    with Terminal(home, "lmstudio", "setup", **at(user, home)) as terminal:
        terminal.wait_for("enableLocalService")
        terminal.wait_for("Make these changes? [y/N]")
        terminal.enter("n")
        terminal.wait_for("Nothing was changed.")
        assert terminal.wait_for_end() == 0
    assert [path.read_text() for path in settings_of(user)] == before


def test_setup_tells_where_it_keeps_the_files_as_they_were(lmbridge: Run, user: FakeInstall) -> None:
    before = [path.read_text() for path in settings_of(user)]
    done = lmbridge("lmstudio", "setup", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["applied"] is True
    assert [Path(backup).read_text() for backup in told["backups"]] == before
    assert all("true" in path.read_text() for path in settings_of(user))
    again = lmbridge("lmstudio", "setup", "--yes")
    assert "LM Studio is set up already." in again.stdout


# -- log ------------------------------------------------------------------------------------------


def test_a_log_of_what_does_not_run_is_refused_and_starts_nothing(lmbridge: Run, user: FakeInstall) -> None:
    done = lmbridge("lmstudio", "log")
    assert done.returncode == 4
    assert "does not run" in done.stderr
    assert "`lmbridge lmstudio start`" in done.stderr
    assert user.pid is None


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("source", ["server", "model"])
def test_the_log_follows_what_happens_until_ctrl_c(
    lmbridge: Run, user: FakeInstall, home: Path, source: str
) -> None:
    assert lmbridge("lmstudio", "start").returncode == 0
    with Terminal(home, "lmstudio", "log", "--source", source, **at(user, home)) as terminal:
        terminal.wait_for("Ctrl-C ends it")
        for _ in range(20):  # the first may come before LM Studio has us among its listeners
            asked = lmbridge("chat", "--provider", "lmstudio", "-p", "What is in the log?")
            assert asked.returncode == 0, asked.stderr
            if terminal.shows_soon("What is in the log?" if source == "model" else "/v1/"):
                break
        else:
            raise AssertionError(terminal.text)
        terminal.type("\x03")
        assert terminal.wait_for_end() == 130
        assert "Traceback" not in terminal.text


def test_a_log_in_json_is_one_object_a_line(lmbridge: Run, user: FakeInstall, home: Path) -> None:
    assert lmbridge("lmstudio", "start").returncode == 0
    command = [sys.executable, "-m", "lmbridge", "lmstudio", "log", "--source", "model", "--json"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=at(user, home)
    ) as process:
        assert process.stdout is not None
        try:
            for _ in range(20):  # as above
                assert lmbridge("chat", "--provider", "lmstudio", "-p", "Hello").returncode == 0
                if select.select([process.stdout], [], [], 1.0)[0]:
                    break
            assert json.loads(process.stdout.readline())["data"]["type"].startswith("llm.prediction.")
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
