"""LM Studio's models at the commands that serve all models: get, ls, ps, load, unload, chat, status."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import PATIENCE_S, Run, Terminal
from tests.cli.lmstudio.conftest import at, runs_as
from tests.fakes.lmstudio import GOOD_TOKEN
from tests.fakes.lmstudio.install import FakeInstall
from tests.fakes.lmstudio.models import GEMMA, NOMIC, QWEN, THINKER

GPT_OSS = "openai/gpt-oss-20b"


@pytest.fixture
def started(lmbridge: Run, user: FakeInstall) -> Run:
    """The command, with LM Studio's server running."""
    assert user.run("server", "start").returncode == 0
    return lmbridge


def in_memory(lmbridge: Run) -> list[str]:
    return [each.get("name") or each["model"] for each in json.loads(lmbridge("ps", "--json").stdout)["models"]]


# -- get ------------------------------------------------------------------------------------------


def test_get_tells_its_progress_in_plain_lines_and_its_outcome_in_one(started: Run, user: FakeInstall) -> None:
    user.wish(download_s=0.2)
    done = started("get", GPT_OSS)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^{GPT_OSS} \(lmstudio\) is here, .* after .*\.$", done.stdout, re.M)
    assert f"`lmbridge chat lmstudio:{GPT_OSS}` uses it." in done.stdout
    assert done.stderr.startswith(f"Downloading {GPT_OSS} …\n")
    assert "100%" in done.stderr


def test_get_in_json_is_one_object_on_standard_output(started: Run) -> None:
    first = started("get", GPT_OSS, "--json")
    told = json.loads(first.stdout)
    assert (told["model"]["id"], told["model"]["provider"], told["state"]) == (GPT_OSS, "lmstudio", "completed")
    assert json.loads(started("get", GPT_OSS, "--json").stdout)["state"] == "already_downloaded"


def test_get_of_a_name_that_nobody_has_is_an_error(started: Run) -> None:
    done = started("get", "no-one/has-this", "--provider", "lmstudio")
    assert done.returncode in (3, 5)
    assert "no-one/has-this" in done.stderr
    assert "Traceback" not in done.stderr


def test_get_while_the_server_is_down_tells_the_command_that_starts_it(lmbridge: Run) -> None:
    done = lmbridge("get", GPT_OSS, "--provider", "lmstudio")
    assert done.returncode == 4
    assert "LM Studio" in done.stderr
    assert "`lmbridge lmstudio start`" in done.stderr


def test_who_has_lm_studio_gets_models_there_unless_he_says_otherwise(lmbridge: Run) -> None:
    done = lmbridge("get", GPT_OSS)
    assert done.returncode == 4
    assert "`lmbridge lmstudio start`" in done.stderr
    assert f"`lmbridge get {GPT_OSS} --provider embedded`" in done.stderr


def test_a_quantization_is_named_once(lmbridge: Run) -> None:
    done = lmbridge("get", "owner/model@q8_0", "--quantization", "q4_k_m")
    assert done.returncode == 2
    assert "names a quantization already" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_leaves_a_download_cleanly_and_says_what_becomes_of_it(
    started: Run, user: FakeInstall, home: Path
) -> None:
    user.wish(download_s=60)
    with Terminal(home, "get", GPT_OSS, **at(user, home)) as terminal:
        terminal.wait_for("%")
        terminal.type("\x03")
        terminal.wait_for("LM Studio may go on with it by itself")
        terminal.wait_for(f"`lmbridge get {GPT_OSS}` goes on where it stopped")
        assert terminal.wait_for_end() == 130
        assert "Traceback" not in terminal.text


def test_a_missing_model_is_downloaded_first_where_that_was_asked_for(started: Run) -> None:
    refused = started("chat", f"lmstudio:{GPT_OSS}", "-p", "Hello")
    assert refused.returncode == 3
    done = started("chat", GPT_OSS, "--provider", "lmstudio", "--get", "-p", "Hello", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads(done.stdout)["model"] == GPT_OSS
    assert "Downloading" in done.stderr


# -- ls, ps, status -------------------------------------------------------------------------------


def test_ls_shows_what_lm_studio_has_and_what_it_can(started: Run) -> None:
    lines = started("ls", "--provider", "lmstudio").stdout.splitlines()
    assert lines[0] == "lmstudio"
    row = {line.split()[0]: line for line in lines[2:]}
    assert "tools" in row[QWEN.key]
    assert "reasoning" in row[THINKER.key]
    assert "vision" in row[GEMMA.key]
    assert "embedding" in row[NOMIC.key]


def test_what_the_app_has_loaded_is_listed_and_marked(started: Run, user: FakeInstall) -> None:
    assert user.run("load", QWEN.key, "--yes").returncode == 0
    assert any(line.startswith("●") and QWEN.key in line for line in started("ls").stdout.splitlines())
    shown = started("ps")
    assert QWEN.key in shown.stdout
    assert "as lmstudio keeps it" in shown.stdout
    assert QWEN.key in started("status").stdout


def test_a_list_of_a_server_that_is_down_is_shown_with_its_age_and_the_reason(
    started: Run, user: FakeInstall
) -> None:
    assert QWEN.key in started("ls").stdout
    assert user.run("server", "stop").returncode == 0
    done = started("ls", "--provider", "lmstudio")
    assert done.returncode == 0
    assert QWEN.key in done.stdout
    assert re.search(r"This list is .* old\..* does not run: .*`lmbridge lmstudio start`", done.stdout)


def test_status_tells_the_state_of_lm_studio_and_the_command_that_mends_it(lmbridge: Run) -> None:
    out = lmbridge("status", "--provider", "lmstudio").stdout
    assert re.search(r"^○ lmstudio .*unavailable", out, re.M)
    assert "lmbridge lmstudio start" in out


# -- load, unload ---------------------------------------------------------------------------------


def test_load_leaves_a_model_in_lm_studio_without_a_gateway(started: Run, user: FakeInstall, home: Path) -> None:
    done = started("load", QWEN.key, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["model"], told["provider"], told["state"]) == (QWEN.key, "lmstudio", "ready")
    assert not (home / "gateway.json").exists()
    assert QWEN.key in user.run("ps").stdout


def test_a_load_that_tells_no_progress_shows_for_how_long_it_has_been(
    started: Run, user: FakeInstall, home: Path
) -> None:
    user.wish(load_s=1.5)
    with Terminal(home, "load", QWEN.key, **at(user, home)) as terminal:
        terminal.wait_for(f"Loading {QWEN.key} ━")
        terminal.wait_for("0%  1 s")
        terminal.wait_for("(lmstudio) is loaded")
        assert terminal.wait_for_end() == 0


def test_a_model_that_is_loaded_already_is_not_loaded_again(started: Run) -> None:
    assert started("load", QWEN.key).returncode == 0
    assert started("load", QWEN.key).returncode == 0
    assert in_memory(started) == [QWEN.key]


def test_what_is_loaded_with_a_smaller_context_is_not_taken_from_under_whoever_uses_it(started: Run) -> None:
    assert started("load", QWEN.key, "--context-length", "2048").returncode == 0
    refused = started("load", QWEN.key, "--context-length", "4096")
    assert refused.returncode == 2
    assert f"`lmbridge unload {QWEN.key}`" in refused.stderr
    assert started("unload", QWEN.key).returncode == 0
    assert "4,096 tokens of context" in started("load", QWEN.key, "--context-length", "4096").stdout
    assert in_memory(started) == [QWEN.key]


def test_load_can_download_first(started: Run) -> None:
    done = started("load", GPT_OSS, "--provider", "lmstudio", "--get")
    assert done.returncode == 0, done.stderr
    assert in_memory(started) == [GPT_OSS]


def test_unload_gives_back_what_others_have_loaded(started: Run, user: FakeInstall) -> None:
    for key in (QWEN.key, NOMIC.key):
        assert user.run("load", key, "--yes").returncode == 0
    one = started("unload", QWEN.key)
    assert (one.returncode, f"{QWEN.key} (lmstudio) is unloaded" in one.stdout) == (0, True), one.stderr
    assert in_memory(started) == [NOMIC.key]
    assert started("unload", "--all", "--provider", "lmstudio").returncode == 0
    assert in_memory(started) == []
    assert "No model is in memory." in started("unload", "--all").stdout


def test_unload_of_what_is_not_loaded_says_so(started: Run) -> None:
    done = started("unload", QWEN.key)
    assert done.returncode == 3
    assert "is not in memory" in done.stderr


def test_what_cannot_be_seen_while_the_server_is_down_is_said(started: Run, user: FakeInstall) -> None:
    known = QWEN.key
    assert known in started("ls").stdout
    assert user.run("server", "stop").returncode == 0
    for verb in (["ps"], ["ps", "--provider", "lmstudio"], ["unload", "--all"]):
        done = started(*verb)
        assert done.returncode == 0
        assert "What LM Studio holds cannot be seen." in done.stderr
        assert "`lmbridge lmstudio start`" in done.stderr
    # It may be in the memory of the app, which goes on without its server.
    done = started("unload", known)
    assert done.returncode == 4
    assert "`lmbridge lmstudio start`" in done.stderr


@pytest.mark.parametrize("verb", ["load", "unload", "chat"])
def test_a_model_that_lm_studio_may_have_is_told_with_how_to_ask_it(lmbridge: Run, verb: str) -> None:
    done = lmbridge(verb, "openai/gpt-oss-20b", *(["-p", "Hello"] if verb == "chat" else []))
    assert done.returncode == 3
    assert "No model named 'openai/gpt-oss-20b'" in done.stderr
    assert "LM Studio may have it." in done.stderr
    assert "`lmbridge lmstudio start`" in done.stderr


def test_where_there_is_no_lm_studio_a_missing_model_is_no_occasion_to_tell_of_it(
    stranger: FakeInstall, home: Path
) -> None:
    done = runs_as(stranger, home)("chat", "openai/gpt-oss-20b", "-p", "Hello")
    assert done.returncode == 3
    assert "LM Studio" not in done.stderr


def test_a_chat_leaves_what_it_found_loaded(started: Run, user: FakeInstall) -> None:
    assert user.run("load", QWEN.key, "--yes").returncode == 0
    done = started("chat", "--provider", "lmstudio", "-p", "Hello", "--json")
    assert json.loads(done.stdout)["model"] == QWEN.key
    assert in_memory(started) == [QWEN.key]


def test_a_server_that_wants_a_token_ends_a_chat_with_a_code_of_its_own(started: Run, user: FakeInstall) -> None:
    user.wish(token=GOOD_TOKEN)
    done = started("chat", f"lmstudio:{QWEN.key}", "-p", "Hello")
    assert done.returncode == 7, done.stderr
    assert "token" in done.stderr


# -- through a gateway ----------------------------------------------------------------------------


def test_a_gateway_uses_and_shows_the_same(started: Run, user: FakeInstall) -> None:
    assert user.run("load", QWEN.key, "--yes").returncode == 0
    assert started("gateway", "start", "--port", "0").returncode == 0
    try:
        assert in_memory(started) == [QWEN.key]
        done = started("chat", f"lmstudio:{QWEN.key}", "-p", "Hello", "--json")
        assert json.loads(done.stdout)["provider"] == "lmstudio"
        assert started("unload", QWEN.key).returncode == 0
        assert in_memory(started) == []
    finally:
        assert started("gateway", "stop").returncode == 0


def test_a_gateway_downloads_a_missing_model_where_that_was_asked_for(started: Run) -> None:
    assert started("gateway", "start", "--port", "0").returncode == 0
    try:
        done = started("chat", GPT_OSS, "--provider", "lmstudio", "--get", "-p", "Hello", "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        assert json.loads(done.stdout)["provider"] == "lmstudio"
        assert "Downloading" in done.stderr
    finally:
        assert started("gateway", "stop").returncode == 0


def test_a_get_without_a_terminal_can_be_interrupted(started: Run, user: FakeInstall, home: Path) -> None:
    user.wish(download_s=60)
    command = [sys.executable, "-m", "lmbridge", "get", GPT_OSS]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=at(user, home)
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130


# -- how long a model stays ------------------------------------------------------------------------


def test_a_model_that_is_loaded_stays_until_it_is_unloaded_as_in_lm_studio(
    started: Run, user: FakeInstall
) -> None:
    assert started("load", QWEN.key).returncode == 0
    assert started("load", THINKER.key, "--ttl", "60").returncode == 0
    held = {each["identifier"]: each["ttlMs"] for each in json.loads(user.run("ps", "--json").stdout)}
    assert held == {QWEN.key: None, THINKER.key: 60_000}


def test_without_its_command_a_model_stays_too_and_only_a_gateway_can_mind_a_time(
    started: Run, user: FakeInstall
) -> None:
    user.lms.rename(user.lms.with_name("elsewhere"))
    assert started("load", QWEN.key).returncode == 0
    assert in_memory(started) == [QWEN.key]
    done = started("load", THINKER.key, "--ttl", "60", "--no-gateway")
    assert done.returncode == 11, done.stderr
    assert in_memory(started) == [QWEN.key]
    user.lms.with_name("elsewhere").rename(user.lms)
