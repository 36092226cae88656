"""`lmbridge providers`, as a process."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from tests.cli.conftest import Run, Terminal
from tests.fakes.lmstudio import fake_lmstudio
from tests.fakes.openai_server import FakeOpenAI

from lmbridge.cli.providers.servers import SORTS
from lmbridge.providers.openai.presets import PRESETS_BY_NAME
from lmbridge.registry.choosing import ANTHROPIC, OTHER


def told(run: Run, *arguments: str, env: dict[str, str] | None = None) -> dict[str, object]:
    done = run("providers", *arguments, "--json", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def states(run: Run, env: dict[str, str] | None = None) -> dict[str, str]:
    return {each["id"]: each["state"] for each in told(run, "list", env=env)["providers"]}  # type: ignore[attr-defined]


def test_every_sort_of_server_can_be_added() -> None:
    assert (*PRESETS_BY_NAME, ANTHROPIC, OTHER) == SORTS


def test_with_its_server_up_a_provider_is_listed_with_its_models_and_can_be_made_the_default(
    alone: Run, server: FakeOpenAI
) -> None:
    assert alone("providers", "add", "vllm", "fake", "--url", server.url).returncode == 0
    assert states(alone) == {"lmstudio": "disabled", "embedded": "ready", "fake": "ready"}
    listed = next(each for each in told(alone, "list")["providers"] if each["id"] == "fake")  # type: ignore[attr-defined]
    assert listed["display_name"] == "vLLM"
    assert listed["capabilities"] == {"streaming": True, "tools": None, "vision": None, "models": ["fake-chat"]}
    assert told(alone, "set-default", "fake") == {"default": "fake", "restart_gateway": False}
    assert "fake (default)" in alone("providers", "list").stdout
    done = alone("chat", "-p", "Hello", "--json")
    assert json.loads(done.stdout)["provider"] == "fake"
    assert "POST /v1/chat/completions" in [route for route, _ in server.requests]


def test_with_its_server_down_nothing_breaks(alone: Run) -> None:
    alone("providers", "add", "ollama", "--url", "http://127.0.0.1:1")
    assert states(alone)["ollama"] == "unavailable"
    assert alone("chat", "-p", "Hello").returncode == 0
    alone("providers", "set-default", "ollama")
    done = alone("chat", "-p", "Hello")
    assert done.returncode == 4
    assert "cannot be reached" in done.stderr


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[dict[str, str]]:
    with start_blocking_portal() as portal:
        context = fake_lmstudio(tmp_path / "user", version="0.4")
        with portal.wrap_async_context_manager(context) as fake:
            yield {"LMBRIDGE_DISABLED": "", "LMSTUDIO_BASE_URL": fake.url}


def test_lm_studio_is_listed_and_its_models_answer_who_names_none(alone: Run, studio: dict[str, str]) -> None:
    assert states(alone, studio)["lmstudio"] == "ready"
    alone("providers", "set-default", "lmstudio", env=studio)
    done = alone("chat", "-p", "Hello", "--json", env=studio)
    assert json.loads(done.stdout)["provider"] == "lmstudio", done.stderr


def test_when_lm_studio_is_down_it_is_not_ready_and_the_rest_is(alone: Run) -> None:
    env = {"LMBRIDGE_DISABLED": "", "LMSTUDIO_BASE_URL": "http://127.0.0.1:1"}
    assert states(alone, env) == {"lmstudio": "unavailable", "embedded": "ready"}


def test_the_default_that_is_disabled_is_followed_by_the_next(alone: Run, server: FakeOpenAI) -> None:
    alone("providers", "add", "other", "fake", "--url", server.url)
    alone("providers", "set-default", "fake")
    done = alone("providers", "disable", "fake")
    assert "The default is embedded now." in done.stdout
    assert states(alone)["fake"] == "disabled"
    assert told(alone, "enable", "fake")["enabled"] == "fake"
    assert told(alone, "list")["default"] == "embedded"
    assert told(alone, "set-default", "--none")["default"] == ""
    assert alone("providers", "set-default").returncode == 2


def test_what_the_environment_disables_is_enabled_there(alone: Run) -> None:
    done = alone("providers", "enable", "lmstudio")
    assert done.returncode == 12
    assert "LMBRIDGE_DISABLED" in done.stderr


def test_the_order_decides_who_comes_first(alone: Run, server: FakeOpenAI) -> None:
    alone("providers", "add", "other", "fake", "--url", server.url)
    assert told(alone, "order", "fake")["order"] == ["fake"]
    assert next(iter(states(alone))) == "fake"
    assert told(alone, "order", "--reset")["order"] == []
    assert alone("providers", "order").returncode == 2


def test_settings_are_shown_as_a_form_and_set_by_their_type(alone: Run, home: Path) -> None:
    done = alone("providers", "set", "embedded", "check_memory=false", "folders=/a,/b")
    assert done.stdout == "embedded: check_memory is false, folders is /a, /b.\n"
    form = {each["name"]: each for each in told(alone, "show", "embedded")["settings"]}  # type: ignore[attr-defined]
    assert form["check_memory"]["value"] is False
    assert (form["auto_download"]["type"], form["auto_download"]["set"]) == ("boolean", False)
    assert "check_memory         false" in alone("providers", "show", "embedded").stdout
    wrong = alone("providers", "set", "embedded", "auto_download=true", "check_memory=maybe")
    assert wrong.returncode == 12
    assert "true or false" in wrong.stderr
    assert "auto_download" not in (home / "providers.json").read_text()
    assert told(alone, "unset", "embedded", "check_memory")["unset"] == ["check_memory"]
    assert alone("providers", "unset", "embedded", "check_memory").returncode == 2


def test_an_extension_that_failed_is_shown_with_its_reason(alone: Run, tmp_path: Path) -> None:
    package = tmp_path / "bad-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[lmbridge.extensions]\nbad = no_such_module:Bad\n")
    installed = {"PYTHONPATH": str(tmp_path)}
    done = alone("providers", "show", "bad", env=installed)
    assert done.returncode == 0
    assert "It failed: ModuleNotFoundError" in done.stderr
    shown = told(alone, "show", "bad", env=installed)
    assert (shown["state"], shown["settings"]) == ("extension", [])
    assert "no_such_module" in str(shown["reason"])


def test_what_lmbridge_toml_sets_goes_first_and_that_is_said(alone: Run, home: Path) -> None:
    toml = "# mine\n[embedded]\ncheck_memory = true\n"
    (home / "lmbridge.toml").write_text(toml)
    done = alone("providers", "set", "embedded", "check_memory=false")
    assert "lmbridge.toml or the environment sets check_memory of embedded, which goes first" in done.stderr
    assert (home / "lmbridge.toml").read_text() == toml


def test_a_secret_is_read_from_a_pipe_and_shown_nowhere(alone: Run, home: Path) -> None:
    alone("providers", "add", "openai")
    refused = alone("providers", "set", "openai", "key=sesame")
    assert refused.returncode == 2
    assert "lmbridge providers set openai key -" in refused.stderr
    assert "sesame" not in refused.stdout + refused.stderr
    for arguments in (("key", "-"), ("key=-",)):
        done = alone("providers", "set", "openai", *arguments, input="open sesame\n")
        assert done.returncode == 0, done.stderr
        assert done.stdout == "openai: key is in the file secrets.json, which only you can read.\n"
    shown = alone("providers", "show", "openai").stdout + alone("providers", "show", "openai", "--json").stdout
    everything = shown + alone("providers", "list", "--json").stdout + (home / "providers.json").read_text()
    assert "sesame" not in everything
    if os.name == "posix":
        assert stat.S_IMODE((home / "secrets.json").stat().st_mode) == 0o600
    assert "open sesame" in (home / "secrets.json").read_text()
    bad = alone("providers", "set", "openai", "key", "-", input="sésame\n")
    assert bad.returncode == 12
    assert "same" not in bad.stderr
    assert alone("providers", "set", "openai", "key", "-").returncode == 2  # nothing there to read
    assert told(alone, "remove", "openai")["removed"] == "openai"
    assert "sesame" not in (home / "secrets.json").read_text()


def test_a_secret_is_asked_for_on_a_terminal_and_not_shown_while_it_is_typed(alone: Run, home: Path) -> None:
    alone("providers", "add", "openai")
    with Terminal(home, "providers", "set", "openai", "key", "-") as terminal:
        terminal.wait_for("key:")
        terminal.enter("sesame")
        terminal.wait_for("key is in the file")
        assert terminal.wait_for_end() == 0
        assert "sesame" not in terminal.text


def test_a_value_that_is_missing_is_told_with_the_way_to_give_it(alone: Run) -> None:
    done = alone("providers", "set", "embedded", "folders")
    assert done.returncode == 2
    assert "write folders=VALUE, or folders - to read it" in done.stderr
    two = alone("providers", "set", "embedded", "folders", "-", "model", "-")
    assert "Only one value" in two.stderr


def test_a_server_is_discovered_only_where_it_is_looked_for(alone: Run, server: FakeOpenAI) -> None:
    before = len(server.requests)
    alone("providers", "list")
    assert len(server.requests) == before
    done = alone("providers", "discover", server.url)
    assert f"lmbridge providers add other NAME --url {server.url}" in done.stdout
    assert told(alone, "discover", server.url)["found"][0]["models"] == 2  # type: ignore[index]
    assert "No server" in alone("providers", "discover", "http://127.0.0.1:1").stdout


def test_a_server_of_no_known_sort_needs_a_name_and_a_url(alone: Run) -> None:
    assert "Give it a name and --url." in alone("providers", "add", "other").stderr


def test_who_does_not_exist_is_told_with_the_nearest(alone: Run) -> None:
    done = alone("providers", "show", "embeded")
    assert done.returncode == 2
    assert "Did you mean 'embedded'?" in done.stderr


def test_a_gateway_that_runs_must_begin_anew_and_that_is_said(alone: Run, server: FakeOpenAI) -> None:
    alone("providers", "add", "other", "fake", "--url", server.url)
    assert alone("gateway", "start", "--port", "0").returncode == 0
    try:
        done = alone("providers", "set-default", "fake")
        assert "goes on with what it began with" in done.stderr
        assert told(alone, "order", "fake")["restart_gateway"] is True
        alone("gateway", "stop")
        alone("gateway", "start", "--port", "0")
        answer = json.loads(alone("chat", "-p", "Hello", "--gateway", "--json").stdout)
        assert answer["provider"] == "fake"
        states = json.loads(alone("status", "--json").stdout)["providers"]
        assert [state["provider"] for state in states if state["default"]] == ["fake"]
    finally:
        alone("gateway", "stop")


@pytest.mark.parametrize("arguments", [("add", "other", "x", "--url", "foo"), ("discover", "http://a:1", "nope")])
def test_what_is_no_address_is_a_wrong_argument(alone: Run, arguments: tuple[str, ...]) -> None:
    done = alone("providers", *arguments)
    assert done.returncode == 2
    assert "must begin with http" in done.stderr
