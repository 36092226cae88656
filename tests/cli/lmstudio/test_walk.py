"""What a person does with LM Studio in a terminal, from the start to the end, with nothing but the command."""

import json
from pathlib import Path

from tests.cli.conftest import Run, Terminal
from tests.cli.lmstudio.conftest import at
from tests.fakes.lmstudio.install import FakeInstall

MODEL = "openai/gpt-oss-20b"


def test_a_person_walks_through_all_of_it(lmbridge: Run, user: FakeInstall, home: Path) -> None:
    started = lmbridge("lmstudio", "start")
    assert started.returncode == 0, started.stderr
    assert "answers at" in started.stdout

    assert MODEL not in lmbridge("ls", "--provider", "lmstudio").stdout
    user.wish(download_s=0.3)
    with Terminal(home, "get", MODEL, **at(user, home)) as terminal:
        terminal.wait_for("Downloading")
        terminal.wait_for(f"{MODEL} (lmstudio) is here")
        assert terminal.wait_for_end() == 0
    again = lmbridge("get", MODEL)
    assert again.returncode == 0, again.stderr
    assert "was here already" in again.stdout
    assert MODEL in lmbridge("ls", "--provider", "lmstudio").stdout

    loaded = lmbridge("load", MODEL, "--context-length", "8192")
    assert loaded.returncode == 0, loaded.stderr
    assert f"{MODEL} (lmstudio) is loaded: 8,192 tokens of context" in loaded.stdout
    assert "gateway" not in loaded.stderr
    held = json.loads(lmbridge("ps", "--json").stdout)
    assert [(each["model"], each["provider"]) for each in held["models"]] == [(MODEL, "lmstudio")]
    assert any(line.startswith("●") and MODEL in line for line in lmbridge("ls").stdout.splitlines())

    answered = lmbridge("chat", MODEL, "-p", "Hello")
    assert answered.returncode == 0, answered.stderr
    assert "Hello" in answered.stdout
    told = json.loads(lmbridge("chat", "--provider", "lmstudio", "-p", "Hello", "--json").stdout)
    assert (told["model"], told["provider"]) == (MODEL, "lmstudio")
    assert lmbridge("ps").stdout.count(MODEL) == 1, "a chat takes what is loaded, and leaves it"

    unloaded = lmbridge("unload", MODEL)
    assert unloaded.returncode == 0, unloaded.stderr
    assert f"{MODEL} (lmstudio) is unloaded" in unloaded.stdout
    assert json.loads(lmbridge("ps", "--json").stdout)["models"] == []

    stopped = lmbridge("lmstudio", "stop")
    assert stopped.returncode == 0, stopped.stderr
    assert "has stopped" in stopped.stdout

    doctor = lmbridge("doctor")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert "✗ server" in doctor.stdout
    assert "lmbridge lmstudio start" in doctor.stdout
    assert "These can answer: embedded" in doctor.stdout
