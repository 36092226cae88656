"""A gateway where LM Studio would be: on a free port, as whoever runs the tests may have an LM Studio at 1234."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.cli.conftest import PATIENCE_S, Run, environment
from tests.fakes.lmstudio.install import FakeInstall, free_port, install_fake

from lmbridge.doors.gateway.server import bind
from lmbridge.machine.gateway_file import GatewayFile


@pytest.fixture
def port() -> int:
    return free_port()


@contextmanager
def serving(home: Path, port: int, *arguments: str, **env: str) -> Iterator[list[str]]:
    """`lmbridge serve --stand-in` until the end of the `with`; gives the lines with which it says welcome."""
    command = [sys.executable, "-m", "lmbridge", "serve", "--port", "0", "--stand-in", *arguments]
    more = {"LMBRIDGE_GATEWAY_STAND_IN_PORT": str(port), "PYTHONUNBUFFERED": "1", **env}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(home, **more))
    assert process.stdout is not None
    lines: list[str] = []
    try:
        while not lines or not (lines[-1].startswith("{") or "Ctrl-C" in lines[-1]):
            line = process.stdout.readline()
            assert line, lines
            lines.append(line.rstrip("\n"))
        yield lines
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)


def greeting(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/lmstudio-greeting", timeout=PATIENCE_S) as answer:
        body: bytes = answer.read()
        return body


def test_it_answers_there_and_says_so_and_the_port_is_free_afterwards(home: Path, port: int) -> None:
    with serving(home, port) as lines:
        assert greeting(port) == b'{"lmstudio":true}'
        assert any(f"http://127.0.0.1:{port}, where LM Studio would answer" in line for line in lines)
    bind("127.0.0.1", port).close()
    with serving(home, port, "--json") as lines:
        told = json.loads(lines[-1])
        assert (told["stand_in"], told["stand_in_reason"]) == (f"http://127.0.0.1:{port}", "")
        assert told["url"] != told["stand_in"]


def test_where_somebody_else_listens_it_says_who_and_goes_on_without(home: Path, port: int) -> None:
    with closing(bind("127.0.0.1", port)), serving(home, port, "--json") as lines:
        told = json.loads(lines[-1])
        assert told["stand_in"] is None
        assert f"(pid {os.getpid()}) listens there" in told["stand_in_reason"]


def test_another_gateway_and_lm_studio_itself_are_told_apart(home: Path, port: int, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    with serving(other, port), serving(home, port, "--json") as lines:
        assert json.loads(lines[-1])["stand_in_reason"] == "another gateway of lmbridge listens there"
    with install_fake(tmp_path / "user") as user:
        subprocess.run([user.lms, "server", "start"], env=user.environ, check=True, timeout=PATIENCE_S)
        with serving(home, user.port, "--json") as lines:
            assert json.loads(lines[-1])["stand_in_reason"] == "LM Studio itself answers there"


def test_a_gateway_that_listens_there_anyway_needs_no_second_address(home: Path, port: int) -> None:
    with serving(home, port, "--port", str(port), "--json") as lines:
        assert json.loads(lines[-1])["stand_in_reason"] == "the gateway itself listens there anyway"
        assert greeting(port) == b'{"lmstudio":true}'


@pytest.fixture
def user(tmp_path: Path) -> Iterator[FakeInstall]:
    with install_fake(tmp_path / "user") as fake:
        yield fake


def test_the_real_one_gets_its_port_when_it_is_started(home: Path, user: FakeInstall, alone: Run) -> None:
    env = {**user.environ, "LMBRIDGE_DISABLED": "", "LMBRIDGE_GATEWAY_STAND_IN_PORT": str(user.port)}
    with serving(home, user.port, **env):
        found = GatewayFile.read(home)
        assert found is not None
        before = alone("lmstudio", "status", "--json", env=env)
        assert json.loads(before.stdout)["state"] == "foreign"
        started = alone("lmstudio", "start", env=env)
        assert started.returncode == 0, started.stderr
        assert f"The gateway at {found.url} no longer stands in for LM Studio" in started.stderr
        after = alone("lmstudio", "status", "--json", env=env)
        assert json.loads(after.stdout)["state"] == "ready"
        assert greeting(int(found.url.rpartition(":")[2])) == b'{"lmstudio":true}'


def test_its_own_provider_does_not_take_the_gateway_for_lm_studio(
    home: Path, user: FakeInstall, alone: Run
) -> None:
    env = {**user.environ, "LMBRIDGE_DISABLED": "", "LMBRIDGE_GATEWAY_STAND_IN_PORT": str(user.port)}
    with serving(home, user.port, **env):
        told = json.loads(alone("status", "--json", env=env).stdout)
        state = next(each for each in told["providers"] if each["provider"] == "lmstudio")
        assert state["state"] == "foreign"
        assert "this gateway itself stands in for LM Studio there" in state["detail"]


def test_in_the_background_it_says_the_same(home: Path, port: int, alone: Run) -> None:
    env = {"LMBRIDGE_GATEWAY_PORT": "0", "LMBRIDGE_GATEWAY_STAND_IN_PORT": str(port)}
    try:
        started = alone("gateway", "start", "--stand-in", "--lmstudio-quirks", env=env)
        assert f"At http://127.0.0.1:{port}, LM Studio's address, too." in started.stdout, started.stderr
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/nowhere", timeout=PATIENCE_S) as answer:
            assert json.load(answer) == {"error": "Unexpected endpoint or method. (GET /nowhere)"}
    finally:
        alone("gateway", "stop")
    with closing(bind("127.0.0.1", port)):
        try:
            told = json.loads(alone("gateway", "start", "--stand-in", "--json", env=env).stdout)
            assert told["stand_in"] is None
            assert told["stand_in_reason"].endswith("listens there")
        finally:
            alone("gateway", "stop")
