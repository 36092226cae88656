"""`lmbridge mcp` beside the serving itself: its manifest, its help, what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lmbridge", "mcp", *arguments],
        env={**os.environ, "LMBRIDGE_HOME": str(home)},
        input="",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_manifest_is_an_entry_that_starts_this_very_program(tmp_path: Path) -> None:
    done = run(tmp_path, "--manifest", "--manage")
    entry = json.loads(done.stdout)["mcpServers"]["lmbridge"]
    assert entry["args"][-2:] == ["mcp", "--manage"]
    command = [entry["command"], *entry["args"][:-2], "--version"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    assert said.startswith("lmbridge ")


def test_over_http_the_manifest_is_an_address(tmp_path: Path) -> None:
    done = run(tmp_path, "--manifest", "--http", "--port", "8000")
    assert json.loads(done.stdout) == {"mcpServers": {"lmbridge": {"url": "http://127.0.0.1:8000/mcp"}}}


@pytest.mark.parametrize("option", [["--port", "8000"], ["--cors", "https://x"], ["--require-key"]])
def test_what_is_for_http_alone_is_told_to_be(tmp_path: Path, option: list[str]) -> None:
    done = run(tmp_path, *option)
    assert done.returncode == 2
    assert f"{option[0]} is for --http." in done.stderr


def test_a_host_that_is_gone_already_is_no_error(tmp_path: Path) -> None:
    done = run(tmp_path, "--no-gateway")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_settings_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    (tmp_path / "lmbridge.toml").write_text("nonsense = 1\n", encoding="utf-8")
    done = run(tmp_path)
    assert done.returncode == 12
    assert done.stdout == ""
    assert "nonsense" in done.stderr


def test_a_wider_bind_without_a_key_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, "--http", "--port", "0", "--host", "0.0.0.0")  # noqa: S104 - it is refused
    assert done.returncode == 7
    assert "without an API key" in done.stderr


def test_commands_beside_it_are_listed_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    assert "servers" in run(tmp_path, "--help").stdout
    assert run(tmp_path, "nonsense").returncode == 2


def test_over_http_it_is_ended_by_ctrl_c_and_that_is_no_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lmbridge", "mcp", "--http", "--port", "0", "--no-gateway"]
    env = {**os.environ, "LMBRIDGE_HOME": str(tmp_path)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert "MCP is served at" in server.stdout.readline()
        server.send_signal(signal.SIGINT)
        said, complained = server.communicate(timeout=30)
    assert (server.returncode, said, complained) == (0, "Stopped.\n", "")
