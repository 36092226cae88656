"""The documentation is true: examples run, generated pages are up to date, links lead somewhere."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from tests.fakes.lmstudio import install_fake

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))
OF_LMSTUDIO = sorted((ROOT / "docs" / "examples").glob("lmstudio_*"))
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "changes").glob("*.md")]

SAYS = {
    "act.py": "answered Here is the result: hello.",
    "answer.py": "lmbridge-tiny at embedded",
    "stream.py": "[stop]",
    "blocking.py": "lmbridge-tiny-embed embedding",
    "schema.py": "Anna is 31",
    "tools.py": "The model calls get_weather",
    "mcp_tools.py": "get_weather -> 18 degrees and sunny in Paris",
    "embed.py": "paraphrase",
    "openai_client.py": "dimensions",
    "responses_client.py": "The model calls get_weather",
    "anthropic_client.py": "Here is the result: 18 degrees, sunny.",
    "mcp_host.py": "an error is a result: True No model named 'lmbridge-tinny'",
    "ollama_client.py": "The model calls get_weather with {'city': 'Paris'}",
    "langchain_client.py": "name='Anna' age=31",
    "lmstudio_manager.py": "answered by",
    "stand_in_client.py": "lmbridge-tiny:2 has a context of 1024 tokens",
    "watch.py": "request_started",
    "usage.py": "1 call for greetings",
    "one_provider.py": "It calls get_weather",
    "echo_provider.py": "> Hello",
}
"""A piece of what each example prints when it works."""


SAYS_OF_LMSTUDIO = {
    "lmstudio_act.py": ["notes.txt was created. [answered]", "does not allow this call. Not those. [answered]"],
    "lmstudio_client.py": ["qwen/qwen3-4b-2507 chat on disk", "completed: 100%", "a context of 32768 tokens"],
    "lmstudio_answers.py": ["[chat]", "[completion]", "[response]", "[LM Studio's own chat]", "2 vectors"],
    "lmstudio_manager.py": ["server_down", "True", "characters", "running: False"],
    "lmstudio_terminal.sh": ["answers at", "is here", "is loaded: 32,768", "Hello", "is unloaded", "has stopped"],
}

WITH_A_SERVER = ("lmstudio_act.py", "lmstudio_answers.py", "lmstudio_client.py")


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e not in OF_LMSTUDIO], ids=lambda path: path.name)
def test_every_example_runs_and_prints_what_it_is_about(example: Path, gateway_url: str, tmp_path: Path) -> None:
    env = {**os.environ, "LMBRIDGE_HOME": str(tmp_path / "lmbridge"), "OPENAI_BASE_URL": f"{gateway_url}/v1"}
    env["ANTHROPIC_BASE_URL"] = env["OLLAMA_HOST"] = gateway_url
    with install_fake(tmp_path / "user") as lmstudio:
        # The others run without LM Studio: with the embedded engine they always say the same.
        env |= lmstudio.environ if example.name.startswith("lmstudio") else {}
        command = [sys.executable, str(example)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert SAYS[example.name] in done.stdout


def test_the_example_of_the_llm_command_runs(gateway_url: str, tmp_path: Path) -> None:
    own = {"LLM_USER_PATH": str(tmp_path), "OPENAI_BASE_URL": f"{gateway_url}/v1"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["/bin/sh", str(ROOT / "docs" / "examples" / "llm_client.sh")]
    done = subprocess.run(
        command, env={**os.environ, **own, "PATH": path}, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert "lmbridge makes the language models" in done.stdout
    assert '{"name": "Anna", "age": 31}' in done.stdout


def test_the_example_of_mcp_servers_runs(tmp_path: Path) -> None:
    home, server = tmp_path / "lmbridge", ROOT / "docs" / "examples" / "mcp" / "weather_server.py"
    home.mkdir()
    table = f'[mcp.weather]\ncommand = "{sys.executable}"\nargs = ["{server}"]\n'
    (home / "lmbridge.toml").write_text(table)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"HOME": str(tmp_path), "LMBRIDGE_HOME": str(home), "LMBRIDGE_DISABLED": "lmstudio", "PATH": path}
    command = ["/bin/sh", str(ROOT / "docs" / "examples" / "mcp_tools.sh")]
    done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "not agreed to yet" in done.stdout
    assert "18 degrees and sunny in Oslo" in done.stdout
    assert "get_weather: 18 degrees and sunny in Paris" in done.stderr


def test_the_example_of_connecting_programs_runs(tmp_path: Path) -> None:
    own = {"HOME": str(tmp_path), "LMBRIDGE_HOME": str(tmp_path / "lmbridge"), "LMBRIDGE_DISABLED": "lmstudio"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["/bin/sh", str(ROOT / "docs" / "examples" / "connect.sh")]
    env = {**os.environ, **own, "PATH": path, "CODEX_HOME": ""}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Codex is disconnected." in done.stdout
    assert "3 packages were answered: lmbridge makes" in done.stdout
    assert not (tmp_path / ".codex" / "config.toml").exists()


@pytest.mark.parametrize("example", OF_LMSTUDIO, ids=lambda path: path.name)
def test_every_example_of_lm_studio_runs(example: Path, lmstudio: dict[str, str]) -> None:
    program = "/bin/sh" if example.suffix == ".sh" else sys.executable
    if example.name in WITH_A_SERVER:  # the others start it themselves
        start = [sys.executable, "-m", "lmbridge", "lmstudio", "start"]
        subprocess.run(start, env=lmstudio, capture_output=True, check=True, timeout=100)
    done = subprocess.run([program, str(example)], env=lmstudio, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    for said in SAYS_OF_LMSTUDIO[example.name]:
        assert said in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["commands.md", "settings.md", "errors.md", "parameters.md"])
def test_the_reference_is_what_the_code_says(name: str) -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "reference.py"))["pages"]()
    assert (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") == made[name], (
        "run `.venv/bin/python scripts/reference.py`"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing
