import asyncio
import json
import time
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter

import pytest
from tests.cli.conftest import Run, Terminal

from lmbridge.cli.usage import bar
from lmbridge.core.events import Usage
from lmbridge.core.models import ModelInfo
from lmbridge.hub.activity import Activity, Turn
from lmbridge.hub.usage import Ledger

TINY, LARGE = ModelInfo("tiny", "embedded"), ModelInfo("org/large", "lmstudio")
SECRET = "the magpie knows"


def call(model: ModelInfo, tokens: int, *, error: str = "", task: str = "") -> Turn:
    turn = Activity().begin(model, "chat", "openai", perf_counter(), task=task)
    turn.used(Usage(tokens, tokens))
    turn.error, turn.first_event_s = error, 0.25
    turn.end()
    turn.total_s = 0.25 + tokens / 100
    return turn


def write(home: Path, turns: Iterable[Turn]) -> None:
    async def work() -> None:
        ledger = Ledger(home / "usage.db")
        for turn in turns:
            ledger.note(turn)
        await ledger.aclose()

    asyncio.run(work())


@pytest.fixture
def used(home: Path) -> Path:
    """A home with some calls in its ledger."""
    write(
        home,
        [call(LARGE, 1000), call(LARGE, 1000, error="broken_answer"), call(TINY, 500, task="summaries")],
    )
    return home


def test_models_are_shown_with_aligned_numbers_and_a_total(alone: Run, used: Path) -> None:
    assert alone("usage").stdout.splitlines() == [
        "MODEL               CALLS  ERRORS     IN    OUT   FIRST  TOKENS/S",
        "lmstudio:org/large      2       1  2,000  2,000  250 ms       100",
        "embedded:tiny           1            500    500  250 ms       100",
        "total                   3       1  2,500  2,500  250 ms       100",
    ]


def test_one_row_needs_no_total(alone: Run, used: Path) -> None:
    assert alone("usage", "--model", "tiny", "--by", "task").stdout.splitlines() == [
        "TASK       CALLS   IN  OUT   FIRST  TOKENS/S",
        "summaries      1  500  500  250 ms       100",
    ]
    (row,) = alone("usage", "--by", "caller").stdout.splitlines()[1:]
    assert row.startswith("–")  # noqa: RUF001 - a dash, no minus


def test_a_terminal_gets_a_picture(used: Path) -> None:
    with Terminal(used, "usage") as terminal:
        assert terminal.wait_for_end() == 0
    lines = terminal.text.splitlines()
    assert lines[1].endswith("  ████████████████")
    assert lines[2].endswith("  ████")
    assert lines[3].endswith("100")


def test_a_terminal_without_block_elements_gets_a_plainer_picture(used: Path) -> None:
    with Terminal(used, "usage", PYTHONIOENCODING="ascii") as terminal:
        assert terminal.wait_for_end() == 0
    assert terminal.text.splitlines()[2].endswith("  ####")


def test_a_narrow_terminal_gets_no_picture_and_no_broken_lines(used: Path) -> None:
    with Terminal(used, "usage", columns=46) as terminal:
        assert terminal.wait_for_end() == 0
    assert "█" not in terminal.text
    assert all(len(line) <= 46 for line in terminal.text.splitlines())
    assert "2,500" in terminal.text


def test_calls_without_tokens_are_drawn_by_their_number(home: Path) -> None:
    write(home, [call(LARGE, 0), call(TINY, 0), call(TINY, 0)])
    with Terminal(home, "usage") as terminal:
        assert terminal.wait_for_end() == 0
    first, second = terminal.text.splitlines()[1:3]
    assert first.startswith("embedded:tiny")
    assert (first.count("█"), second.count("█")) == (16, 8)


@pytest.mark.parametrize(
    ("fraction", "drawn"), [(0.0, ""), (0.0001, "▏"), (0.5, "██"), (0.6, "██▍"), (1.0, "████")]
)
def test_a_bar_is_as_long_as_its_share_and_never_nothing_for_something(fraction: float, drawn: str) -> None:
    assert bar(fraction, 4) == drawn


def test_a_program_gets_numbers(alone: Run, used: Path) -> None:
    told = json.loads(alone("usage", "--by", "day", "--json").stdout)
    today = time.strftime("%Y-%m-%d")
    assert (told["by"], [row["name"] for row in told["rows"]]) == ("day", [today])
    assert (told["total"]["calls"], told["total"]["errors"], told["total"]["prompt_tokens"]) == (3, 1, 2500)
    assert json.loads(alone("usage", "--json", "--until", "1h").stdout)["rows"] == []
    assert json.loads(alone("usage", "--json", "--since", "2999-01-01").stdout)["rows"] == []
    assert alone("usage", "--by", "mood").returncode == 2


def test_a_span_that_ends_before_it_begins_is_refused(alone: Run, used: Path) -> None:
    done = alone("usage", "--since", "2026-12-01", "--until", "2026-11-01")
    assert done.returncode == 2
    assert "--until must be after --since" in done.stderr


def test_an_empty_ledger_says_what_would_fill_it(alone: Run, home: Path) -> None:
    told = alone("usage")
    assert (told.returncode, told.stdout) == (0, "")
    assert "No model was used" in told.stderr
    assert not (home / "usage.db").exists()
    (home / "lmbridge.toml").write_text("usage_days = 0\n")
    assert "usage_days = 0" in alone("usage").stderr


def test_all_is_forgotten_if_that_is_really_wanted(alone: Run, used: Path) -> None:
    assert alone("usage", "--clear").returncode == 2  # nobody can be asked here
    with Terminal(used, "usage", "--clear") as terminal:
        terminal.wait_for("Go on?")
        terminal.enter("n")
        terminal.wait_for("Nothing was deleted.")
        assert terminal.wait_for_end() == 0
    assert alone("usage", "--clear", "--yes").stdout == "3 calls are forgotten.\n"
    write(used, [call(TINY, 1)])
    assert alone("usage", "--clear", "--yes").stdout == "One call is forgotten.\n"
    assert json.loads(alone("usage", "--clear", "--yes", "--json").stdout) == {"deleted": 0}


def test_leaving_the_question_leaves_its_line_too(home: Path, used: Path) -> None:
    with Terminal(home, "usage", "--clear") as terminal:
        terminal.wait_for("Go on? [y/N]:")
        assert terminal.end_with("\x03") == 130
        assert terminal.text.endswith("\n")


def test_a_file_that_is_no_ledger_is_told(alone: Run, home: Path) -> None:
    (home / "usage.db").write_text("something else" * 100)
    told = alone("usage")
    assert told.returncode == 12
    assert "usage_days" in told.stderr


def test_what_the_commands_ask_models_is_counted_without_a_word_of_it(run: Run, home: Path) -> None:
    assert run("chat", "-p", SECRET).returncode == 0
    told = json.loads(run("usage", "--by", "task", "--json").stdout)
    assert [(row["name"], row["calls"], row["cancelled"]) for row in told["rows"]] == [("lmbridge chat", 1, 0)]
    assert told["total"]["completion_tokens"] > 0
    assert not any(b"magpie" in file.read_bytes() for file in home.glob("usage.db*"))


def test_who_wants_nothing_kept_has_no_file(run: Run, home: Path) -> None:
    assert run("chat", "-p", SECRET, env={"LMBRIDGE_USAGE_DAYS": "0"}).returncode == 0
    assert not (home / "usage.db").exists()
    assert run("usage", env={"LMBRIDGE_USAGE_DAYS": "-1"}).returncode == 12
