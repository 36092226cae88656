"""The command with the model that ships with the package: what somebody sees on a fresh machine."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import PATIENCE_S, Run, Terminal, environment
from tests.fakes.gguf_files import chat_model, truncated

from lmbridge.machine import processes
from lmbridge.machine.model_folders import BUILTIN

ANSWER = {
    "type": "object",
    "properties": {"yes": {"type": "boolean"}},
    "required": ["yes"],
    "additionalProperties": False,
}


def children(pid: int) -> list[int]:
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    if listing.exists():
        return [int(child) for child in listing.read_text().split()]
    found = subprocess.run(
        ["pgrep", "-P", str(pid)], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    return [int(child) for child in found.stdout.split()]


def test_the_demo_answers_on_a_fresh_machine(alone: Run) -> None:
    done = alone("demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("lmbridge-tiny (provider: embedded) answers 'What is lmbridge?'\n\n")
    assert "lmbridge" in done.stdout.splitlines()[2]
    assert "tokens/s, first word after" in done.stdout


def test_the_same_seed_gives_the_same_answer(alone: Run) -> None:
    asked = ["chat", "-p", "Tell me something.", "-t", "1.5", "--seed", "7", "-n", "30", "--json"]
    one, other = (json.loads(alone(*asked).stdout) for _ in range(2))
    assert one["answer"] == other["answer"] != ""
    assert one["provider"] == "embedded"


def test_an_answer_by_a_schema_follows_it(alone: Run, tmp_path: Path) -> None:
    schema = tmp_path / "answer.json"
    schema.write_text(json.dumps(ANSWER))
    done = alone("chat", "-p", "Is water wet?", "--schema", str(schema))
    assert (done.returncode, done.stderr) == (0, "")
    assert isinstance(json.loads(done.stdout)["yes"], bool)


def test_a_model_that_cannot_see_is_shown_no_picture(alone: Run, tmp_path: Path) -> None:
    picture = tmp_path / "x.gif"
    picture.write_bytes(b"GIF89a")
    done = alone("chat", "-p", "What is this?", "--image", str(picture))
    assert done.returncode == 2
    assert "cannot see pictures" in done.stderr


def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(alone: Run) -> None:
    done = alone("chat", "-p", "Summarise", input="word " * 5000)
    assert done.returncode == 10
    assert "2,048" in done.stderr


def test_ctrl_c_leaves_no_engine_behind(home: Path) -> None:
    with Terminal(home, "chat", "-p", "Tell me a long story.", "--no-gateway") as terminal:
        pid = terminal.process.pid
        engines: list[int] = []
        while not engines and terminal.process.poll() is None:  # bounded: it answers and ends
            engines = children(pid)
        terminal.type("\x03")
        assert terminal.wait_for_end() in (0, 130)  # 0 where the answer was faster than the key
        assert not any(processes.exists(engine) for engine in engines)


def test_no_engine_outlives_a_gateway_that_was_killed(alone: Run, home: Path) -> None:
    command = [sys.executable, "-m", "lmbridge", "serve", "--port", "0", "--model", "lmbridge-tiny"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(home)
    ) as gateway:
        assert gateway.stdout is not None
        while b"is loaded" not in gateway.stdout.readline():
            assert gateway.poll() is None
        engines = children(gateway.pid)
        assert engines
        os.kill(gateway.pid, signal.SIGKILL)
        gateway.wait(PATIENCE_S)
        while any(processes.exists(engine) for engine in engines):  # bounded by the test's own limit
            os.sched_yield()


def test_talking_through_a_gateway_keeps_the_model_in_memory(alone: Run, home: Path) -> None:
    assert alone("gateway", "start", "--port", "0").returncode == 0
    try:
        with Terminal(home, "chat") as terminal:
            terminal.wait_for("lmbridge-tiny (embedded)")
            terminal.wait_for("> ")
            terminal.enter("Hello")
            terminal.wait_for("tokens/s")
            terminal.enter("/quit")
            assert terminal.wait_for_end() == 0
        states = json.loads(alone("ps", "--json").stdout)["models"]
        assert [(state["model"], state["state"]) for state in states] == [("lmbridge-tiny", "ready")]
    finally:
        assert alone("gateway", "stop").returncode == 0


def test_a_model_may_be_named_by_the_path_of_its_file(
    alone: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "models").mkdir()
    chat_model(home / "models" / "mine.gguf")
    monkeypatch.chdir(home / "models")
    told = json.loads(alone("chat", "./mine.gguf", "-p", "x", "-n", "3", "--json").stdout)
    assert told["model"] == "mine"


@pytest.mark.parametrize(
    ("name", "says"), [("./none.gguf", "is not there"), ("./", "is a folder"), ("~/x", "not there")]
)
def test_a_path_that_leads_to_no_file_is_told_as_such(alone: Run, name: str, says: str) -> None:
    done = alone("chat", name, "-p", "x")
    assert done.returncode == 3
    assert f"{name} " in done.stderr
    assert says in done.stderr


def test_a_file_by_its_path_is_loaded_into_a_gateway_started_for_it_and_into_no_other(
    alone: Run, home: Path, tmp_path: Path
) -> None:
    (home / "lmbridge.toml").write_text("[gateway]\nport = 0\n")
    mine, other = chat_model(tmp_path / "mine.gguf"), chat_model(tmp_path / "other.gguf")
    try:
        loaded = alone("load", str(mine), "--context-length", "512")
        assert loaded.returncode == 0, loaded.stderr
        assert "mine (embedded) is loaded: 512 tokens of context" in loaded.stdout
        refused = alone("load", str(other))
        assert refused.returncode == 3
        assert f"does not offer {other}" in refused.stderr
        assert f"lmbridge gateway start --model {other}" in refused.stderr
    finally:
        assert alone("gateway", "stop").returncode == 0


def test_the_built_in_model_says_what_it_is_for_and_where_to_go_on(home: Path) -> None:
    (home / "lmbridge.toml").write_text("[embedded]\nlmstudio_models = false\n")
    with Terminal(home, "chat", "lmbridge-tiny") as terminal:
        terminal.wait_for("made to show and test that all works; for more, put a GGUF file into")
    (home / "models").mkdir()
    chat_model(home / "models" / "mine.gguf")
    with Terminal(home, "chat", "lmbridge-tiny") as terminal:
        terminal.wait_for("/model lists the others you have.")
    with Terminal(home, "chat", "mine") as terminal:
        terminal.wait_for("Ask something")
        assert "very small" not in terminal.text


def test_a_file_that_is_damaged_is_listed_with_the_reason_and_refused(alone: Run, home: Path) -> None:
    (home / "models").mkdir()
    whole = chat_model(home / "models" / "mine.gguf")
    truncated(home / "models" / "cut.gguf", whole)
    assert any(line.startswith("!  cut: truncated") for line in alone("ls").stdout.splitlines())
    done = alone("chat", "cut", "-p", "x")
    assert done.returncode == 5
    assert "cut.gguf" in done.stderr


def test_loading_shows_how_far_it_is_and_what_it_became(alone: Run, home: Path) -> None:
    (home / "lmbridge.toml").write_text("[gateway]\nport = 0\n")
    try:
        with Terminal(home, "load", "lmbridge-tiny", "--context-length", "99999", "--ttl", "60") as terminal:
            terminal.wait_for("starting one in the background")
            terminal.wait_for("Loading lmbridge-tiny ━")
            terminal.wait_for("made for 2,048 tokens of context, not 99,999")
            terminal.wait_for("lmbridge-tiny (embedded) is loaded: 2,048 tokens of context")
            assert terminal.wait_for_end() == 0
        shown = alone("ps").stdout.splitlines()
        assert shown[0].split() == [
            "MODEL",
            "PROVIDER",
            "STATE",
            "ANSWERING",
            "WAITING",
            "CONTEXT",
            "MEMORY",
            "STAYS",
        ]
        assert shown[1].split()[:3] == ["lmbridge-tiny", "embedded", "ready"]
        unloaded = alone("unload", "lmbridge-tiny").stdout
        assert "is unloaded" in unloaded
        assert "are free again" in unloaded
    finally:
        assert alone("gateway", "stop").returncode == 0


def test_who_names_no_model_gets_his_own_one_and_the_demonstration_the_built_in_one(
    alone: Run, home: Path
) -> None:
    own = home / "models" / "own-q8_0.gguf"
    own.parent.mkdir(parents=True)
    shutil.copy(BUILTIN / "lmbridge-tiny.gguf", own)
    assert json.loads(alone("chat", "-p", "Hello", "--json").stdout)["model"] == "own"
    assert "lmbridge-tiny (embedded): " in alone("demo", "Hello").stdout
