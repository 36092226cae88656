"""The process of an MCP server ends surely, whatever it does and whatever happens to us."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lmbridge.core.errors import ToolServerUnavailable
from lmbridge.machine.mcp import child as module
from lmbridge.machine.mcp.child import Child, find, start
from lmbridge.machine.mcp.entries import Entry
from lmbridge.machine.processes import exists

ECHO = "import sys\nfor line in sys.stdin: print(line.strip().upper(), flush=True)"
TELLS = "import os, sys; print(os.getpid(), os.getppid(), flush=True)\n"
STAYS = TELLS + "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(60)"


def python(code: str, **more: object) -> Entry:
    return Entry(name="s", command=sys.executable, args=("-c", code), **more)  # type: ignore[arg-type]


async def line_of(child: Child) -> str:
    return (await anext(child.lines())).decode().strip()


async def gone(pid: int) -> bool:
    async with asyncio.timeout(20):
        while exists(pid):  # noqa: ASYNC110 - another process, which tells nobody
            await asyncio.sleep(0.01)
    return True


async def test_lines_go_in_and_come_out_and_closing_ends_it() -> None:
    child = await start(python(ECHO))
    await child.write(b"hello\n")
    assert await line_of(child) == "HELLO"
    await child.aclose()
    await child.aclose()
    assert child.ended
    with pytest.raises(BrokenPipeError):
        await child.write(b"more\n")


async def test_it_sees_our_environment_without_secrets_and_what_its_entry_adds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    monkeypatch.setenv("PLAIN", "yes")
    code = "import os; print([os.environ.get(n) for n in ('MY_TOKEN', 'PLAIN', 'GIVEN_KEY')], flush=True)"
    child = await start(python(code, env={"GIVEN_KEY": "mine"}))
    assert await line_of(child) == "[None, 'yes', 'mine']"
    await child.aclose()


async def test_how_it_ended_is_told_without_the_secrets_it_was_given() -> None:
    code = "import os, sys; sys.stderr.write('Error: no ' + os.environ['A_KEY']); sys.exit(7)"
    child = await start(python(code, env={"A_KEY": "s3cret-s3cret"}))
    assert [line async for line in child.lines()] == []
    assert await child.gone(20)
    assert child.last_words == "it ended with status 7: no …"
    await child.aclose()


async def test_who_ignores_the_end_of_its_input_and_the_request_to_leave_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "GRACE", 0.2)
    child = await start(python(STAYS))
    pid, parent = map(int, (await line_of(child)).split())
    await child.aclose()
    assert await gone(pid)
    assert await gone(parent)


async def test_what_it_started_ends_with_it() -> None:
    code = (
        "import subprocess, sys\n"
        "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(other.pid, flush=True)"
    )
    child = await start(python(code))
    other = int(await line_of(child))
    assert await child.gone(20)
    assert await gone(other)
    await child.aclose()


async def test_it_ends_when_we_are_killed(tmp_path: Path) -> None:
    script = tmp_path / "user.py"
    script.write_text(
        "import asyncio, sys\n"
        "from lmbridge.machine.mcp.child import start\n"
        "from lmbridge.machine.mcp.entries import Entry\n"
        "async def main():\n"
        f"    child = await start(Entry(name='s', command=sys.executable, args=('-c', {STAYS!r})))\n"
        "    print((await anext(child.lines())).decode(), flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    user = await asyncio.create_subprocess_exec(sys.executable, str(script), stdout=subprocess.PIPE)
    assert user.stdout is not None
    pid, parent = map(int, (await user.stdout.readline()).split())
    user.kill()
    await user.wait()
    assert await gone(pid)
    assert await gone(parent)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux alone does that")
async def test_it_ends_when_the_process_between_us_is_killed() -> None:
    child = await start(python(STAYS))
    pid, parent = map(int, (await line_of(child)).split())
    os.kill(parent, 9)
    assert await gone(pid)
    await child.aclose()


async def test_a_message_without_end_is_an_error() -> None:
    code = "import sys\nwhile True: sys.stdout.write('x' * 65536)"
    child = await start(python(code))
    with pytest.raises(ToolServerUnavailable, match="more than 32 MiB"):
        await anext(child.lines())
    await child.aclose()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (Entry(name="s", command="no-such-program-anywhere"), "no program 'no-such-program-anywhere'"),
        (Entry(name="s", command=sys.executable, cwd="/no/such/folder"), "no folder '/no/such/folder'"),
    ],
)
async def test_what_cannot_be_started_says_why(entry: Entry, said: str) -> None:
    with pytest.raises(ToolServerUnavailable, match=said):
        await start(entry)


async def test_a_program_that_is_none_ends_and_says_so(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF nonsense")
    broken.chmod(0o700)
    child = await start(Entry(name="s", command=str(broken)))
    assert await child.gone(20)
    assert "cannot be started" in child.last_words
    await child.aclose()


def test_a_command_is_looked_for_as_a_shell_would(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "tool"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    assert find("tool", str(tmp_path), str(tmp_path / "bin")) == str(program)
    assert find("bin/tool", str(tmp_path), "") == str(program)
    assert find(str(program), "/", "") == str(program)
    assert find("tool", str(tmp_path / "bin"), "/nowhere") is None
