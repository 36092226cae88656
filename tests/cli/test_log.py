from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from tests.cli.conftest import PATIENCE_S, Run, Terminal, environment

from lmbridge.cli.log import Tail
from lmbridge.hub.request_log import Line

NOW = datetime.now(UTC)
CHAT = Line(
    NOW,
    "POST",
    "/v1/chat/completions",
    200,
    2.5,
    "openai",
    "chat",
    "embedded",
    "qwen3-8b",
    "laptop",
    12,
    0,
    34,
    0.2,
)
REFUSED = Line(NOW, "POST", "/chat/completions", 404, 0.0003, "openai", error="route_not_found")
LEFT = Line(NOW, "POST", "/api/chat", 0, 0.4, "ollama", "ollama-chat", "lmstudio", "google/gemma", cancelled=True)
OLD = Line(NOW - timedelta(days=3), "GET", "/v1/models", 200, 0.002, "openai")


@pytest.fixture
def log(home: Path) -> Path:
    (home / "logs").mkdir()
    return home / "logs" / "requests.jsonl"


def write(path: Path, lines: Iterable[Line]) -> None:
    with path.open("ab") as file:
        file.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))


def test_requests_are_shown_as_a_table_the_newest_last(alone: Run, log: Path) -> None:
    write(log, [OLD, CHAT, REFUSED, LEFT])
    done = alone("log")
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["TIME", "STATUS", "REQUEST", "MODEL", "TOKENS", "FIRST", "TOTAL", "KEY", "NOTE"]
    assert "GET /v1/models" in rows[0]
    assert all(word in rows[1] for word in ("openai chat", "qwen3-8b", "12 → 34", "200 ms", "2.5 s", "laptop"))
    assert all(word in rows[2] for word in ("404", "POST /chat/completions", "< 1 ms", "route_not_found"))
    assert all(word in rows[3] for word in ("ollama chat", "google/gemma", "caller left"))
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("kept", [True, False])
def test_a_gateway_keeps_the_log_unless_the_settings_say_otherwise(run: Run, home: Path, kept: bool) -> None:
    with (home / "lmbridge.toml").open("a") as settings:
        settings.write(f"[gateway]\nport = 0\nlog = {str(kept).lower()}\n")
    assert run("gateway", "start").returncode == 0
    try:
        assert run("chat", "-p", "secret words").returncode == 0
    finally:
        run("gateway", "stop")
    done = run("log", "--json")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    asked = [line for line in found if line.get("route") == "chat"]
    assert [(line["model"], line["status"]) for line in asked] == [("fake-chat", 200)] * kept
    assert "secret" not in done.stdout


def test_requests_are_chosen_by_time_model_and_end(alone: Run, log: Path) -> None:
    write(log, [OLD, CHAT, REFUSED, LEFT])

    def paths(*options: str) -> list[str]:
        return [json.loads(line)["path"] for line in alone("log", "--json", *options).stdout.splitlines()]

    assert paths() == ["/v1/models", "/v1/chat/completions", "/chat/completions", "/api/chat"]
    assert paths("--since", "1h") == ["/v1/chat/completions", "/chat/completions", "/api/chat"]
    assert paths("--model", "QWEN") == ["/v1/chat/completions"]
    assert paths("--model", "lmstudio:") == ["/api/chat"]
    assert paths("--errors") == ["/chat/completions"]
    assert paths("-n", "1") == ["/api/chat"]
    assert paths("-n", "0") == []


def test_json_is_the_line_as_it_was_written(alone: Run, log: Path) -> None:
    write(log, [CHAT])
    assert alone("log", "--json").stdout == log.read_text()


def test_files_that_were_put_aside_are_read_where_the_newest_is_not_enough(alone: Run, log: Path) -> None:
    write(log.with_name("requests.1.jsonl"), [OLD] * 30)
    write(log, [CHAT])
    assert len(alone("log", "--json").stdout.splitlines()) == 20
    assert len(alone("log", "--json", "--since", "30d").stdout.splitlines()) == 31
    assert len(alone("log", "--json", "--since", "1h").stdout.splitlines()) == 1


def test_why_nothing_is_shown_is_said(alone: Run, log: Path, home: Path) -> None:
    empty = alone("log")
    assert (empty.returncode, empty.stdout) == (0, "")
    assert "no log yet" in empty.stderr
    quiet = alone("log", "--json")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    write(log, [CHAT])
    assert "No request of that kind" in alone("log", "--errors").stderr
    (home / "lmbridge.toml").write_text("[gateway]\nlog = false\n")
    assert "switched off" in alone("log", "--errors").stderr


def test_names_of_models_cannot_steer_the_terminal(alone: Run, log: Path) -> None:
    write(log, [msgspec.structs.replace(REFUSED, model="\x1b]0;title\x07", path="/\x1b[2J")])
    assert "\x1b" not in alone("log").stdout


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal_and_errors_are_coloured(log: Path, home: Path, columns: int) -> None:
    write(log, [CHAT, REFUSED, msgspec.structs.replace(CHAT, model="m" * 100)])
    with Terminal(home, "log", columns=columns) as terminal:
        assert terminal.wait_for_end() == 0
    assert [line for line in terminal.text.splitlines() if len(line) > columns] == []
    assert "\x1b[33m" in terminal.raw
    assert "TOTAL" in terminal.text or columns == 40


def test_a_log_is_followed_until_ctrl_c(log: Path, home: Path) -> None:
    write(log, [CHAT])
    with Terminal(home, "log", "-f", columns=140) as terminal:
        terminal.wait_for("qwen3-8b")
        write(log, [REFUSED])
        terminal.wait_for("route_not_found")
        log.rename(log.with_name("requests.1.jsonl"))
        write(log, [LEFT])
        terminal.wait_for("caller left")
        terminal.type("\x03")
        assert terminal.wait_for_end() == 130
    assert terminal.text.count("REQUEST") == 1


def test_a_log_that_is_not_there_yet_is_waited_for(log: Path, home: Path) -> None:
    log.parent.rmdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "lmbridge", "log", "-f", "--json", "--errors"],
        env=environment(home),
        stdout=subprocess.PIPE,
    )
    try:
        log.parent.mkdir()
        write(log, [CHAT, REFUSED])
        assert process.stdout is not None
        timer = threading.Timer(PATIENCE_S, process.kill)
        timer.start()
        assert json.loads(process.stdout.readline())["error"] == "route_not_found"
        timer.cancel()
    finally:
        process.kill()
        process.communicate()


def test_a_tail_gives_each_line_once_whatever_becomes_of_the_file(log: Path) -> None:
    tail = Tail(log)
    assert tail.read() == []
    write(log, [CHAT])
    assert tail.read() == [CHAT]
    assert tail.read() == []
    whole = msgspec.json.encode(REFUSED) + b"\n"
    with log.open("ab") as file:
        file.write(whole[:20])
    assert tail.read() == []
    with log.open("ab") as file:
        file.write(whole[20:])
    assert tail.read() == [REFUSED]
    write(log, [OLD])
    log.rename(log.with_name("requests.1.jsonl"))
    write(log, [LEFT])
    assert tail.read() == [OLD, LEFT]
    log.write_bytes(b"")
    write(log, [OLD])
    assert tail.read() == [OLD]
    log.unlink()
    log.with_name("requests.1.jsonl").unlink()
    assert tail.read() == []
