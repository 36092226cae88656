"""`lmbridge connect` and `disconnect`, as processes, on a home folder of the tests' own, with a real gateway."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import PATIENCE_S, Run, Terminal, environment
from tests.fakes.openai_server import FakeOpenAI

from lmbridge.hub.keys import PREFIX

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="homes are faked by HOME")


@pytest.fixture
def user(tmp_path: Path) -> Path:
    folder = tmp_path / "user"
    folder.mkdir()
    return folder


@pytest.fixture
def own(user: Path) -> dict[str, str]:
    """The variables of that user."""
    gone = ("XDG_CONFIG_HOME", "CODEX_HOME", "CLAUDE_CONFIG_DIR", "CONTINUE_GLOBAL_DIR", "ZDOTDIR")
    return {"HOME": str(user), "SHELL": "/bin/bash", **dict.fromkeys(gone, "")}


def gateway_of(home: Path, *arguments: str) -> Iterator[str]:
    command = [sys.executable, "-m", "lmbridge", "serve", "--port", "0", *arguments]
    out = subprocess.PIPE
    with subprocess.Popen(
        command, env=environment(home), stdout=out, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            found = next(filter(None, (re.search(r"http://127\.0\.0\.1:\d+", line) for line in process.stdout)))
            yield found[0]
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


@pytest.fixture
def gateway(home: Path, server: FakeOpenAI) -> Iterator[str]:
    """A gateway with the models of the fake server."""
    (home / "lmbridge.toml").write_text(f'model = "fake-chat"\n[openai.fake]\nurl = "{server.url}"\n')
    yield from gateway_of(home)


@pytest.fixture
def locked_gateway(home: Path, server: FakeOpenAI) -> Iterator[str]:
    """The same, and it asks for a key."""
    (home / "lmbridge.toml").write_text(f'model = "fake-chat"\n[openai.fake]\nurl = "{server.url}"\n')
    yield from gateway_of(home, "--require-key")


def told(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    read = json.loads(done.stdout)
    assert isinstance(read, dict)
    return read


def test_a_program_is_connected_tried_out_and_disconnected(
    alone: Run, own: dict[str, str], user: Path, gateway: str
) -> None:
    file = user / ".codex" / "config.toml"
    file.parent.mkdir()
    file.write_text('# mine\nmodel = "gpt-5"\n')
    done = alone("connect", "codex", "--yes", env=own)
    assert done.returncode == 0, done.stderr
    assert '-model = "gpt-5"' in done.stderr
    assert f'+base_url = "{gateway}/v1"' in done.stderr
    assert f"the gateway at {gateway} lists" in done.stdout
    assert "the MCP server answers as lmbridge" in done.stdout
    assert 'model = "fake-chat"' in file.read_text()
    (copy,) = file.parent.glob("config.toml.lmbridge-*.bak")
    assert copy.read_text() == '# mine\nmodel = "gpt-5"\n'
    again = alone("connect", "codex", "--yes", env=own)
    assert "nothing was written" in again.stdout
    assert len(list(file.parent.iterdir())) == 2
    gone = alone("disconnect", "codex", "--yes", env=own)
    assert (gone.returncode, file.read_text()) == (0, '# mine\nmodel = "gpt-5"\n')
    assert alone("disconnect", "codex", "--yes", env=own).returncode == 2


def test_the_list_tells_what_is_found_and_what_is_connected(alone: Run, own: dict[str, str], user: Path) -> None:
    (user / ".cursor").mkdir()
    assert alone("connect", "zed", "--only", "tools", "--yes", "--no-check", env=own).returncode == 0
    rows = {row["program"]: row for row in json.loads(alone("connect", "--json", env=own).stdout)["programs"]}
    assert (rows["cursor"]["found"], rows["cursor"]["connected"]) == (True, False)
    assert (rows["zed"]["connected"], rows["zed"]["uses"], rows["zed"]["url"]) == (True, ["tools"], None)
    assert rows["vscode"]["found"] is False
    listed = alone("connect", env=own).stdout
    assert re.search(r"zed +connected +tools +~/\.config/zed/settings\.json", listed)
    assert re.search(r"cursor +found ", listed)


def test_a_dry_run_shows_the_change_and_does_nothing(
    alone: Run, own: dict[str, str], user: Path, gateway: str
) -> None:
    done = alone("connect", "claude-code", "--dry-run", "--json", env=own)
    read = told(done)
    assert read["connected"] is False
    assert f'+    "ANTHROPIC_BASE_URL": "{gateway}",' in str(read["diff"])
    assert list(user.iterdir()) == []
    assert "Nothing was written." in alone("connect", "cursor", "--dry-run", env=own).stderr


def test_that_a_program_is_not_here_is_said_and_its_settings_are_written(
    alone: Run, own: dict[str, str], user: Path
) -> None:
    first = alone("connect", "cursor", "--yes", "--no-check", env=own)
    assert first.returncode == 0
    assert "Cursor is not found on this computer" in first.stderr
    assert (user / ".cursor" / "mcp.json").is_file()
    (user / ".config" / "zed").mkdir(parents=True)
    assert "not found" not in alone("connect", "zed", "--only", "tools", "--yes", "--no-check", env=own).stderr


def test_json_tells_everything_and_asks_nothing(alone: Run, own: dict[str, str], user: Path, gateway: str) -> None:
    read = told(alone("connect", "continue", "--yes", "--json", "--model", "fake-chat", env=own))
    assert (read["program"], read["connected"], read["url"], read["model"]) == (
        "continue",
        True,
        gateway,
        "fake-chat",
    )
    assert read["files"] == [
        {
            "path": str(user / ".continue" / "config.yaml"),
            "changed": True,
            "new": True,
            "backup": None,
            "others_see_key": False,
        }
    ]
    checked = read["checked"]
    assert isinstance(checked, dict)
    assert str(checked["server"]).startswith("lmbridge ")
    gone = told(alone("disconnect", "continue", "--yes", "--json", env=own))
    assert gone["files"] == [{"path": str(user / ".continue" / "config.yaml"), "changed": True, "removed": True}]


def test_a_person_is_asked_and_may_say_no(home: Path, own: dict[str, str], user: Path) -> None:
    with Terminal(home, "connect", "cursor", **own) as terminal:
        terminal.wait_for("Write this into Cursor's settings?")
        terminal.enter("n")
        assert terminal.wait_for_end() == 0
        assert "Nothing was written." in terminal.text
    assert not (user / ".cursor").exists()
    with Terminal(home, "connect", "cursor", "--no-check", **own) as terminal:
        terminal.wait_for("Write this into Cursor's settings?")
        assert "\x1b[32m+" in terminal.raw
        terminal.enter("y")
        assert terminal.wait_for_end() == 0
    assert (user / ".cursor" / "mcp.json").exists()


@pytest.mark.parametrize("keys", ["\x03", "\x04"], ids=["ctrl-c", "ctrl-d"])
def test_who_goes_away_at_the_question_leaves_everything_as_it_was(
    home: Path, own: dict[str, str], user: Path, keys: str
) -> None:
    with Terminal(home, "connect", "cursor", **own) as terminal:
        terminal.wait_for("Write this into Cursor's settings? [y/N]:")
        assert terminal.end_with(keys) == 130
        assert "Traceback" not in terminal.text
    assert not (user / ".cursor").exists()
    assert not (home / "connections.json").exists()


def test_where_nobody_can_be_asked_the_option_is_named(alone: Run, own: dict[str, str], user: Path) -> None:
    done = alone("connect", "cursor", env=own)
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert not (user / ".cursor").exists()


def test_a_key_is_made_for_asking_alone_used_again_and_revoked(
    alone: Run, own: dict[str, str], user: Path, home: Path, locked_gateway: str
) -> None:
    refused = alone("connect", "codex", "--yes", env=own)
    assert refused.returncode == 7
    assert "--key codex" in refused.stderr
    assert not (user / ".codex").exists()
    done = alone("connect", "codex", "--yes", "--key", "codex", env=own)
    assert done.returncode == 0, done.stderr
    written = (user / ".codex" / "config.toml").read_text()
    (key,) = re.findall(rf"{PREFIX}[\w-]+", written)
    assert key not in done.stdout + done.stderr + (home / "connections.json").read_text()
    (listed,) = json.loads(alone("keys", "list", "--json").stdout)["keys"]
    assert (listed["name"], listed["scopes"]) == ("codex", ["infer"])
    assert "nothing was written" in alone("connect", "codex", "--yes", env=own).stdout
    gone = alone("disconnect", "codex", "--yes", env=own)
    assert "'codex' is revoked" in gone.stdout
    assert key not in gone.stdout + gone.stderr
    assert json.loads(alone("keys", "list", "--json").stdout)["keys"] == []


def test_a_key_that_somebody_revoked_is_made_anew(
    alone: Run, own: dict[str, str], user: Path, locked_gateway: str
) -> None:
    codex = ("connect", "codex", "--only", "models")
    assert alone(*codex, "--yes", "--key", "codex", env=own).returncode == 0
    first = (user / ".codex" / "config.toml").read_text()
    assert alone("keys", "revoke", "codex").returncode == 0
    # The gateway looks at its keys once a second: until then the old one is as good as ever.
    assert any(alone(*codex, "--dry-run", env=own).returncode == 7 for _ in range(50))
    done = alone(*codex, "--yes", "--key", "codex", env=own)
    assert done.returncode == 0, done.stderr
    assert (user / ".codex" / "config.toml").read_text() != first
    assert "'codex' is revoked" in alone("disconnect", "codex", "--yes", env=own).stdout


def test_that_others_can_read_a_key_is_told_of_the_file_that_has_it(
    alone: Run, own: dict[str, str], user: Path, locked_gateway: str
) -> None:
    settings, notes = user / ".claude" / "settings.json", user / ".claude.json"
    settings.parent.mkdir()
    for file in (settings, notes):
        file.write_text("{}")
        file.chmod(0o644)
    done = alone("connect", "claude-code", "--yes", "--key", "claude", env=own)
    assert f"Others on this computer can read {settings}" in done.stderr
    assert f"Others on this computer can read {notes}" not in done.stderr
    read = told(alone("connect", "claude-code", "--yes", "--json", env=own))
    assert {Path(each["path"]): each["others_see_key"] for each in read["files"]} == {settings: True, notes: False}
    assert settings.stat().st_mode & 0o777 == 0o644


def test_a_dry_run_makes_no_key_not_even_one_to_be_printed(
    alone: Run, own: dict[str, str], locked_gateway: str
) -> None:
    for program in ("shell", "open-webui", "codex"):
        done = alone("connect", program, "--key", "laptop", "--dry-run", env=own)
        assert done.returncode == 0, done.stderr
        assert PREFIX not in done.stdout + done.stderr
    assert json.loads(alone("keys", "list", "--json").stdout)["keys"] == []


def test_a_key_that_was_made_in_vain_is_revoked(
    alone: Run, own: dict[str, str], user: Path, locked_gateway: str
) -> None:
    (user / ".codex").mkdir()
    (user / ".codex" / "config.toml").write_text("model = 1\nmodel_providers = 2\n")
    done = alone("connect", "codex", "--yes", "--key", "codex", env=own)
    assert done.returncode == 12
    assert "cannot add to" in done.stderr
    assert json.loads(alone("keys", "list", "--json").stdout)["keys"] == []


def test_a_key_can_be_given_on_standard_input(
    alone: Run, own: dict[str, str], user: Path, locked_gateway: str
) -> None:
    key = alone("keys", "create", "mine").stdout
    done = alone("connect", "claude-code", "--only", "models", "--key", "-", "--yes", input=key, env=own)
    assert done.returncode == 0, done.stderr
    settings = json.loads((user / ".claude" / "settings.json").read_bytes())
    assert settings["env"]["ANTHROPIC_AUTH_TOKEN"] == key.strip()
    wrong = alone("connect", "continue", "--key", "-", "--yes", input="lmb-wrong\n", env=own)
    assert wrong.returncode == 7
    assert not (user / ".continue").exists()


def test_without_a_gateway_a_program_that_needs_one_is_told_how_to_start_it(
    alone: Run, own: dict[str, str], user: Path
) -> None:
    done = alone("connect", "codex", "--yes", env=own)
    assert done.returncode == 11
    assert "gateway start" in done.stderr
    nowhere = alone("connect", "codex", "--yes", "--url", "http://127.0.0.1:9", "--model", "x", env=own)
    assert nowhere.returncode == 11
    assert list(user.iterdir()) == []


def test_unchecked_is_written_what_was_named(alone: Run, own: dict[str, str], user: Path) -> None:
    given = ("--url", "http://elsewhere:1235/v1", "--no-check", "--yes")
    assert alone("connect", "codex", *given, env=own).returncode == 2
    assert alone("connect", "codex", *given, "--model", "qwen3-8b", env=own).returncode == 0
    assert 'base_url = "http://elsewhere:1235/v1"' in (user / ".codex" / "config.toml").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("coedx",), "Did you mean 'codex'?"),
        (("cursor", "--only", "models"), "tools alone"),
        (("codex", "--url", "nowhere"), "not the URL of a gateway"),
        (("codex", "--url", "http://x", "--model", "a\nb"), "cannot be a model"),
        (("claude-code", "--file", "x", "--no-check", "--model", "m"), "--only"),
        (("cursor", "--url", "http://x"), "--url has no use"),
        (("vscode", "--key", "laptop"), "--key has no use"),
        (("codex", "--only", "tools", "--model", "m"), "--model has no use"),
        (("zed", "--model", "m", "--url", "http://x"), "--model has no use"),
        (("codex", "--write", "--url", "http://x", "--model", "m"), "--write has no use"),
    ],
)
def test_what_makes_no_sense_is_refused(
    alone: Run, own: dict[str, str], user: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = alone("connect", *arguments, "--yes", "--no-check", env=own)
    assert done.returncode == 2
    assert said in done.stderr
    assert list(user.iterdir()) == []


def test_a_model_that_is_not_there_is_told(alone: Run, own: dict[str, str], user: Path, gateway: str) -> None:
    done = alone("connect", "codex", "--yes", "--model", "none", env=own)
    assert done.returncode == 3
    assert list(user.iterdir()) == []


def test_a_broken_file_is_named_with_its_line_and_nothing_is_written(
    alone: Run, own: dict[str, str], user: Path
) -> None:
    (user / ".cursor").mkdir()
    (user / ".cursor" / "mcp.json").write_text('{\n  "mcpServers": {\n')
    done = alone("connect", "cursor", "--yes", "--json", env=own)
    error = told(done)["error"]
    assert isinstance(error, dict)
    assert error["code"] == "config_invalid"
    assert f"{user}/.cursor/mcp.json: line 3" in error["message"]
    assert [path.name for path in (user / ".cursor").iterdir()] == ["mcp.json"]


def test_what_somebody_changed_since_is_told_and_goes_only_by_force(
    alone: Run, own: dict[str, str], user: Path
) -> None:
    assert alone("connect", "vscode", "--yes", "--no-check", env=own).returncode == 0
    file = user / ".config" / "Code" / "User" / "mcp.json"
    file.write_text(file.read_text().replace('"mcp"', '"mcp", "--manage"').replace("{", "{ // mine", 1))
    done = alone("disconnect", "vscode", "--yes", env=own)
    assert done.returncode == 12
    assert "servers.lmbridge" in done.stderr
    assert "lmbridge" in file.read_text()
    assert alone("disconnect", "vscode", "--yes", "--force", env=own).returncode == 0
    assert "lmbridge" not in file.read_text()
    assert "// mine" in file.read_text()


def test_settings_written_since_by_the_program_stay(alone: Run, own: dict[str, str], user: Path) -> None:
    assert alone("connect", "claude-code", "--yes", "--no-check", "--model", "m", env=own).returncode == 0
    file = user / ".claude.json"
    file.write_text(json.dumps({"numStartups": 3, **json.loads(file.read_text())}))
    assert alone("disconnect", "claude-code", "--yes", env=own).returncode == 0
    assert json.loads(file.read_text()) == {"numStartups": 3}
    assert not (user / ".claude" / "settings.json").exists()


def test_the_last_connection_decides_what_a_program_has(alone: Run, own: dict[str, str], user: Path) -> None:
    assert alone("connect", "claude-code", "--yes", "--no-check", "--model", "m", env=own).returncode == 0
    assert alone("connect", "claude-code", "--yes", "--no-check", "--only", "tools", env=own).returncode == 0
    assert not (user / ".claude" / "settings.json").exists()
    assert (user / ".claude.json").exists()
    assert alone("disconnect", "claude-code", "--yes", env=own).returncode == 0
    assert list(user.iterdir()) == []


def test_another_file_can_be_named(alone: Run, own: dict[str, str], user: Path) -> None:
    file = user / "project" / ".cursor" / "mcp.json"
    assert alone("connect", "cursor", "--yes", "--no-check", env=own).returncode == 0
    assert alone("connect", "cursor", "--yes", "--no-check", "--file", str(file), env=own).returncode == 0
    assert alone("disconnect", "cursor", "--yes", "--file", str(file), env=own).returncode == 0
    assert not file.exists()
    assert (user / ".cursor" / "mcp.json").exists()


def test_two_at_the_same_time_leave_both_of_their_connections(home: Path, own: dict[str, str], user: Path) -> None:
    names = ["cursor", "vscode", "lmstudio", "claude-desktop"]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "lmbridge", "connect", name, "--yes", "--no-check"],
            env=environment(home, **own),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for name in [*names, *names]
    ]
    assert [process.wait(PATIENCE_S) for process in running] == [0] * len(running)
    kept = json.loads((home / "connections.json").read_text())["connections"]
    assert sorted(each["program"] for each in kept) == sorted(names)
    assert not (home / "connections.lock").exists()


def test_the_shells_variables_are_printed_to_be_evaluated(
    alone: Run, own: dict[str, str], user: Path, gateway: str
) -> None:
    done = alone("connect", "shell", env=own)
    assert f"export OPENAI_BASE_URL={gateway}/v1\n" in done.stdout
    evaluated = subprocess.run(
        ["/bin/sh", "-c", f'{done.stdout}\nprintf "%s %s" "$ANTHROPIC_BASE_URL" "$OLLAMA_HOST"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert evaluated.stdout == f"{gateway} {gateway}"
    assert list(user.iterdir()) == []
    assert told(alone("connect", "shell", "--json", env=own))["program"] == "shell"


def test_the_shells_profile_gets_a_block_and_loses_it(
    alone: Run, own: dict[str, str], user: Path, gateway: str
) -> None:
    (user / ".bashrc").write_text("alias ll='ls -l'\n")
    assert alone("connect", "shell", "--write", "--yes", env=own).returncode == 0
    assert f"export OPENAI_BASE_URL={gateway}/v1\n" in (user / ".bashrc").read_text()
    assert alone("disconnect", "shell", "--yes", env=own).returncode == 0
    assert (user / ".bashrc").read_text() == "alias ll='ls -l'\n"


def test_open_webuis_variables_are_printed_or_written_into_a_file(
    alone: Run, own: dict[str, str], user: Path, gateway: str
) -> None:
    done = alone("connect", "open-webui", env=own)
    assert f"OPENAI_API_BASE_URLS={gateway}/v1\n" in done.stdout
    file = user / "webui.env"
    assert alone("connect", "open-webui", "--file", str(file), "--yes", env=own).returncode == 0
    assert f"OPENAI_API_BASE_URLS={gateway}/v1\n" in file.read_text()
    assert os.listdir(user) == ["webui.env"]


def test_a_program_that_keeps_its_key_itself_is_connected_all_the_same(
    alone: Run, own: dict[str, str], locked_gateway: str
) -> None:
    done = alone("connect", "zed", "--yes", env=own)
    assert done.returncode == 0, done.stderr
    assert "LMSTUDIO_API_KEY" in done.stderr
    assert "lists" not in done.stdout


def test_without_mcp_the_error_says_what_installs_it_and_what_works_anyway(
    home: Path, own: dict[str, str], user: Path
) -> None:
    code = (
        "import sys; sys.modules['mcp_types'] = None\n"
        "from lmbridge.cli.main import main\n"
        "main(['connect', 'cursor', '--yes'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(home, **own),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 4
    assert "pip install 'lmbridge[mcp]'" in done.stderr
    assert list(user.iterdir()) == []


def test_a_key_that_stood_there_is_not_shown_and_comes_back(
    alone: Run, own: dict[str, str], user: Path, gateway: str
) -> None:
    file = user / ".claude" / "settings.json"
    file.parent.mkdir()
    file.write_text('{"env": {"ANTHROPIC_AUTH_TOKEN": "sk-ant-theirs"}}')
    done = alone("connect", "claude-code", "--yes", "--key", "laptop", env=own)
    assert "sk-ant-theirs" not in done.stdout + done.stderr
    assert "the gateway asks for none" in done.stderr
    assert json.loads(file.read_bytes())["env"]["ANTHROPIC_AUTH_TOKEN"] == "not-needed"
    gone = alone("disconnect", "claude-code", "--yes", env=own)
    assert "sk-ant-theirs" not in gone.stdout + gone.stderr
    assert file.read_text() == '{"env": {"ANTHROPIC_AUTH_TOKEN": "sk-ant-theirs"}}'
