import pytest

from lmbridge.cli import progress
from lmbridge.core.models import Download

GB = 10**9


def test_the_figures_of_a_download_are_those_that_are_known() -> None:
    whole = Download("downloading", 16 * GB // 10, 47 * GB // 10, 35e6)
    assert progress.facts(whole) == ["34%", "1.6 GB of 4.7 GB", "35.0 MB/s", "1 min left"]
    assert progress.facts(Download("downloading", 5 * 10**6)) == ["5.0 MB"]
    assert progress.facts(Download("downloading", None, GB)) == ["1.0 GB"]
    assert progress.facts(Download("paused", GB, 2 * GB)) == ["50%", "1.0 GB of 2.0 GB", "paused"]
    assert progress.facts(Download("completed", GB, GB, 1e6)) == ["100%", "1.0 GB of 1.0 GB", "1.0 MB/s"]
    assert progress.facts(Download("downloading")) == []


def test_where_nobody_looks_a_download_tells_each_tenth_once(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.downloading("owner/model") as moved:
        for done in range(101):
            moved(Download("downloading", done * 10**7, GB))
    out, err = capsys.readouterr()
    first, *lines = err.splitlines()
    assert (out, first) == ("", "Downloading owner/model …")
    assert [line.strip().partition(",")[0] for line in lines] == [f"{tenth}0%" for tenth in range(1, 11)]


def test_a_download_that_starts_in_the_middle_does_not_tell_the_tenths_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress.downloading("model") as moved:
        moved(Download("downloading", 55, 100))
        moved(Download("downloading", 56, 100))
    assert capsys.readouterr().err.splitlines()[1:] == ["  55%, 55 B of 100 B"]


def test_a_download_without_a_size_is_told_after_a_silence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SILENCE_S", 0.0)
    with progress.downloading("model") as moved:
        moved(Download("downloading", 1000))
    assert capsys.readouterr().err.splitlines()[1:] == ["  1.0 kB"]


def test_where_nobody_looks_a_wait_tells_each_stage_and_every_few_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress.waiting("Starting LM Studio") as tell:
        for second in range(9):
            tell("waking it", float(second))
        tell("waiting for its routes", 9.0)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "Starting LM Studio …",
        "  waking it … 0 s",
        "  waking it … 5 s",
        "  waiting for its routes … 9 s",
    ]


def test_a_quick_look_says_nothing_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.waiting("Looking for LM Studio", quiet=True):
        pass
    assert capsys.readouterr() == ("", "")


def test_a_name_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.downloading("evil\x1b[2J"):
        pass
    assert "\x1b" not in capsys.readouterr().err


async def test_where_nobody_looks_a_load_is_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.loading("Loading model") as moved:
        moved(0.5)
        moved(1.0)
    assert capsys.readouterr() == ("", "Loading model …\n")
