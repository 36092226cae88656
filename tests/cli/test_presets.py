from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run
from tests.fakes.openai_server import FakeOpenAI


def asked(server: FakeOpenAI) -> dict[str, object]:
    return [body for route, body in server.requests if route == "POST /v1/chat/completions"][-1]


def test_a_preset_chooses_the_model_its_options_and_what_it_is_told(run: Run, server: FakeOpenAI) -> None:
    server.models = [{"id": "fake-chat"}, {"id": "other"}]
    done = run("presets", "create", "calm", "model=other", "temperature=0.5", "max_tokens=7", "system=Be calm.")
    assert "lmbridge chat --preset calm" in done.stdout
    assert run("chat", "--preset", "calm", "-p", "Hello").returncode == 0
    body = asked(server)
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("other", 0.5, 7)
    assert body["messages"][0] == {"role": "system", "content": "Be calm."}  # type: ignore[index]


def test_arguments_go_before_a_preset_and_a_preset_before_the_settings(run: Run, server: FakeOpenAI) -> None:
    server.models = [{"id": "fake-chat"}, {"id": "other"}]
    run("presets", "create", "calm", "model=other", "temperature=0.5", "max_tokens=7", "system=Be calm.")
    run("chat", "fake-chat", "--preset", "calm", "-t", "1", "-s", "Be loud.", "-p", "Hello")
    body = asked(server)
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("fake-chat", 1.0, 7)
    assert body["messages"][0]["content"] == "Be loud."  # type: ignore[index]
    run("presets", "create", "plain", "seed=3")
    run("chat", "--preset", "plain", "-p", "Hello")
    assert (asked(server)["model"], asked(server)["seed"]) == ("fake-chat", 3)


def test_the_load_options_of_a_preset_are_those_the_model_is_loaded_with(alone: Run) -> None:
    alone("presets", "create", "small", "model=lmbridge-tiny", "context_length=256")
    done = alone("chat", "--preset", "small", "-p", "word " * 400, "--json")
    assert json.loads(done.stdout)["error"]["code"] == "context_length_exceeded"
    assert "256" in json.loads(done.stdout)["error"]["message"]


def test_presets_are_listed_shown_replaced_and_deleted(alone: Run, home: Path) -> None:
    assert "There are none" in alone("presets", "list").stdout
    made = alone("presets", "create", "a", "system=-", "description=Of a file", "--json", input="Two\nlines\n")
    assert json.loads(made.stdout) == {"name": "a", "file": str(home / "presets" / "a.toml")}
    assert json.loads(alone("presets", "show", "a", "--json").stdout)["system"] == "Two\nlines"
    assert 'description = "Of a file"' in alone("presets", "show", "a").stdout
    assert alone("presets", "create", "a").returncode == 2
    assert alone("presets", "create", "a", "--replace").returncode == 0
    assert alone("presets", "create", "b", "model").returncode == 2
    listed = json.loads(alone("presets", "list", "--json").stdout)["presets"]
    assert listed == [{"name": "a", "preset": {}, "problem": ""}]
    assert json.loads(alone("presets", "delete", "a", "--json").stdout) == {"deleted": "a"}
    assert "no preset 'a'" in alone("chat", "--preset", "a", "-p", "x").stderr


def test_a_wrong_file_is_an_error_that_names_the_line_and_the_list_goes_on(alone: Run, home: Path) -> None:
    (home / "presets").mkdir()
    (home / "presets" / "bad.toml").write_text('model = "m"\n[sampling]\ntemperature = "hot"\n')
    done = alone("chat", "--preset", "bad", "-p", "x")
    assert done.returncode == 12
    assert "bad.toml, line 3: `sampling.temperature`: expected a number" in done.stderr
    alone("presets", "create", "good", "model=m")
    shown = alone("presets", "list").stdout
    assert "line 3" in shown
    assert "good" in shown
    assert alone("presets", "delete", "bad").stdout == "The preset bad is gone.\n"
