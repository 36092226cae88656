"""Starts an engine's process, watches it, and ends it. One `Engine` is one process with one loaded model.

    loading -> ready -> crashed      the process ended by itself
       |         +----> stopped      `stop()` was called
       +-> failed                    the engine refused the model, or died while it was loading

What the process is told and what it answers is described in `child`.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, TypeAlias, cast

import msgspec
from msgspec import Struct

from lmbridge.core.errors import BadModelFile, BridgeError, EngineCrashed, LoadFailed
from lmbridge.core.models import KvType
from lmbridge.core.provider import Progress
from lmbridge.machine.engine.requirements import engine_missing
from lmbridge.machine.environment import engine_environment
from lmbridge.machine.memory import held

State: TypeAlias = Literal["loading", "ready", "failed", "crashed", "stopped"]

HERE: Final = Path(__file__).parent
LAST_WORDS: Final = 4096
"""Bytes of the engine's log that are kept."""
GRACE: Final = 2.0
"""Seconds an engine may take to leave by itself before it is killed."""
PROGRESS_EVERY: Final = 0.1


class EngineSettings(Struct, frozen=True):
    """What an engine is to load, and how.

    Attributes:
        alias: the name the engine gives in its answers, in place of the path.
        mmproj: the vision projector, "" for none.
        context_length: tokens for each parallel answer.
        size_bytes: of the files, for the progress.
        cache_mib: memory for prompts that have been read already.
    """

    model: str
    alias: str
    context_length: int
    parallel: int
    threads: int
    gpu_layers: int = -1
    kv_type: KvType = "f16"
    mmproj: str = ""
    embedding: bool = False
    size_bytes: int = 0
    cache_mib: int = 0


class _Report(Struct, frozen=True):
    """The line that the process answers with."""

    url: str = ""
    error: str = ""
    kind: Literal["missing", "load"] = "load"


class _Process(asyncio.SubprocessProtocol):
    """Collects what the process says. Callbacks instead of a task: nobody has to be waited for."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.first_line: asyncio.Future[bytes] = loop.create_future()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.said, self.log = b"", b""

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            self.log = (self.log + data)[-LAST_WORDS:]
            return
        self.said = (self.said + data)[-65536:]
        if b"\n" in self.said:
            self._answer()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self._answer()

    def _answer(self) -> None:
        if not self.first_line.done():
            self.first_line.set_result(self.said.partition(b"\n")[0])

    def connection_lost(self, exc: Exception | None) -> None:
        # Called when the process has ended and all its pipes are read: the last words are complete.
        self._answer()
        if not self.exited.done():
            self.exited.set_result(None)


class Engine:
    """A process with a loaded model.

    Attributes:
        name: of the model, for error texts.
        url: where it answers, without a path.
        key: what it wants as bearer token.
        memory: bytes it is reckoned to take; kept here for whoever reckons.
    """

    def __init__(self, name: str, transport: asyncio.SubprocessTransport, process: _Process) -> None:
        self.name = name
        self.state: State = "loading"
        self.url, self.key = "", secrets.token_hex(24)
        self.memory = 0
        self._transport, self._process = transport, process

    @classmethod
    async def start(
        cls,
        name: str,
        settings: EngineSettings,
        *,
        llama_server: Path | None = None,
        progress: Progress | None = None,
        guarded: bool = sys.platform != "linux",
    ) -> Engine:
        """Start a process and wait until its model is loaded, however long that takes.

        Cancelling kills the process.

        Arguments:
            llama_server: a program that takes the place of the engine's Python package.
            progress: told the share of the file that is in memory.
            guarded: put `lifeline` between, as systems need whose kernel does not end a child with its parent.

        Raises:
            EngineMissing: the engine's package or a library it needs is not there.
            BadModelFile: it does not understand the file, or finds it damaged; the reason is its own.
            LoadFailed: it would not load the model for another reason.
        """
        if llama_server is not None or guarded:
            arguments = [sys.executable, "-P", str(HERE / "lifeline.py")]
        else:
            arguments = [sys.executable, "-P", str(HERE / "child.py")]
        loop = asyncio.get_running_loop()
        try:
            transport, process = await loop.subprocess_exec(
                _Process, *arguments, env=engine_environment(), start_new_session=True
            )
        except OSError as error:
            raise LoadFailed(name, f"the engine's process cannot be started: {error}") from error
        engine = cls(name, transport, process)
        try:
            engine._tell(settings, llama_server)
            report = await engine._loaded(settings.size_bytes, progress)
            await engine._ready(report, settings.model, llama_server)
            return engine
        except BaseException:
            await engine._end("failed")
            raise

    @property
    def pid(self) -> int:
        """Of the engine's process, or of its lifeline."""
        return self._transport.get_pid()

    @property
    def log(self) -> str:
        """The last few KB that the engine logged."""
        return self._process.log.decode("utf-8", "replace")

    def _tell(self, settings: EngineSettings, llama_server: Path | None) -> None:
        line = {
            **msgspec.structs.asdict(settings),
            "parent": os.getpid(),
            "python_path": sys.path,
            "key": self.key,
            "engine": str(llama_server) if llama_server else [sys.executable, "-P", str(HERE / "child.py")],
        }
        stdin = cast("asyncio.WriteTransport", self._transport.get_pipe_transport(0))
        stdin.write(msgspec.json.encode(line) + b"\n")

    async def _loaded(self, size: int, progress: Progress | None) -> _Report:
        """The report of the process; meanwhile the share of the file that it holds in memory is told."""
        while not self._process.first_line.done():
            await asyncio.wait([self._process.first_line], timeout=PROGRESS_EVERY)
            if progress and size:
                progress(min(0.99, held(self.pid).total / size))
        try:
            return msgspec.json.decode(self._process.first_line.result(), type=_Report)
        except msgspec.DecodeError:
            return _Report()

    async def _ready(self, report: _Report, model: str, program: Path | None) -> None:
        if not report.url:
            await asyncio.wait([self._process.exited], timeout=GRACE)  # for its last words
            if report.kind == "missing":
                raise engine_missing(report.error)
            ended = f"{program} ended: {self._how_it_ended()}" if program else self._how_it_ended()
            reason = next(iter(errors(self.log)), "") or report.error.rstrip(".") or ended
            raise BadModelFile(model, reason) if _FILE_AT_FAULT.search(self.log) else LoadFailed(self.name, reason)
        self.url, self.state = report.url, "ready"

    async def ended(self) -> BridgeError:
        """Wait until the process ends by itself, and tell how it did."""
        await asyncio.shield(self._process.exited)
        if self.state == "ready":
            self.state = "crashed"
        self._transport.close()
        words = errors(self.log)[-1:]
        return EngineCrashed(self.name, "; it said: ".join([self._how_it_ended(), *words]))

    async def stop(self) -> None:
        """End the process; its memory is free when this returns. Idempotent."""
        await self._end("stopped" if self.state == "ready" else self.state)

    async def _end(self, state: State) -> None:
        """Ask it to leave when it was ready, kill it when it was not or does not."""
        asked, self.state = self.state == "ready", state
        stdin = self._transport.get_pipe_transport(0)
        if stdin is not None:
            stdin.close()
        try:
            if asked:
                await asyncio.wait([self._process.exited], timeout=GRACE)
        finally:
            if self._transport.get_returncode() is None:
                with suppress(ProcessLookupError):
                    self._transport.kill()
        await asyncio.wait([self._process.exited], timeout=GRACE)
        self._transport.close()

    def _how_it_ended(self) -> str:
        code = self._transport.get_returncode()
        if code is None:
            return "it stopped talking"
        if code >= 0:
            return f"exit status {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            return f"killed by signal {-code}"
        return f"killed by {name}" + (_WHY.get(name, ""))


_WHY: Final = {
    "SIGKILL": ", perhaps because the machine ran out of memory",
    "SIGILL": ", perhaps because this processor is too old for the engine",
}


# `0.00.004.159 E llama_model_load: error loading model: ...`
_ERROR_LINE: Final = re.compile(r"^[0-9.]+ E +(?:\w+ +)?(\w+): *(.+)$", re.MULTILINE)


# What it tells a caller: long answered when the engine ends, and not the reason.
_OF_A_REQUEST: Final = re.compile(r"\bsend_error: ")
_COMPLAINT: Final = re.compile(r"error|fail|assert|abort|terminate|exception", re.IGNORECASE)

# The engine's words where reading the file is what failed, and not finding memory for it.
_FILE_AT_FAULT: Final = re.compile(r"error loading model(?!.*(?:allocat|memory))|gguf_init_from")


def errors(log: str) -> list[str]:
    """The errors an engine logged, in their order; without its marks, what natives print when they give up."""
    told = [line for line in log.splitlines() if not _OF_A_REQUEST.search(line)]
    marked = [found[2].removeprefix("error loading model: ") for found in _ERROR_LINE.finditer("\n".join(told))]
    lines = marked or [line for line in told if _COMPLAINT.search(line)]
    return [line.strip().rstrip(".")[:500] for line in lines]
