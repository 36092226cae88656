import contextlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.cli.conftest import PATIENCE_S, Run, Terminal, environment
from tests.fakes.gguf_files import chat_model

from lmbridge.machine import processes
from lmbridge.machine.gateway_file import NAME, GatewayFile


@pytest.fixture
def anywhere(run: Run, home: Path) -> Iterator[Run]:
    """The command with gateways on a free port; whatever runs in the end is stopped."""
    settings = home / "lmbridge.toml"
    settings.write_text(settings.read_text() + "[gateway]\nport = 0\n")
    yield run
    found = GatewayFile.read(home)
    if found is not None and found.alive:
        os.kill(found.pid, signal.SIGKILL)


def running(home: Path) -> GatewayFile:
    found = GatewayFile.read(home)
    assert found is not None
    assert found.alive
    return found


def test_a_gateway_is_started_used_and_stopped(anywhere: Run, home: Path) -> None:
    started = anywhere("gateway", "start")
    assert started.returncode == 0
    file = running(home)
    assert file.url in started.stdout
    assert stat.S_IMODE((home / NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE((home / "logs" / "gateway.log").stat().st_mode) == 0o600

    told = json.loads(anywhere("gateway", "status", "--json").stdout)
    assert (told["running"], told["url"], told["pid"]) == (True, file.url, file.pid)
    assert anywhere("chat", "-p", "hello").stdout == "You said: hello \n"
    assert "fake-chat" in anywhere("ps").stdout
    assert file.url in anywhere("gateway", "status").stdout

    stopped = anywhere("gateway", "stop")
    assert stopped.returncode == 0
    assert not file.alive
    assert not (home / NAME).exists()


def test_without_a_gateway_status_and_stop_say_so_with_a_code_of_their_own(anywhere: Run) -> None:
    assert anywhere("gateway", "status").returncode == 11
    assert json.loads(anywhere("gateway", "status", "--json").stdout) == {"running": False}
    stopped = anywhere("gateway", "stop")
    assert stopped.returncode == 11
    assert "lmbridge gateway start" in stopped.stderr


def test_a_second_gateway_of_the_same_user_is_refused(anywhere: Run, home: Path) -> None:
    assert anywhere("gateway", "start").returncode == 0
    url = running(home).url
    for arguments in (["gateway", "start"], ["serve"], ["serve", "--port", "0"]):
        again = anywhere(*arguments)
        assert again.returncode == 8
        assert f"already running at {url}" in again.stderr
    assert running(home).url == url


def test_a_gateway_that_was_killed_leaves_a_file_that_nobody_believes(anywhere: Run, home: Path) -> None:
    assert anywhere("gateway", "start").returncode == 0
    file = running(home)
    os.kill(file.pid, signal.SIGKILL)
    while processes.exists(file.pid):  # bounded by the test's own limit
        os.sched_yield()
    assert (home / NAME).exists()
    assert anywhere("gateway", "status").returncode == 11
    assert anywhere("chat", "-p", "hello").returncode == 0  # by itself
    assert anywhere("gateway", "start").returncode == 0
    assert running(home).pid != file.pid


def test_stop_takes_a_stale_file_away(anywhere: Run, home: Path) -> None:
    GatewayFile("http://127.0.0.1:9", 2**22 + 1, "key", "0", 0.0, "gone").write(home)
    assert anywhere("gateway", "stop").returncode == 11
    assert not (home / NAME).exists()


def test_a_file_that_others_could_have_written_is_refused_everywhere(anywhere: Run, home: Path) -> None:
    GatewayFile("http://127.0.0.1:9", os.getpid(), "key", "0", 0.0).write(home).chmod(0o666)
    for arguments in (["gateway", "status"], ["chat", "-p", "x"], ["serve"]):
        done = anywhere(*arguments)
        assert done.returncode == 12
        assert "open to other users" in done.stderr
    (home / NAME).unlink()


def test_a_port_in_use_is_told_with_who_holds_it(anywhere: Run, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments in (["serve", "--port", str(port)], ["gateway", "start", "--port", str(port)]):
            done = anywhere(*arguments)
            assert done.returncode == 8
            assert f"127.0.0.1:{port}" in done.stderr
            assert f"pid {os.getpid()}" in done.stderr
        told = json.loads(anywhere("gateway", "start", "--port", str(port), "--json").stdout)
        assert told["error"]["code"] == "address_in_use"
    assert not (home / NAME).exists()


def test_a_wider_bind_without_a_key_is_refused(anywhere: Run) -> None:
    for arguments in (["serve"], ["gateway", "start"]):
        done = anywhere(*arguments, "--host", "0.0.0.0")  # noqa: S104 - that it is refused is the point
        assert done.returncode == 7
        assert "lmbridge keys create" in done.stderr


def test_a_model_that_is_not_there_ends_the_start(anywhere: Run, home: Path) -> None:
    done = anywhere("serve", "--model", "no-such-model")
    assert done.returncode == 3
    assert "no-such-model" in done.stderr
    assert not (home / NAME).exists()


def test_a_gateway_in_the_background_does_not_start_without_the_model_it_was_given(
    anywhere: Run, home: Path
) -> None:
    done = anywhere("gateway", "start", "--model", "no-such-model")
    assert done.returncode == 3
    assert "no-such-model" in done.stderr
    assert "answers at" not in done.stdout
    assert not (home / NAME).exists()


def test_a_gateway_is_started_with_models_loaded_by_name_and_by_path(
    anywhere: Run, home: Path, tmp_path: Path
) -> None:
    file = chat_model(tmp_path / "elsewhere.gguf")
    done = anywhere("gateway", "start", "--model", "fake-chat", "--model", str(file))
    assert done.returncode == 0, done.stderr
    loaded = json.loads(anywhere("ps", "--json").stdout)["models"]
    assert {(each["model"], each["state"]) for each in loaded} == {("fake-chat", "ready"), ("elsewhere", "ready")}


def test_serve_tells_how_it_is_used_and_ctrl_c_stops_it_cleanly(anywhere: Run, home: Path) -> None:
    with Terminal(home, "serve") as terminal:
        terminal.wait_for("serves")
        terminal.wait_for("/v1")
        terminal.wait_for("not needed on this machine")
        terminal.wait_for("Ctrl-C")
        assert running(home).url in terminal.text
        terminal.type("\x03")
        assert terminal.wait_for_end() == 0
        assert "Traceback" not in terminal.text
    assert not (home / NAME).exists()


def test_serve_tells_that_other_machines_may_ask(anywhere: Run, home: Path) -> None:
    assert anywhere("keys", "create", "phone").returncode == 0
    with Terminal(home, "serve", "--host", "0.0.0.0") as terminal:  # noqa: S104 - with a key
        assert "needed" in terminal.wait_for("Stop")
        assert re.search(r"Network +open to other machines, on port \d+ of every address", terminal.text)
        terminal.type("\x03")
        assert terminal.wait_for_end() == 0


def test_an_address_of_another_machine_is_told_as_such(anywhere: Run, home: Path) -> None:
    anywhere("keys", "create", "phone")
    done = anywhere("serve", "--host", "192.0.2.1")  # RFC 5737: nobody's
    assert done.returncode == 12
    assert "not an address of this machine" in done.stderr
    assert "`--host`" in done.stderr


@pytest.mark.parametrize("option", ["--parallel", "--threads"])
def test_a_load_option_out_of_range_is_told_before_anything_is_started(
    anywhere: Run, home: Path, option: str
) -> None:
    done = anywhere("load", "fake-chat", option, "100000")
    assert done.returncode == 2
    assert option in done.stderr
    assert not (home / NAME).exists()


def test_serve_with_json_tells_address_and_process(anywhere: Run, home: Path) -> None:
    command = [sys.executable, "-m", "lmbridge", "serve", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(home)) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told["pid"] == process.pid
        assert told["url"] == running(home).url
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    assert not (home / NAME).exists()


def test_the_gateway_can_be_insisted_on_and_done_without(anywhere: Run, home: Path) -> None:
    assert anywhere("chat", "-p", "x", "--gateway").returncode == 11
    assert anywhere("gateway", "start").returncode == 0
    assert anywhere("chat", "-p", "x", "--no-gateway").returncode == 0
    assert anywhere("chat", "-p", "x", env={"LMBRIDGE_NO_GATEWAY": "1"}).returncode == 0
    assert json.loads(anywhere("ps", "--json").stdout)["models"] == []
    assert anywhere("chat", "-p", "x", "--gateway").returncode == 0
    assert json.loads(anywhere("ps", "--json").stdout)["models"] != []


def test_a_model_is_loaded_into_a_gateway_that_is_started_for_it(anywhere: Run, home: Path) -> None:
    refused = anywhere("load", "fake-chat", "--no-gateway")
    assert refused.returncode == 11
    assert "lmbridge gateway start" in refused.stderr

    loaded = anywhere("load", "fake-chat")
    assert loaded.returncode == 0
    assert "starting one in the background" in loaded.stderr
    assert "fake-chat (fake) is loaded" in loaded.stdout
    state = json.loads(anywhere("load", "fake-chat", "--json").stdout)
    assert (state["model"], state["state"]) == ("fake-chat", "ready")
    models = json.loads(anywhere("ls", "--json").stdout)["models"]
    assert {model["id"] for model in models if model["loaded"]} == {"fake-chat"}

    absent = anywhere("unload", "fake-embed")
    assert absent.returncode == 3
    assert "not in memory" in absent.stderr
    assert anywhere("unload", "no-such-model").returncode == 3
    assert "fake-chat (fake) is unloaded" in anywhere("unload", "fake-chat").stdout
    assert "No model is in memory." in anywhere("unload", "--all").stdout


def test_unload_wants_a_name_or_all_and_not_both(anywhere: Run) -> None:
    assert anywhere("unload").returncode == 2
    assert anywhere("unload", "x", "--all").returncode == 2


def test_the_key_is_in_no_output_and_no_list_of_processes(anywhere: Run, home: Path) -> None:
    said = anywhere("gateway", "start")
    file = running(home)
    command_line = Path(f"/proc/{file.pid}/cmdline")
    shown = command_line.read_text() if command_line.exists() else ""
    log = (home / "logs" / "gateway.log").read_text()
    status = anywhere("gateway", "status", "--json").stdout
    assert file.key not in said.stdout + said.stderr + shown + log + status


def test_two_that_start_one_at_the_same_moment_share_it(anywhere: Run, home: Path) -> None:
    with ThreadPoolExecutor() as threads:
        loads = list(threads.map(lambda _: anywhere("load", "fake-chat", "--json"), range(3)))
    assert [(done.returncode, done.stdout and json.loads(done.stdout)["state"]) for done in loads] == [
        (0, "ready")
    ] * 3
    assert json.loads(anywhere("ps", "--json").stdout)["where"] == running(home).url


def test_a_gateway_that_does_not_listen_is_told_to_end_by_a_signal(anywhere: Run, home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as deaf:
        GatewayFile("http://127.0.0.1:9", deaf.pid, "key", "0", 0.0, processes.birth(deaf.pid)).write(home)
        done = anywhere("gateway", "stop")
        assert deaf.wait(PATIENCE_S) == -signal.SIGTERM
    assert done.returncode == 0
    assert f"SIGTERM to process {deaf.pid}" in done.stderr
    assert not (home / NAME).exists()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own that takes nothing more."""
    place = tmp_path / "full"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may make a small disk")
    try:
        with (place / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("mount") is None, reason="disks as Linux makes them")
@pytest.mark.parametrize("command", [["gateway", "start"], ["serve", "--port", "0"], ["keys", "create", "a"]])
def test_a_full_disk_is_told_with_what_was_to_be_written(alone: Run, full_disk: Path, command: list[str]) -> None:
    done = alone(*command, "--json", env={"LMBRIDGE_HOME": str(full_disk)})
    error = json.loads(done.stdout.splitlines()[-1])["error"]
    assert (done.returncode, error["code"]) == (5, "no_space")
    assert str(full_disk) in error["message"]
