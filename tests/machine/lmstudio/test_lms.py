"""The command `lms`: what it is asked, and whatever it does instead of answering."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lmbridge.core.errors import CommandFailed, InvalidRequest, RuntimeMissing
from lmbridge.core.models import Download
from lmbridge.machine.lmstudio import child
from lmbridge.machine.lmstudio.lms import Limits, Lms
from lmbridge.machine.lmstudio.output import DaemonStatus, ServerStatus

Make = Callable[..., Path]
Asked = Callable[[str], tuple[Lms, Callable[[], list[list[str]]]]]
Asking = Callable[[Lms], Awaitable[object]]

QUICK = Limits(look=30, wake=30, load=30, get=30, silence=30)
IMPATIENT = Limits(look=0.4, wake=0.4, load=0.4, get=30, silence=0.4)

EVERY_COMMAND: dict[str, Asking] = {
    "lms --version": lambda lms: lms.version(),
    "lms server status --json": lambda lms: lms.server_status(),
    "lms server start": lambda lms: lms.server_start(),
    "lms server stop": lambda lms: lms.server_stop(),
    "lms daemon up --json": lambda lms: lms.daemon_up(),
    "lms daemon status --json": lambda lms: lms.daemon_status(),
    "lms daemon down": lambda lms: lms.daemon_down(),
    "lms bootstrap -y": lambda lms: lms.bootstrap(),
    "lms ls --json": lambda lms: lms.ls(),
    "lms ps --json": lambda lms: lms.ps(),
    "lms load a/b --yes": lambda lms: lms.load("a/b"),
    "lms unload a/b": lambda lms: lms.unload("a/b"),
    "lms get a/b --yes": lambda lms: lms.get("a/b"),
}
ANSWERING = {name for name in EVERY_COMMAND if "--json" in name}

every_command = pytest.mark.parametrize(("command", "ask"), EVERY_COMMAND.items(), ids=EVERY_COMMAND)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "GRACE", 0.2)


@pytest.fixture
def asked(make_lms: Make, tmp_path: Path) -> Asked:
    """A command that prints an answer, and what it was asked."""
    log = tmp_path / "asked.jsonl"

    def make(answer: str) -> tuple[Lms, Callable[[], list[list[str]]]]:
        text = f"open({str(log)!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\nsys.stdout.write({answer!r})"
        path = make_lms(text)
        return Lms(path, limits=QUICK), lambda: [json.loads(line) for line in log.read_text("utf-8").splitlines()]

    return make


@every_command
async def test_a_command_that_fails_is_told_in_its_own_words(command: str, ask: Asking, make_lms: Make) -> None:
    lms = Lms(make_lms("print('{}'); sys.exit('Error: it is all wrong, ü')"), limits=QUICK)
    with pytest.raises(CommandFailed) as caught:
        await ask(lms)
    assert (caught.value.command, caught.value.status) == (command, 1)
    assert caught.value.message == f"`{command}` failed: it is all wrong, ü."
    assert "lmbridge lmstudio status" in caught.value.hint


@every_command
async def test_a_command_that_fails_without_a_word_tells_its_status(
    command: str, ask: Asking, make_lms: Make
) -> None:
    with pytest.raises(CommandFailed, match="exit status 7"):
        await ask(Lms(make_lms("sys.exit(7)"), limits=QUICK))
    with pytest.raises(CommandFailed, match="killed by signal 9"):
        await ask(Lms(make_lms("os.kill(os.getpid(), 9)"), limits=QUICK))


@every_command
async def test_a_command_that_is_not_there_is_missing(command: str, ask: Asking, tmp_path: Path) -> None:
    with pytest.raises(RuntimeMissing, match="lmbridge lmstudio status"):
        await ask(Lms(tmp_path / "lms"))


@pytest.mark.parametrize(
    "command", ["lms server start", "lms load a/b --yes", "lms get a/b --yes", "lms ls --json"]
)
async def test_a_command_that_asks_a_question_does_not_wait_for_an_answer(command: str, make_lms: Make) -> None:
    path = make_lms("echo '? Which one do you mean?' >&2\nexec sleep 600", "/bin/sh")
    with pytest.raises(CommandFailed, match=r"2 s; it asked 'Which one do you mean\?'") as caught:
        await EVERY_COMMAND[command](Lms(path, limits=Limits(2, 2, 2, 30, 2)))
    assert caught.value.status is None


@every_command
async def test_a_command_that_never_ends_is_ended(command: str, ask: Asking, make_lms: Make) -> None:
    with pytest.raises(CommandFailed, match=r"(did not end within|was silent for) 0\.4 s"):
        await ask(Lms(make_lms("time.sleep(600)"), limits=IMPATIENT))


@pytest.mark.parametrize("name", sorted(ANSWERING))
@pytest.mark.parametrize("answer", ["", "\x00\xff garbage", "null", '"text"', "{}", "<html>", "[1, 2"])
async def test_an_answer_that_is_garbage_is_an_error(name: str, answer: str, make_lms: Make) -> None:
    lms = Lms(make_lms(f"sys.stdout.buffer.write({answer.encode('latin-1')!r})"), limits=QUICK)
    with pytest.raises(CommandFailed, match=f"`{name}` failed: .*printed"):
        await EVERY_COMMAND[name](lms)


async def test_the_states_are_read(make_lms: Make) -> None:
    path = make_lms(
        "print(json.dumps({'server': {'running': True, 'port': 4321},"
        " 'daemon': {'status': 'running', 'pid': 7, 'isDaemon': True, 'version': '1'},"
        " '--version': None}[sys.argv[1]]) if sys.argv[1] != '--version' else 'CLI commit: abc1234')"
    )
    lms = Lms(path, limits=QUICK)
    assert await lms.server_status() == ServerStatus(True, 4321)
    assert await lms.daemon_status() == DaemonStatus(True, 7, True, "1")
    assert await lms.daemon_up() == DaemonStatus(True, 7, True, "1")
    assert await lms.version() == "abc1234"


async def test_lists_are_read(make_lms: Make) -> None:
    path = make_lms("print(json.dumps([{'modelKey': 'a/b', 'identifier': 'mine', 'contextLength': 4096}]))")
    lms = Lms(path, limits=QUICK)
    assert [model.key for model in await lms.ls()] == ["a/b"]
    assert [(each.identifier, each.context_length) for each in await lms.ps()] == [("mine", 4096)]


async def test_the_options_are_those_of_the_command(
    asked: Asked,
) -> None:
    lms, log = asked("")
    await lms.server_start(port=4321, bind="0.0.0.0", cors=True)  # noqa: S104
    await lms.load("a/b@q4", context_length=8192, parallel=2, gpu=0.5, ttl=60, identifier="Ünal's model")
    await lms.load("a/b", gpu="max")
    await lms.get("https://huggingface.co/owner/repo")
    assert log() == [
        ["server", "start", "--port", "4321", "--bind", "0.0.0.0", "--cors"],  # noqa: S104
        [
            *("load", "a/b@q4", "--yes", "--context-length", "8192", "--parallel", "2", "--gpu", "0.5"),
            *("--ttl", "60", "--identifier", "Ünal's model"),
        ],
        ["load", "a/b", "--yes", "--gpu", "max"],
        ["get", "https://huggingface.co/owner/repo", "--yes"],
    ]


@pytest.mark.parametrize("name", ["", "  ", "-y", "--all", "a\nb", "a\0b", "\x1b[2J"])
async def test_a_name_never_becomes_an_option(name: str, tmp_path: Path) -> None:
    lms = Lms(tmp_path / "never asked")
    for ask in (lms.load, lms.unload, lms.get):
        with pytest.raises(InvalidRequest, match="not a name"):
            await ask(name)
    if name:
        with pytest.raises(InvalidRequest, match="not a name"):
            await lms.load("a/b", identifier=name)


async def test_who_waits_for_a_start_is_told_the_seconds(make_lms: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "TICK", 0.05)
    told: list[float] = []
    await Lms(make_lms("time.sleep(0.2)"), limits=QUICK).server_start(waiting=told.append)
    assert len(told) > 1


async def test_loading_tells_how_far_it_is(make_lms: Make) -> None:
    text = "for n in (0, 33.5, 100):\n sys.stderr.write(f'\\r⠋ Loading {n}%'); sys.stderr.flush()"
    told: list[float] = []
    await Lms(make_lms(text), limits=QUICK).load("a/b", progress=told.append)
    assert told[-1] == 1.0
    assert told == sorted(told)


async def test_downloading_tells_how_far_it_is(make_lms: Make) -> None:
    text = (
        "for n in (0, 50, 100):\n"
        " print(f'\\r⠋ [██    ] {n}.00% | {n/100} GB / 1.00 GB | 5.00 MB/s | ETA 00:01', end='', flush=True)\n"
        "sys.stderr.write('Download completed.')"
    )
    told: list[Download] = []
    await Lms(make_lms(text), limits=QUICK).get("a/b", progress=told.append)
    assert told[-2] == Download("downloading", 10**9, 10**9, 5e6)
    assert told[-1] == Download("completed")


async def test_what_is_here_already_is_told_as_that(make_lms: Make) -> None:
    told: list[Download] = []
    await Lms(make_lms("sys.stderr.write('You already have it.')"), limits=QUICK).get("a/b", progress=told.append)
    assert told == [Download("already_downloaded")]


async def test_a_download_that_stands_still_is_ended_with_its_last_words(make_lms: Make) -> None:
    path = make_lms("echo '[█ ] 10% | 1 MB / 10 MB | 1 MB/s |'\nexec sleep 600", "/bin/sh")
    told: list[Download] = []
    with pytest.raises(CommandFailed, match="silent for 2 s"):
        await Lms(path, limits=Limits(silence=2)).get("a/b", progress=told.append)
    assert told == [Download("downloading", 10**6, 10**7, 1e6)]


async def test_an_unload_that_did_nothing_is_an_error(make_lms: Make) -> None:
    text = "print(json.dumps([{'identifier': 'stays'}])) if sys.argv[1] == 'ps' else None"
    lms = Lms(make_lms(text), limits=QUICK)
    with pytest.raises(CommandFailed, match="still loaded"):
        await lms.unload("stays")
    await lms.unload("gone already")


async def test_the_log_comes_line_by_line(asked: Asked) -> None:
    lms, log = asked('{"timestamp": 1}\n{"timestamp": 2}\n')
    async with lms.log("model", only="output", stats=True) as lines:
        assert [json.loads(line)["timestamp"] async for line in lines] == [1, 2]
    async with lms.log("server") as lines:
        assert len([line async for line in lines]) == 2
    assert log() == [
        ["log", "stream", "--json", "--source", "model", "--filter", "output", "--stats"],
        ["log", "stream", "--json", "--source", "server"],
    ]
    with pytest.raises(InvalidRequest, match="`model` alone"):
        lms.log("server", stats=True)


async def test_a_log_that_ends_at_once_says_why(make_lms: Make) -> None:
    lms = Lms(make_lms("sys.exit('Error: LM Studio could not be started')"))
    async with lms.log() as lines:
        with pytest.raises(CommandFailed, match="could not be started"):
            await anext(lines)


def test_a_command_shows_its_path_and_nothing_else(tmp_path: Path) -> None:
    assert repr(Lms(tmp_path, environ={"LM_API_TOKEN": "sk-lm-x"})) == f"Lms({str(tmp_path)!r})"
