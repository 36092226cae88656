"""What people are shown of a change: no keys, neither ours nor those that stand beside our lines."""

from pathlib import Path

import pytest

from lmbridge.cli.programs.showing import listed, text_of
from lmbridge.hub.keys import PREFIX
from lmbridge.machine.programs.plan import FilePlan


def shown(line: str) -> str:
    """A line as it is shown beside one of ours."""
    plan = FilePlan(Path("x"), "sh", f"{line}\n", f"{line}\nours\n")
    return text_of([plan], hide=("theirs-alone",)).split("\n")[3].removeprefix(" ")


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        (f"a {PREFIX}{'x' * 43} b", "a KEY b"),
        ('"args": ["--pat", "ghp_abcdefghijklmnop1234"]', '"args": ["--pat", "KEY"]'),
        ('"a": "theirs-alone"', '"a": "KEY"'),
        ('{"env": {"GITHUB_TOKEN": "g", "A": "b"}}', '{"env": {"GITHUB_TOKEN": "KEY", "A": "b"}}'),
        ('"Authorization": "Bearer a b\\"c",', '"Authorization": "KEY",'),
        ("experimental_bearer_token = 'abc' # mine", "experimental_bearer_token = 'KEY' # mine"),
        ("    apiKey: abc # mine", "    apiKey: KEY # mine"),
        ("export DB_PASSWORD=abc", "export DB_PASSWORD=KEY"),
        ("OPENAI_API_KEYS=a;b", "OPENAI_API_KEYS=KEY"),
    ],
)
def test_what_is_secret_is_not_shown(line: str, seen: str) -> None:
    assert shown(line) == seen


@pytest.mark.parametrize(
    "line",
    [
        '"max_tokens": 4096,',
        "model_auto_compact_token_limit = 167117",
        '"ANTHROPIC_AUTH_TOKEN": "not-needed",',
        '"ANTHROPIC_API_KEY": "",',
        'env_key = "OPENAI_API_KEY"',
        "# a secret of mine",
    ],
)
def test_what_is_not_secret_is_shown(line: str) -> None:
    assert shown(line) == line


def test_words_are_listed_as_people_do() -> None:
    assert [listed(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
