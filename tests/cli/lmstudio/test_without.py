"""No LM Studio on this computer: every verb says what is missing, and what works anyway."""

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.cli.lmstudio.conftest import runs_as
from tests.fakes.lmstudio.install import FakeInstall

SCREEN = 24


@pytest.fixture
def lmbridge(stranger: FakeInstall, home: Path) -> Run:
    return runs_as(stranger, home)


@pytest.mark.parametrize(
    ("verb", "code"),
    [
        ("lmstudio status", 4),
        ("lmstudio start", 4),
        ("lmstudio stop", 4),
        ("lmstudio bootstrap --yes", 4),
        ("lmstudio log", 4),
        ("lmstudio setup --yes", 4),
        ("get some/model --provider lmstudio", 4),
        ("load some-model --provider lmstudio", 4),
        ("chat --provider lmstudio -p Hello", 4),
        ("chat lmstudio:some-model -p Hello", 4),
        ("chat lmstudio:some-model --get -p Hello", 4),
        ("unload some-model --provider lmstudio", 4),
        ("unload --all --provider lmstudio", 0),
        ("ls --provider lmstudio", 0),
        ("ps --provider lmstudio", 0),
        ("status --provider lmstudio", 0),
    ],
)
def test_a_verb_that_needs_it_says_so_in_one_screen(lmbridge: Run, verb: str, code: int) -> None:
    done = lmbridge(*verb.split())
    shown = done.stdout + done.stderr
    assert done.returncode == code, shown
    assert "Traceback" not in shown
    assert len(shown.splitlines()) <= SCREEN
    if code:
        assert "LM Studio" in shown
        assert "lmstudio.ai" in shown, "how it is installed"
        assert "embedded engine" in shown, "what works anyway"


@pytest.mark.parametrize("verb", ["ls", "ps", "status", "chat -p Hello -n 2", "demo"])
def test_a_verb_that_does_not_need_it_works(lmbridge: Run, verb: str) -> None:
    done = lmbridge(*verb.split())
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_the_doctor_tells_what_answers_without_it(lmbridge: Run) -> None:
    done = lmbridge("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert any("✗ installed" in line for line in lines)
    assert "lmstudio.ai" in done.stdout
    assert sum("not looked at, needs:" in line for line in lines) >= 6
    assert lines[-1].startswith("These can answer: embedded")
    told = json.loads(lmbridge("doctor", "--json").stdout)
    assert told["ok"] is True
    assert told["answers"] == ["embedded"]
