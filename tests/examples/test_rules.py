"""The example extension: built and installed as a package, without a network, and used by command and Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "examples" / "lmbridge-rules"
FOREIGN = ("LMBRIDGE_", "LMSTUDIO_", "LM_API_", "PYTHON")

PROGRAM = """
import lmbridge

with lmbridge.sync.connect(gateway=False) as hub:
    rules = hub.provider("rules")
    print(rules.is_configured(), rules.complete("Hello").text, hub.default_provider())
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    copy = folder / "source"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder / "site"), str(copy)]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    return folder / "site"


class User:
    """Who has the package installed."""

    def __init__(self, home: Path, site: Path) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        here = {"LMBRIDGE_HOME": str(home), "LMBRIDGE_DISABLED": "lmstudio", "PYTHONPATH": str(site)}
        self.home, self.env = home, {**own, **here}

    def run(self, *arguments: str, input: str = "", fails: bool = False) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "lmbridge", *arguments],
            env=self.env,
            input=input,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else done.stdout

    def python(self, code: str) -> str:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def user(tmp_path: Path, installed: Path) -> User:
    return User(tmp_path / "home", installed)


def test_it_is_found_as_soon_as_it_is_installed_and_says_what_it_needs(user: User) -> None:
    listed = json.loads(user.run("providers", "list", "--json"))
    rules = next(each for each in listed["providers"] if each["id"] == "rules")
    assert (rules["state"], rules["extension"]) == ("needs_key", "rules")
    assert listed["extensions"][0]["package"] == "lmbridge-rules"
    assert "providers set rules token -" in user.run("providers", "list")
    assert "token" in user.run("providers", "show", "rules")


def test_with_its_secret_it_answers_by_command_and_by_python(user: User) -> None:
    user.run("providers", "set", "rules", "token", "-", input="open-sesame\n")
    user.run("providers", "set", "rules", "answers=hello=Hi there!,bye=See you.", "count=true")
    assert user.run("chat", "rules:parrot", "-p", "hello") == "Hi there!\n"
    loads = json.loads((user.home / "extensions" / "rules" / "loads.json").read_text())
    assert loads == {"loads": 1}
    user.run("providers", "set-default", "rules")
    assert user.run("chat", "-p", "Polly wants a cracker") == "Polly wants a cracker\n"
    assert user.python(PROGRAM) == "True Hi there! rules"
    everything = "".join(path.read_text() for path in user.home.rglob("*.json") if path.name != "secrets.json")
    assert "open-sesame" not in everything + user.run("providers", "show", "rules", "--json")


def test_one_that_is_disabled_is_not_asked_and_its_settings_stay(user: User) -> None:
    user.run("providers", "set", "rules", "token", "-", input="open-sesame\n")
    user.run("providers", "set-default", "rules")
    assert "The default is embedded now." in user.run("providers", "disable", "rules")
    assert "No model named" in user.run("chat", "rules:parrot", "-p", "hi", fails=True)
    user.run("providers", "enable", "rules")
    assert user.run("chat", "rules:parrot", "-p", "hi") == "hi\n"


def test_its_own_tests_pass(user: User) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(SOURCE / "tests")]
    done = subprocess.run(
        command, env=user.env, cwd=user.home.parent, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
