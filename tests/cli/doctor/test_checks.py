from lmbridge.cli.doctor.checks import Check, Checklist, Found, first_command
from lmbridge.core.errors import EngineMissing, NotRunning


def noted() -> tuple[Checklist, list[Check]]:
    told: list[Check] = []
    return Checklist(told.append), told


async def good() -> Found:
    return Found("all is well.")


async def test_what_is_found_is_told_at_once_and_kept() -> None:
    checks, told = noted()
    assert await checks.look("part", "first", good)
    assert told == checks.checks == [Check("part", "first", "ok", "all is well")]


async def test_an_error_is_what_was_found_with_the_command_that_mends_it() -> None:
    checks, told = noted()

    async def fails() -> Found:
        raise NotRunning

    assert not await checks.look("part", "first", fails)
    assert (told[0].state, told[0].command) == ("failed", "lmbridge gateway start")


async def test_a_check_that_needs_a_failed_one_is_not_made() -> None:
    checks, told = noted()

    async def fails() -> Found:
        raise EngineMissing("no package")

    async def never() -> Found:
        raise AssertionError("it was made")

    await checks.look("part", "first", fails)
    assert not await checks.look("part", "second", never, needs="first")
    assert not await checks.look("part", "third", never, needs="second")
    assert [check.state for check in told] == ["failed", "skipped", "skipped"]
    assert told[1].detail == "not looked at, needs: first"


async def test_a_check_of_another_part_is_another_check() -> None:
    checks, _ = noted()
    await checks.look("one", "first", good)
    assert not await checks.look("other", "second", good, needs="first")


async def test_a_check_that_does_not_end_has_failed() -> None:
    import asyncio

    checks, told = noted()

    async def hangs() -> Found:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    assert not await checks.look("part", "first", hangs, limit=0.01)
    assert told[0].detail == "no outcome within 0.01 s"


async def test_a_file_that_cannot_be_read_has_failed() -> None:
    checks, told = noted()

    async def fails() -> Found:
        raise PermissionError(13, "Permission denied", "/x")

    await checks.look("part", "first", fails)
    assert "Permission denied" in told[0].detail


def test_only_command_lines_are_taken_from_a_hint() -> None:
    assert first_command("Correct `folders` in lmbridge.toml, or run `lms server start --port 1`.") == (
        "lms server start --port 1"
    )
    assert first_command("`folders` names /x, which is not there.") == ""
