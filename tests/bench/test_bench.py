"""Every part of the benchmark runs and gives well-formed results. How fast anything is does not matter here."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from pathlib import Path

import msgspec
import pytest
from bench.processes import Failed
from bench.report import Part, Target, middle, number, ratios, table
from tests.fakes import gguf_files

from bench import __main__ as command
from bench import act, choices, decode, engine, gateway, languages, load, mcp_start, nginx, startup, tools


def well_formed(part: Part) -> None:
    """Rows as wide as the columns, targets that were measured, figures that JSON can hold."""
    assert part.rows
    assert {len(row) for row in part.rows} == {len(part.columns)}
    assert part.targets
    for target in part.targets:
        assert target.value is None or isfinite(target.value)
        assert str(target)
    assert msgspec.json.decode(msgspec.json.encode(part.as_json()))["figures"]
    assert part.title in str(part)


def run_decode() -> Part:
    return decode.run(size=decode.Size(events=20, rounds=1, repeats=1))


def run_gateway() -> Part:
    return gateway.run(size=gateway.Size(rounds=1, seconds=0.1, stream_rounds=1, streams=3, events=4))


def run_languages() -> Part:
    size = languages.Size(rounds=1, streams=3, events=4, requests=20, stored=4)
    return languages.run(size=size)


def run_engine() -> Part:
    size = engine.Size(seconds=0.1, stretch=0.01, tokens=8, parallel=(1, 2))
    return engine.run(size=size, shape=gguf_files.SMALL)


def run_startup() -> Part:
    return startup.run(size=startup.Size(rounds=1, words=1))


def run_act() -> Part:
    return act.run(repeats=1)


def run_tools() -> Part:
    return tools.run(count=2)


def run_mcp() -> Part:
    return mcp_start.run(size=mcp_start.Size(rounds=1))


@pytest.mark.parametrize(
    "run", [run_decode, run_gateway, run_languages, run_engine, run_startup, run_act, run_tools, run_mcp]
)
def test_a_part_runs_and_its_results_are_well_formed(run: Callable[[], Part]) -> None:
    well_formed(run())


def test_the_libraries_that_are_installed_are_compared() -> None:
    part = choices.run(size=choices.Size(rounds=1, times=20, seconds=0.05))
    assert {len(row) for row in part.rows} == {len(part.columns)}
    labels = [row[0] for row in part.rows]
    assert "HTTP client: lmbridge" in labels
    assert "HTTP server: uvicorn-httptools" in labels


def test_without_nginx_and_wrk_our_own_programs_take_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nginx, "find", lambda: None)
    monkeypatch.setattr(load, "generator", lambda: "own")
    monkeypatch.setattr(gateway, "generator", lambda: "own")
    part = run_gateway()
    well_formed(part)
    assert [row[0] for row in part.rows] == ["direct", "bare proxy", "lmbridge"]
    assert sum("not installed" in note for note in part.notes) == 2
    assert [t.reached for t in part.targets if "nginx" in t.name] == [None, None, None]


@pytest.mark.parametrize("generator", ["own", load.generator()])
def test_an_answer_that_is_not_the_expected_one_is_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generator: str
) -> None:
    monkeypatch.setattr(load, "generator", lambda: generator)
    longer = b"something else, and longer than the answer that comes" * 20
    with gateway.fronts(tmp_path, gateway.QUICK) as (asked, _), pytest.raises(Failed):
        load.load(asked[0].fixed, gateway.BODY, connections=1, seconds=0.1, answer=longer, folder=tmp_path)


def test_the_command_writes_what_it_found_and_names_a_part_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*, quick: bool = False) -> Part:
        raise Failed("it would not start")

    def found(*, quick: bool = False) -> Part:
        return Part("startup", "Start-up", ("", "ms"), [("all", "1")], [Target("all", 1, 2, at_most=True)])

    monkeypatch.setattr(gateway, "run", failing)
    monkeypatch.setattr(startup, "run", found)
    file = tmp_path / "out" / "figures.json"
    assert command.main(["gateway", "startup", "--quick", "--json", str(file)]) == 1
    written = msgspec.json.decode(file.read_bytes())
    assert written["failed"] == {"gateway": "it would not start"}
    assert written["parts"]["startup"]["targets"][0]["reached"] is True
    assert written["machine"]["cores"]
    printed = capsys.readouterr()
    assert "reached       all: 1, wanted ≤ 2" in printed.out
    assert "it would not start" in printed.err


def test_a_part_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SystemExit):
        command.main(["speed"])


def test_targets_say_whether_they_were_reached() -> None:
    assert Target("a", 0.8, 0.8).reached is True
    assert Target("a", 0.7, 0.8).reached is False
    assert Target("a", 61, 60, at_most=True).reached is False
    assert Target("a", None, 60).reached is None
    assert str(Target("a", 0.7, 0.8, unit="x")) == "NOT REACHED   a: 0.7x, wanted ≥ 0.8x"


def test_ratios_are_taken_between_neighbours() -> None:
    assert ratios([10, 2, 300], [5, 4, 100]) == 2
    assert ratios([], []) is None
    assert middle([3, 1, 2]) == 2
    assert number(12345.6) == "12,346"
    assert table(("", "ms"), [("a", "1"), ("bb", "10")])[-1] == "  bb  10"
