"""LM Studio's command `lms`.

Most of what it offers starts LM Studio when it does not run, and waits for it up to a minute; only
`server_status`, `daemon_status`, `version` and `bootstrap` never do. Its exit codes tell little (an unload of an
unknown name is a success to it), so what it did is looked at afterwards where that can be.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar

from msgspec import Struct

from lmbridge.core.errors import CommandFailed, InvalidRequest
from lmbridge.core.models import Download
from lmbridge.core.provider import DownloadProgress, Progress
from lmbridge.machine.lmstudio import output
from lmbridge.machine.lmstudio.child import Done, Listener, Unending, lines, run, shown
from lmbridge.machine.lmstudio.output import DaemonStatus, LmsInstance, LmsModel, ServerStatus

T = TypeVar("T")
LogSource: TypeAlias = Literal["model", "server", "runtime"]

MOST_NOISE: Final = 16 * 2**20
"""Bytes that may be printed between two signs of progress."""
HINT: Final = "`lmbridge lmstudio status` shows the state of LM Studio, and what to do."


class Limits(Struct, frozen=True):
    """How long a command may take, in seconds, before it is ended.

    Attributes:
        look: what never starts LM Studio.
        wake: what may have to start it, which takes up to a minute.
        load: loading a model.
        get: downloading one. silence: a download that prints nothing.
    """

    look: float = 10.0
    wake: float = 75.0
    load: float = 3600.0
    get: float = 7 * 24 * 3600.0
    silence: float = 900.0


class Lms:
    """The command. Every call is one child process; cancelling a call ends it.

    All methods raise RuntimeMissing when there is no such program, and CommandFailed when it fails, prints
    something unintelligible, asks a question, or does not end.

    Args:
        path: the program.
        environ: what its environment is made from, secrets left out; default this process's.
        limits: how long it may take.
    """

    def __init__(self, path: Path, *, environ: Mapping[str, str] | None = None, limits: Limits = Limits()) -> None:
        self.path, self.limits = path, limits
        self._environ = environ

    def __repr__(self) -> str:
        return f"Lms({str(self.path)!r})"

    async def version(self) -> str:
        """The build of the command, a commit; it has no other version."""
        done = await self._run("--version", limit=self.limits.look)
        return done.out.decode("utf-8", "replace").strip().removeprefix("CLI commit:").strip()[:100]

    async def server_status(self) -> ServerStatus:
        """Whether the REST server runs, and its port. Never starts LM Studio."""
        return await self._json(output.decode_server_status, "server", "status", "--json", limit=self.limits.look)

    async def server_start(
        self,
        *,
        port: int | None = None,
        bind: str = "",
        cors: bool = False,
        waiting: Callable[[float], None] | None = None,
    ) -> None:
        """Start the REST server, and LM Studio before it if need be.

        It sets CORS and the bind address anew: never call it for a server that already answers. A success
        does not prove that it answers: its routes may come later, or another program may hold the port.

        Args:
            port: default the last one, else 1234.
            bind: address to listen on; default `LMS_SERVER_HOST`, else 127.0.0.1.
            cors: let web pages ask.
            waiting: called with the seconds it has taken, now and then.
        """
        options = _options({"--port": port, "--bind": _plain_word(bind) if bind else None})
        command = ("server", "start", *options, *(["--cors"] if cors else []))
        await self._run(*command, limit=self.limits.wake, waiting=waiting)

    async def server_stop(self) -> None:
        """Stop the REST server; loaded models stay. One that does not run is a failure to it."""
        await self._run("server", "stop", limit=self.limits.wake)

    async def daemon_up(self, *, waiting: Callable[[float], None] | None = None) -> DaemonStatus:
        """Start LM Studio without a window, unless it or the app runs."""
        command = ("daemon", "up", "--json")
        done = await self._run(*command, limit=self.limits.wake, waiting=waiting)
        return self._decoded(output.decode_daemon_status, done, command)

    async def daemon_status(self) -> DaemonStatus:
        """Whether LM Studio runs, with or without a window. Never starts it."""
        return await self._json(output.decode_daemon_status, "daemon", "status", "--json", limit=self.limits.look)

    async def daemon_down(self) -> None:
        """End the daemon without a window. The app cannot be ended so: that is a failure."""
        await self._run("daemon", "down", limit=self.limits.wake)

    async def bootstrap(self) -> None:
        """Put the command on PATH for new terminals; it edits the start files of the user's shells."""
        await self._run("bootstrap", "-y", limit=self.limits.wake)

    async def ls(self) -> list[LmsModel]:
        """The models on disk. Starts LM Studio."""
        return await self._json(output.decode_models, "ls", "--json", limit=self.limits.wake)

    async def ps(self) -> list[LmsInstance]:
        """The models in memory. Starts LM Studio."""
        return await self._json(output.decode_instances, "ps", "--json", limit=self.limits.wake)

    async def load(
        self,
        key: str,
        *,
        context_length: int | None = None,
        parallel: int | None = None,
        gpu: float | Literal["off", "max"] | None = None,
        ttl: int | None = None,
        identifier: str = "",
        progress: Progress | None = None,
    ) -> None:
        """Load a model, once more if it is loaded already.

        Args:
            key: a key of `ls`, whole: it matches loosely, so a part of one may load something else.
            gpu: share of the model on the GPU, 0 to 1, `off` or `max`.
            ttl: seconds it may stay idle; default for ever.
            identifier: name for the instance; default the key.

        Raises:
            InvalidRequest: a name that cannot be one.
        """
        options = _options(
            {
                "--context-length": context_length,
                "--parallel": parallel,
                "--gpu": gpu,
                "--ttl": ttl,
                "--identifier": _plain_word(identifier) if identifier else None,
            }
        )
        bars = output.Bars()

        def listen(out: bytes, err: bytes) -> None:
            share = bars.feed_percent(err or out)
            _refuse_noise(bars)
            if share is not None and progress is not None:
                progress(share)

        await self._run("load", _plain_word(key), "--yes", *options, limit=self.limits.load, listen=listen)

    async def unload(self, identifier: str) -> None:
        """Unload an instance. One that is not loaded is a success to it.

        Raises:
            InvalidRequest: a name that cannot be one.
            CommandFailed: it is still loaded afterwards.
        """
        command = ("unload", _plain_word(identifier))
        done = await self._run(*command, limit=self.limits.wake)
        if any(each.identifier == identifier for each in await self.ps()):
            raise self._failed(command, "the model is still loaded", done)

    async def get(self, name: str, *, progress: DownloadProgress | None = None) -> None:
        """Download a model. One that is here already is not downloaded again.

        Args:
            name: `owner/name`, `name@quantization`, or an address at lmstudio.ai or huggingface.co.
            progress: told how far it is, and at the end that it is complete.

        Raises:
            InvalidRequest: a name that cannot be one.
        """
        bars, said = output.Bars(), bytearray()

        def listen(out: bytes, err: bytes) -> None:
            said.extend(out + err)
            del said[:-4096]
            state = bars.feed(out)
            _refuse_noise(bars)
            if state is not None and progress is not None:
                progress(state)

        await self._run(
            "get", _plain_word(name), "--yes", limit=self.limits.get, silence=self.limits.silence, listen=listen
        )
        if progress is not None:
            here = not bars.seen and b"already" in said.lower()
            progress(Download("already_downloaded" if here else "completed"))

    def log(
        self, source: LogSource = "model", *, only: Literal["", "input", "output"] = "", stats: bool = False
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """What LM Studio logs from now on, one JSON object a line: `async with lms.log() as lines: async for …`.

        It holds whole prompts and answers. Starts LM Studio.

        Args:
            source: of the models, the REST server or the runtimes.
            only: prompts or answers alone; for `model`. stats: add the figures of an answer; for `model`.

        Raises:
            InvalidRequest: a choice that this source does not have.
        """
        if source != "model" and (only or stats):
            raise InvalidRequest("Prompts, answers and figures can be chosen of the source `model` alone.")
        filters = [*(["--filter", only] if only else []), *(["--stats"] if stats else [])]
        command = [self.path, "log", "stream", "--json", "--source", source, *filters]
        return lines(command, environ=self._environ)

    async def _json(self, decode: Callable[[object], T], *arguments: str, limit: float) -> T:
        return self._decoded(decode, await self._run(*arguments, limit=limit), arguments)

    def _decoded(self, decode: Callable[[object], T], done: Done, arguments: tuple[str, ...]) -> T:
        try:
            return decode(output.decode_json(done.out))
        except ValueError as error:
            raise self._failed(arguments, f"{error}, and not what was asked for", done) from error

    async def _run(
        self,
        *arguments: str,
        limit: float,
        silence: float | None = None,
        listen: Listener | None = None,
        waiting: Callable[[float], None] | None = None,
    ) -> Done:
        heard = bytearray()

        def hear(out: bytes, err: bytes) -> None:
            heard.extend(out)
            del heard[:-4096]
            if listen is not None:
                listen(out, err)

        try:
            done = await run(
                [self.path, *arguments],
                environ=self._environ,
                limit=limit,
                silence=silence,
                listen=hear if listen is not None else None,
                waiting=waiting,
            )
        except Unending as error:
            out = error.done.out or bytes(heard)
            asked = output.question(error.done.err, out)
            said = f"it asked {asked!r}" if asked else output.last_words(error.done.err, out)
            reason = f"{error.reason}; {said}" if said else error.reason
            raise CommandFailed(self._shown(arguments), reason, hint=HINT) from error
        if done.status:
            out = done.out or bytes(heard)
            words = output.last_words(done.err, out) or _how(done.status)
            raise self._failed(arguments, words, done)
        return done

    def _failed(self, arguments: tuple[str, ...], reason: str, done: Done) -> CommandFailed:
        return CommandFailed(self._shown(arguments), reason, status=done.status, hint=HINT)

    def _shown(self, arguments: tuple[str, ...]) -> str:
        return shown([self.path, *arguments])


def _refuse_noise(bars: output.Bars) -> None:
    if bars.noise > MOST_NOISE:
        raise Unending(f"it printed more than {MOST_NOISE >> 20} MiB and no progress", Done(0, b"", b""))


def _options(named: Mapping[str, object]) -> list[str]:
    """The options that have a value, each followed by it."""
    return [text for name, value in named.items() if value is not None for text in (name, str(value))]


def _how(status: int) -> str:
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"


def _plain_word(text: str) -> str:
    """A name as an argument of its own, which can be taken for nothing else.

    Raises:
        InvalidRequest: it is empty, looks like an option, or has characters that no name has.
    """
    if not text.strip() or text.startswith("-") or not text.isprintable():
        raise InvalidRequest(f"{text[:80]!r} is not a name that LM Studio could know.", param="model")
    return text
