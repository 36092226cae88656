"""Every program on every system: where its settings lie, what goes into them, and that it comes out again."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace

from lmbridge.core.errors import InvalidRequest
from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.programs import plan as planning
from lmbridge.machine.programs.catalogue import ALIASES, PROGRAMS, program
from lmbridge.machine.programs.program import Link
from lmbridge.machine.programs.records import FileRecord

URL = "http://127.0.0.1:1235"
LINK = Link(URL, "", "qwen3-8b", ("/opt/lmbridge", "mcp"))
ENTRY = {"command": "/opt/lmbridge", "args": ["mcp"]}
SUPPORT = "Library/Application Support"

FILES: dict[str, dict[str, tuple[str, ...]]] = {
    "claude-code": {"all": (".claude/settings.json", ".claude.json")},
    "claude-desktop": {
        "linux": (".config/Claude/claude_desktop_config.json",),
        "darwin": (f"{SUPPORT}/Claude/claude_desktop_config.json",),
        "win32": ("AppData/Roaming/Claude/claude_desktop_config.json",),
    },
    "codex": {"all": (".codex/config.toml",)},
    "continue": {"all": (".continue/config.yaml",)},
    "cursor": {"all": (".cursor/mcp.json",)},
    "lmstudio": {"all": (".lmstudio/mcp.json",)},
    "open-webui": {"all": ("open-webui.env",)},
    "shell": {
        "linux": (".bashrc",),
        "darwin": (".bash_profile",),
        "win32": ("Documents/PowerShell/Microsoft.PowerShell_profile.ps1",),
    },
    "vscode": {
        "linux": (".config/Code/User/mcp.json",),
        "darwin": (f"{SUPPORT}/Code/User/mcp.json",),
        "win32": ("AppData/Roaming/Code/User/mcp.json",),
    },
    "zed": {
        "linux": (".config/zed/settings.json",),
        "darwin": (".config/zed/settings.json",),
        "win32": ("AppData/Roaming/Zed/settings.json",),
    },
}

THEIRS = {
    "json": '{\r\n  "mcpServers": {"other": {"command": "x"}},\r\n  "env": {"A": "b"}\r\n}\r\n',
    "jsonc": '{\n  // mine\n  "context_servers": {},\n  "servers": {\n    "other": {}, // theirs\n  },\n}\n',
    "toml": '# mine\nmodel = "gpt-5"\n\n[mcp_servers.other]\ncommand = "x"\n',
    "yaml": "name: Mine\nversion: 2\nschema: v1\nmodels:\n- name: other # theirs\n  provider: ollama\n",
    "sh": "alias ll='ls -l'",
    "powershell": "Set-Alias ll ls\r\n",
    "env": "A=b\n",
}


KEPT = {
    "json": ['"other": {"command": "x"}', '"A": "b"', "\r\n"],
    "jsonc": ["  // mine\n", '"other": {}, // theirs\n'],
    "toml": ["# mine\n", '[mcp_servers.other]\ncommand = "x"\n'],
    "yaml": ["name: Mine\nversion: 2\nschema: v1\n", "- name: other # theirs\n  provider: ollama\n"],
    "sh": ["alias ll='ls -l'\n"],
    "powershell": ["Set-Alias ll ls\r\n"],
    "env": ["A=b\n"],
}


def files_of(name: str, places: Places) -> tuple[Path, ...]:
    known = FILES[name]
    return tuple(places.user_home / file for file in known.get("all") or known[places.system])


def connected(name: str, places: Places, link: Link = LINK) -> tuple[FileRecord, ...]:
    plans = planning.connecting(PROGRAMS[name].parts(places, link))
    for plan in plans:
        planning.keep_copy(plan)
    planning.carry_out(plans)
    return tuple(FileRecord(str(p.path), p.language, p.change) for p in plans if p.change is not None)


def disconnected(records: tuple[FileRecord, ...]) -> None:
    plans = planning.disconnecting(records)
    assert not any(plan.differs for plan in plans)
    planning.carry_out(plans)


def test_the_table_is_of_every_program() -> None:
    assert set(FILES) == set(PROGRAMS)
    assert set(ALIASES.values()) <= set(PROGRAMS)
    assert all(each.source.startswith("https://") and each.uses for each in PROGRAMS.values())


@pytest.mark.parametrize("name", PROGRAMS)
def test_settings_are_written_where_the_program_reads_them(name: str, places: Places) -> None:
    connected(name, places)
    assert all(file.is_file() for file in files_of(name, places))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_file_that_was_not_there_is_gone_again(name: str, places: Places) -> None:
    disconnected(connected(name, places))
    assert [path for path in places.user_home.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_file_that_was_there_is_the_same_again_byte_for_byte(name: str, places: Places) -> None:
    languages = {part.file: part.language for part in PROGRAMS[name].parts(places, LINK)}
    for file, language in languages.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(THEIRS[language].encode())
    records = connected(name, places)
    for file, language in languages.items():
        written = file.read_bytes().decode()
        assert written != THEIRS[language]
        assert [word for word in KEPT[language] if word not in written] == []
    assert [plan.changes for plan in planning.connecting(PROGRAMS[name].parts(places, LINK), records)] == [
        False for _ in languages
    ]
    disconnected(records)
    assert all(file.read_bytes().decode() == THEIRS[language] for file, language in languages.items())
    copies = [path for path in places.user_home.rglob("*.bak") if path.read_bytes().decode() in THEIRS.values()]
    assert len(copies) == len(languages)


OWN_ENTRIES = {
    "json": '{"mcpServers": {"lmbridge": {"command": "mine"}}, "env": {"ANTHROPIC_BASE_URL": "http://mine"}}\n',
    "jsonc": """{
  "mcpServers": {"lmbridge": {"command": "mine"}}, // mine
  "servers": {"lmbridge": {"command": "mine", "cwd": "/"}},
  "context_servers": {"lmbridge": {"command": "mine", "args": []}},
  "language_models": {"lmstudio": {"api_url": "http://mine"}},
}
""",
    "toml": 'model = "mine"\n\n[mcp_servers.lmbridge]\ncommand = "mine" # c\nargs = [\n  "a",\n]\ncwd = "/"\n',
    "yaml": "name: Me\nversion: 2\nschema: v1\nmodels:\n- name: lmbridge\n  provider: mine # c\n  x:\n    y: z\n",
    "sh": "export OPENAI_BASE_URL=http://mine\n",
    "powershell": "$env:OPENAI_BASE_URL = 'http://mine'\n",
    "env": "OPENAI_API_BASE_URLS=http://mine\n",
}
"""What somebody wrote himself where we write."""


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_entry_of_our_name_that_somebody_wrote_himself_comes_back_also_after_others_wrote(
    name: str, places: Places
) -> None:
    languages = {part.file: part.language for part in PROGRAMS[name].parts(places, LINK)}
    for file, language in languages.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(OWN_ENTRIES[language])
    records = connected(name, places)
    for file in languages:
        file.write_text(f"{file.read_text()}\n")
    disconnected(records)
    assert {file.read_text().rstrip() for file in languages} == {
        OWN_ENTRIES[language].rstrip() for language in languages.values()
    }


@pytest.mark.parametrize("name", PROGRAMS)
def test_another_url_takes_the_place_of_the_first_and_the_file_comes_back_as_it_was(
    name: str, places: Places
) -> None:
    first = connected(name, places)
    before = [file.read_bytes() for file in files_of(name, places)]
    other = replace(LINK, url="http://other:1", command=("/usr/bin/lmbridge", "mcp"))
    plans = planning.connecting(PROGRAMS[name].parts(places, other), first)
    for plan in plans:
        planning.keep_copy(plan)
    planning.carry_out(plans)
    assert before != [file.read_bytes() for file in files_of(name, places)]
    disconnected(tuple(FileRecord(str(p.path), p.language, p.change) for p in plans if p.change is not None))
    assert not any(file.exists() for file in files_of(name, places))


def test_claude_code_gets_its_variables_and_our_server(places: Places) -> None:
    connected("claude-code", places)
    settings, own = (json.loads(file.read_bytes()) for file in files_of("claude-code", places))
    assert settings["env"]["ANTHROPIC_BASE_URL"] == URL
    assert settings["env"]["ANTHROPIC_AUTH_TOKEN"] == "not-needed"
    assert settings["env"]["ANTHROPIC_API_KEY"] == ""
    assert {value for name, value in settings["env"].items() if name.endswith("_MODEL")} == {"qwen3-8b"}
    assert own == {"mcpServers": {"lmbridge": {"type": "stdio", **ENTRY}}}


def test_codex_gets_a_provider_of_its_own(places: Places) -> None:
    connected("codex", places, replace(LINK, key="k"))
    assert tomllib.loads(files_of("codex", places)[0].read_text()) == {
        "model": "qwen3-8b",
        "model_provider": "lmbridge",
        "model_providers": {
            "lmbridge": {
                "name": "lmbridge",
                "base_url": f"{URL}/v1",
                "wire_api": "responses",
                "experimental_bearer_token": "k",
            }
        },
        "mcp_servers": {"lmbridge": ENTRY},
    }


def test_continue_gets_a_whole_file(places: Places) -> None:
    connected("continue", places)
    read = yaml.safe_load(files_of("continue", places)[0].read_text())
    assert (read["name"], read["version"], read["schema"]) == ("Local", "1.0.0", "v1")
    assert read["models"][0]["apiBase"] == f"{URL}/v1"
    assert read["mcpServers"] == [{"name": "lmbridge", **ENTRY}]


def test_zed_takes_the_gateway_for_an_lm_studio(places: Places) -> None:
    connected("zed", places)
    assert json.loads(files_of("zed", places)[0].read_bytes()) == {
        "language_models": {"lmstudio": {"api_url": f"{URL}/api/v0"}},
        "context_servers": {"lmbridge": ENTRY},
    }


@pytest.mark.parametrize(
    ("name", "table", "more"),
    [
        ("claude-desktop", "mcpServers", {}),
        ("cursor", "mcpServers", {}),
        ("lmstudio", "mcpServers", {}),
        ("vscode", "servers", {"type": "stdio"}),
    ],
)
def test_the_others_get_our_server(name: str, table: str, more: dict[str, str], places: Places) -> None:
    connected(name, places)
    assert json.loads(files_of(name, places)[0].read_bytes()) == {table: {"lmbridge": {**more, **ENTRY}}}


@pytest.mark.parametrize(
    ("name", "variable", "files"),
    [
        ("claude-code", "CLAUDE_CONFIG_DIR", ("settings.json", ".claude.json")),
        ("codex", "CODEX_HOME", ("config.toml",)),
        ("continue", "CONTINUE_GLOBAL_DIR", ("config.yaml",)),
        ("zed", "XDG_CONFIG_HOME", ("zed/settings.json",)),
        ("vscode", "XDG_CONFIG_HOME", ("Code/User/mcp.json",)),
    ],
)
def test_a_folder_that_a_variable_names_is_used(
    name: str, variable: str, files: tuple[str, ...], tmp_path: Path
) -> None:
    places = Places({variable: str(tmp_path / "x")}, tmp_path / "home", "linux", tmp_path)
    parts = PROGRAMS[name].parts(places, LINK)
    assert {part.file for part in parts} == {tmp_path / "x" / file for file in files}


def test_a_program_is_found_however_its_name_is_written() -> None:
    assert program("Claude Code") is program("claude_code") is PROGRAMS["claude-code"]
    assert program("vs code") is PROGRAMS["vscode"]


@pytest.mark.parametrize(
    ("name", "hint"), [("coedx", "'codex'"), ("claud", "'claude-code'"), ("x" * 5000, "lists them")]
)
def test_an_unknown_program_is_an_error_that_names_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        program(name)
    assert hint in caught.value.hint
    assert len(caught.value.message) < 600


@pytest.mark.skipif(os.name != "posix", reason="POSIX links")
def test_settings_behind_a_link_are_written_where_they_are(places: Places) -> None:
    (link,) = files_of("codex", places)
    link.parent.mkdir(parents=True)
    real = places.root / "dotfiles.toml"
    real.write_text(THEIRS["toml"])
    link.symlink_to(real)
    records = connected("codex", places)
    assert link.is_symlink()
    assert "lmbridge" in real.read_text()
    disconnected(records)
    assert (link.is_symlink(), real.read_text()) == (True, THEIRS["toml"])
