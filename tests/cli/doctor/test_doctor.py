"""`lmbridge doctor`, as a person and as a program runs it."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run, Terminal, environment
from tests.cli.lmstudio.conftest import runs_as
from tests.fakes.gguf_files import chat_model, truncated
from tests.fakes.lmstudio import GOOD_TOKEN
from tests.fakes.lmstudio.install import FakeInstall, install_fake
from tests.fakes.lmstudio.models import NOMIC, QWEN
from tests.fakes.openai_server import FakeOpenAI


def told(done: Any) -> dict[tuple[str, str], dict[str, Any]]:
    return {(check["part"], check["name"]): check for check in json.loads(done.stdout)["checks"]}


def test_on_a_fresh_machine_the_engine_answers_and_nothing_is_left_behind(alone: Run, home: Path) -> None:
    done = alone("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert any("✓ answer     lmbridge-tiny, one token after" in line for line in lines)
    assert any("✓ embeddings lmbridge-tiny-embed, 192 dimensions" in line for line in lines)
    assert any("✓ memory " in line and " free" in line for line in lines)
    assert "These can answer: embedded, and nothing is amiss." in lines
    assert "\x1b" not in done.stdout
    assert list(home.iterdir()) == []


def test_in_json_it_is_one_object(alone: Run) -> None:
    whole = json.loads(alone("doctor", "--json").stdout)
    assert whole["ok"] is True
    assert whole["answers"] == ["embedded"]
    assert whole["hardware"]["memory"]["total"] > 0
    assert all(check["state"] in ("ok", "failed", "skipped") for check in whole["checks"])
    assert "model" not in whole


def test_on_a_terminal_it_is_coloured(home: Path) -> None:
    with Terminal(home, "doctor") as terminal:
        assert terminal.wait_for_end() == 0
        assert "\x1b[32m✓" in terminal.raw


def test_wrong_settings_are_told_and_the_rest_is_looked_at_all_the_same(alone: Run, home: Path) -> None:
    (home / "lmbridge.toml").write_text("[gateway]\nprot = 1\n")
    done = alone("doctor", "--json")
    assert done.returncode == 12
    checks = told(done)
    assert "gateway.prot" in checks["lmbridge", "settings"]["detail"]
    assert checks["embedded engine", "answer"]["state"] == "ok"
    assert json.loads(done.stdout)["ok"] is False


@pytest.mark.parametrize("below", ["", "folder"])
def test_a_folder_that_cannot_be_written_is_told(alone: Run, tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / below
    check = told(alone("doctor", "--json", env={"LMBRIDGE_HOME": str(folder)}))["lmbridge", "folder"]
    assert (check["state"], str(folder) in check["detail"]) == ("failed", True)
    assert "LMBRIDGE_HOME" in check["hint"]


def test_where_nothing_can_answer_it_ends_with_a_code_of_its_own(alone: Run, home: Path) -> None:
    (home / "lmbridge.toml").write_text('[embedded]\nllama_server = "/nowhere"\n')
    done = alone("doctor")
    assert done.returncode == 4
    assert "✗ engine" in done.stdout
    assert "– answer     not looked at, needs: engine" in done.stdout  # noqa: RUF001 - a dash
    assert done.stdout.splitlines()[-1] == "Nothing here can answer yet."


def test_other_servers_are_looked_at(run: Run, home: Path, server: FakeOpenAI) -> None:
    settings = home / "lmbridge.toml"
    settings.write_text(f'{settings.read_text()}[openai.gone]\nurl = "http://127.0.0.1:9"\n')
    done = run("doctor", "--json")
    checks = told(done)
    assert checks["servers", "fake"]["state"] == "ok"
    assert checks["servers", "gone"]["state"] == "failed"
    assert json.loads(done.stdout)["answers"] == ["embedded", "fake"]


def test_a_gateway_that_runs_is_told(alone: Run) -> None:
    assert alone("gateway", "start", "--port", "0").returncode == 0
    try:
        check = told(alone("doctor", "--json"))["lmbridge", "gateway"]
        assert check["state"] == "ok"
        assert "http://127.0.0.1:" in check["detail"]
    finally:
        assert alone("gateway", "stop").returncode == 0


# -- whether a model would fit --------------------------------------------------------------------


def test_a_model_that_fits_is_told_with_what_it_needs(alone: Run) -> None:
    done = alone("doctor", "lmbridge-tiny", "--json")
    assert done.returncode == 0
    model = json.loads(done.stdout)["model"]
    assert (model["name"], model["fits"], model["estimate"]["verdict"]) == ("lmbridge-tiny", True, "fits")
    assert "needs about" in told(done)["model", "fit"]["detail"]


def test_a_model_that_is_too_large_ends_it_with_a_code_of_its_own(alone: Run, home: Path) -> None:
    (home / "models").mkdir()
    os.truncate(chat_model(home / "models" / "huge.gguf"), 2**40)  # a hole, which takes no room on the disk
    done = alone("doctor", "huge", "--json")
    assert done.returncode == 5
    model = json.loads(done.stdout)["model"]
    assert (model["fits"], model["code"], model["estimate"]["verdict"]) == (False, "not_enough_memory", "no")
    assert "smaller model" in told(done)["model", "fit"]["hint"]


def test_a_model_of_a_server_takes_no_memory_of_this_computer(run: Run) -> None:
    done = run("doctor", "fake:fake-chat", "--json")
    assert done.returncode == 0
    assert "takes none of this computer's memory" in told(done)["model", "fit"]["detail"]


def test_a_model_that_nobody_has_is_told_with_how_to_get_it(alone: Run) -> None:
    done = alone("doctor", "qwen/qwen3-8b")
    assert done.returncode == 3
    assert "✗ fit " in done.stdout
    assert "`lmbridge get qwen/qwen3-8b`" in done.stdout


def test_a_damaged_file_is_told(alone: Run, home: Path) -> None:
    (home / "models").mkdir()
    truncated(home / "models" / "cut.gguf", chat_model(home / "models" / "mine.gguf"))
    done = alone("doctor", "cut")
    assert done.returncode == 5
    assert "truncated" in done.stdout


# -- LM Studio ------------------------------------------------------------------------------------


@pytest.fixture
def user(tmp_path: Path) -> Iterator[FakeInstall]:
    with install_fake(tmp_path / "user") as fake:
        yield fake


LM = "LM Studio"


def states(done: Any) -> dict[str, str]:
    return {name: check["state"] for (part, name), check in told(done).items() if part == LM}


def test_a_server_that_is_down_is_the_one_thing_that_is_wrong(user: FakeInstall, home: Path) -> None:
    done = runs_as(user, home)("doctor", "--json")
    assert done.returncode == 0
    checks = told(done)
    assert states(done) == {
        "installed": "ok",
        "command": "ok",
        "server": "failed",
        **dict.fromkeys(("identity", "token", "models", "loaded", "answer", "embeddings"), "skipped"),
    }
    assert checks[LM, "server"]["command"] == "lmbridge lmstudio start"
    assert user.pid is None, "the doctor has started something"


def test_a_model_in_memory_gives_a_token_and_one_for_embeddings_a_vector(user: FakeInstall, home: Path) -> None:
    lmbridge = runs_as(user, home)
    for command in (["server", "start"], ["load", QWEN.key, "--yes"], ["load", NOMIC.key, "--yes"]):
        assert user.run(*command).returncode == 0
    done = lmbridge("doctor", "--json")
    assert done.returncode == 0
    assert set(states(done).values()) == {"ok"}, told(done)
    assert json.loads(done.stdout)["answers"][0] == "lmstudio"
    assert QWEN.key in told(done)[LM, "answer"]["detail"]
    assert "dimensions" in told(done)[LM, "embeddings"]["detail"]


def test_nothing_is_loaded_for_it(user: FakeInstall, home: Path) -> None:
    assert user.run("server", "start").returncode == 0
    lmbridge = runs_as(user, home)
    done = lmbridge("doctor", "--json")
    assert states(done)["loaded"] == "skipped"
    assert states(done)["answer"] == "skipped"
    assert "lmbridge load lmstudio:" in told(done)[LM, "loaded"]["command"]
    assert json.loads(user.run("ps", "--json").stdout) == []


def test_a_token_that_is_missing_stops_what_needs_it(tmp_path: Path, home: Path) -> None:
    with install_fake(tmp_path / "u", token=GOOD_TOKEN) as fake:
        assert fake.run("server", "start").returncode == 0
        lmbridge = runs_as(fake, home)
        done = lmbridge("doctor", "--json")
        assert (states(done)["identity"], states(done)["token"]) == ("ok", "failed")
        assert states(done)["models"] == "skipped"
        good = lmbridge("doctor", "--json", env={"LM_API_TOKEN": GOOD_TOKEN})
        assert states(good)["token"] == "ok"
        assert GOOD_TOKEN not in good.stdout
        # The command that mends it, and what else is to be known.
        assert re.search(r"→ `(export|\$env:)[^`]*LM_API_TOKEN[^`]*`\. .*Manage Tokens", lmbridge("doctor").stdout)


def test_an_app_that_was_never_started_is_told_once(tmp_path: Path, home: Path) -> None:
    with install_fake(tmp_path / "u", bootstrapped=False) as fake:
        done = runs_as(fake, home)("doctor")
        assert "→ `lmbridge lmstudio bootstrap`" in done.stdout
        assert done.stdout.count("lmbridge lmstudio bootstrap") == 1


@pytest.mark.parametrize(
    ("version", "says"), [("0.4", "needs about 0.1 GiB (a rule of thumb)"), ("0.3", "does not tell its size")]
)
def test_whether_a_model_of_lm_studio_would_fit(tmp_path: Path, home: Path, version: str, says: str) -> None:
    with install_fake(tmp_path / "u", version=version) as fake:
        assert fake.run("server", "start").returncode == 0
        lmbridge = runs_as(fake, home)
        done = lmbridge("doctor", QWEN.key, "--json")
        assert done.returncode == 0, done.stderr
        assert says in told(done)["model", "fit"]["detail"]


def test_settings_that_would_start_it_start_nothing_here(user: FakeInstall, home: Path) -> None:
    (home / "lmbridge.toml").write_text("[lmstudio]\nautostart = true\nauto_download = true\n")
    assert runs_as(user, home)("doctor", "openai/gpt-oss-20b").returncode == 3
    assert user.pid is None


def test_one_that_is_not_to_be_used_is_left_alone(alone: Run) -> None:
    done = alone("doctor", "--json")
    assert [(check["name"], check["state"]) for (part, _), check in told(done).items() if part == LM] == [
        ("settings", "skipped")
    ]
    assert environment(Path("x"))["LMBRIDGE_DISABLED"] == "lmstudio"
