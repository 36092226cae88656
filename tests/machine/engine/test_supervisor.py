"""Engines as processes: loading, failing, crashing, ending, and what others can see of them. All real."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.fakes import gguf_files

from lmbridge.core.errors import BadModelFile, EngineMissing, LoadFailed
from lmbridge.machine.engine.supervisor import Engine, EngineSettings, errors
from lmbridge.machine.memory import held
from lmbridge.machine.processes import exists

PATIENCE = 20.0


def settings(path: Path, **changes: object) -> EngineSettings:
    values = {"context_length": 256, "parallel": 2, "threads": 1, "size_bytes": path.stat().st_size}
    return EngineSettings(str(path), "tiny", **{**values, **changes})  # type: ignore[arg-type]


@asynccontextmanager
async def running(path: Path, *, guarded: bool = False) -> AsyncIterator[Engine]:
    async with asyncio.timeout(PATIENCE):
        engine = await Engine.start("tiny", settings(path), guarded=guarded)
        try:
            yield engine
        finally:
            await engine.stop()


async def ask(engine: Engine, path: str, key: str) -> bytes:
    """The status line of an answer."""
    host, _, port = engine.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.partition(b"\r\n")[0]


@pytest.fixture(params=[False, True], ids=["direct", "guarded"])
def guarded(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def test_an_engine_answers_on_loopback_with_its_key(chat_file: Path, guarded: bool) -> None:
    async with running(chat_file, guarded=guarded) as engine:
        assert engine.state == "ready"
        assert engine.url.startswith("http://127.0.0.1:")
        assert b"200" in await ask(engine, "/props", engine.key)


async def test_without_the_key_an_engine_tells_nothing(chat_file: Path) -> None:
    async with running(chat_file) as engine:
        assert b"401" in await ask(engine, "/props", "guess")


async def test_stopping_ends_the_process_and_returns_its_memory(chat_file: Path, guarded: bool) -> None:
    async with running(chat_file, guarded=guarded) as engine:
        assert held(engine.pid).total > 0
        await engine.stop()
        assert engine.state == "stopped"
        assert not exists(engine.pid)
        await engine.stop()


async def test_two_engines_run_side_by_side(chat_file: Path) -> None:
    async with running(chat_file) as one, running(chat_file) as other:
        assert one.url != other.url
        assert one.key != other.key


async def test_a_crash_is_told_with_its_signal(chat_file: Path) -> None:
    async with running(chat_file) as engine:
        os.kill(engine.pid, signal.SIGSEGV)
        error = await engine.ended()
        assert "killed by SIGSEGV" in str(error)
        assert engine.state == "crashed"


async def test_a_kill_for_lack_of_memory_is_suspected(chat_file: Path) -> None:
    async with running(chat_file) as engine:
        os.kill(engine.pid, signal.SIGKILL)
        assert "memory" in str(await engine.ended())


async def test_a_crash_behind_the_lifeline_is_told_too(chat_file: Path) -> None:
    async with running(chat_file, guarded=True) as engine:
        _, child = family(engine.pid)
        os.kill(child, signal.SIGABRT)
        assert "killed by SIGABRT" in str(await engine.ended())


async def test_a_truncated_file_fails_with_the_engines_own_reason(
    chat_file: Path, tmp_path: Path, guarded: bool
) -> None:
    cut = gguf_files.truncated(tmp_path / "cut.gguf", chat_file)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(BadModelFile, match="corrupted or incomplete") as caught:
            await Engine.start("tiny", settings(cut), guarded=guarded)
    assert caught.value.path == str(cut)


async def test_a_foreign_file_fails_with_the_engines_own_reason(tmp_path: Path) -> None:
    path = gguf_files.foreign(tmp_path / "zip.gguf")
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(BadModelFile, match="invalid magic"):
            await Engine.start("tiny", settings(path))


async def test_options_that_the_model_cannot_have_are_not_the_files_fault(chat_file: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(LoadFailed, match="does not divide"):
            await Engine.start("tiny", settings(chat_file, kv_type="q8_0"))


async def test_an_engine_that_cannot_be_imported_is_missing(
    chat_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if "site-packages" not in entry])
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(EngineMissing, match="xllamacpp"):
            await Engine.start("tiny", settings(chat_file))


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A model file that never comes to an end: a pipe nobody writes to."""
    path = tmp_path / "endless.gguf"
    os.mkfifo(path)
    return path


async def test_cancelling_a_load_kills_the_process(endless: Path, guarded: bool) -> None:
    loading, others = asyncio.Event(), family(os.getpid())
    stuck = EngineSettings(str(endless), "tiny", 256, 1, 1, size_bytes=10**12)
    start = Engine.start("tiny", stuck, guarded=guarded, progress=lambda share: loading.set())
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        load = group.create_task(start)
        await loading.wait()
        started = [pid for pid in family(os.getpid()) if pid not in others]
        load.cancel()
    assert load.cancelled()
    wait_until_gone(started)


async def test_progress_rises_while_the_model_loads(chat_file: Path) -> None:
    shares: list[float] = []
    async with asyncio.timeout(PATIENCE):
        engine = await Engine.start("tiny", settings(chat_file), progress=shares.append)
        await engine.stop()
    assert all(0 <= share < 1 for share in shares)


async def test_neither_key_nor_port_nor_secrets_can_be_seen(
    chat_file: Path, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    async with running(chat_file, guarded=guarded) as engine:
        pids = family(engine.pid)
        assert len(pids) == 1 + guarded
        for pid in pids:
            seen = read(pid, "cmdline") + read(pid, "environ")
            assert engine.key.encode() not in seen
            assert engine.url.rpartition(":")[2].encode() not in seen
            assert b"sk-very-secret" not in seen
            assert b"GOMP_SPINCOUNT=1000" in seen


PARENT = """
import asyncio, os, sys
from pathlib import Path
from lmbridge.machine.engine.supervisor import Engine, EngineSettings
def tell(share=0):
    print(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text(), flush=True)
async def main():
    settings = EngineSettings(sys.argv[1], "tiny", 256, 1, 1, size_bytes=10**12)
    await Engine.start("tiny", settings, guarded=sys.argv[2] == "guarded", progress=tell)
    tell()
    await asyncio.sleep(60)
asyncio.run(main())
"""


def kill_a_parent(model: Path, *, guarded: bool) -> list[int]:
    """Start a process that loads *model*, kill it without warning, and return the engine's processes."""
    command = [sys.executable, "-c", PARENT, str(model), "guarded" if guarded else "direct"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pids = family(int(parent.stdout.readline()))
        assert all(map(exists, pids))
        parent.kill()
        parent.wait(PATIENCE)
    return pids


def test_killing_the_parent_leaves_no_engine(chat_file: Path, guarded: bool) -> None:
    wait_until_gone(kill_a_parent(chat_file, guarded=guarded))


def test_killing_the_parent_ends_an_engine_that_is_still_loading(endless: Path, guarded: bool) -> None:
    # A load holds the interpreter's lock, so the engine itself cannot notice.
    wait_until_gone(kill_a_parent(endless, guarded=guarded))


def family(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def read(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


def wait_until_gone(pids: list[int]) -> None:
    """Wait for each to end, but not for ever."""
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended, _, _ = select.select([handle], [], [], PATIENCE)
        os.close(handle)
        assert ended, f"process {pid} outlived its parent"


def test_the_first_error_in_a_log_is_the_reason() -> None:
    log = "0.00.1 E gguf_init: invalid magic\n0.00.2 E llama_model_load: error loading model: worse\n"
    assert errors(log) == ["invalid magic", "worse"]


def test_an_error_that_a_caller_was_told_long_ago_is_no_reason_for_a_crash() -> None:
    assert (
        errors("0.01.002.003 E srv    send_error: task id = 679, error: request (8419 tokens) exceeds it\n") == []
    )


def test_a_native_assertion_counts_as_an_error() -> None:
    assert errors("hello\nggml.c:99: GGML_ASSERT(a == b) failed\n") == ["ggml.c:99: GGML_ASSERT(a == b) failed"]
