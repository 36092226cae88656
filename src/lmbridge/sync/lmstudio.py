"""LM Studio for code without `async`: see whether it is there, start it, ask it, stop it.

    manager = LMStudioManager()
    if not manager.get_status().server_running:
        manager.ensure_server_running()
    print(manager.proxy_chat_completion([ChatMessage(role=MessageRole.USER, content="Hello")]))

Forwards to `LMStudioProgram` and `LMStudioClient` in one background loop, which starts when it is first needed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Final, Self, TypeAlias

from msgspec import Struct

from lmbridge.clients.lmstudio import LMStudioClient, LMStudioSettings
from lmbridge.config import load_config
from lmbridge.core.errors import InvalidRequest
from lmbridge.core.events import Event, TextDelta
from lmbridge.core.messages import ChatMessage
from lmbridge.core.models import Download
from lmbridge.core.provider import DownloadProgress, Progress
from lmbridge.core.requests import ChatRequest, Sampling
from lmbridge.machine.lmstudio.home import Places
from lmbridge.providers.lmstudio.live import LiveClient
from lmbridge.providers.lmstudio.program import LMStudioProgram, LMStudioStatus, Waiting
from lmbridge.sync.portal import LazyPortal
from lmbridge.wire.lmstudio.models import LMStudioModel, LoadedInstance

StreamCallback: TypeAlias = Callable[[str, float | None, int], None]
"""Called with each piece of an answer, the pieces per second so far (None at the first), and their number."""

_RANGES: Final = {
    "temperature": (0.0, 2.0),
    "top_k": (0, None),
    "top_p": (0.0, 1.0),
    "max_new_tokens": (1, None),
    "repetition_penalty": (1.0, None),
}


class InferenceSettings(Struct, frozen=True):
    """How an answer is made. All of it is sent.

    Attributes:
        temperature: 0 to 2; 0 takes the likeliest word each time.
        top_k: candidates kept, 0 keeps all. top_p: probability mass kept, 0 to 1.
        max_new_tokens: most tokens of the answer, at least 1.
        repetition_penalty: at least 1, which is none.
        do_sample: False takes the likeliest word each time, whatever the temperature.

    Raises:
        InvalidRequest: a value out of its range, by its name.
    """

    temperature: float = 0.7
    top_k: int = 40
    top_p: float = 0.9
    max_new_tokens: int = 512
    repetition_penalty: float = 1.0
    do_sample: bool = True

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            whole = name in ("top_k", "max_new_tokens")
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
                raise InvalidRequest(f"`{name}` must be a {'whole ' if whole else ''}number.", param=name)
            if not value >= least or (most is not None and not value <= most):
                span = f"from {least:g} to {most:g}" if most is not None else f"at least {least:g}"
                raise InvalidRequest(f"`{name}` must be {span}, not {value!r}.", param=name)

    @property
    def sampling(self) -> Sampling:
        """The same in the words of a request."""
        return Sampling(
            temperature=self.temperature if self.do_sample else 0.0,
            top_p=self.top_p,
            top_k=self.top_k,
            max_tokens=self.max_new_tokens,
            repeat_penalty=self.repetition_penalty,
        )


class LMStudioManager:
    """LM Studio for code without `async`; may be used by several threads.

    Nothing is looked for before it is asked. The background loop ends with `close`, at the end of a `with`, or
    when the manager is garbage; LM Studio goes on.

    Args:
        settings: default those of the table `[lmstudio]` of lmbridge.toml and of the environment.
        home: lmbridge's own folder; default that of the settings.
        places: where to look on this computer; default this user's.

    Raises:
        ConfigInvalid: a setting that cannot be used.
    """

    def __init__(
        self, settings: LMStudioSettings | None = None, *, home: Path | None = None, places: Places | None = None
    ) -> None:
        if settings is None or home is None:
            config = load_config()
            home = home or config.home
            if settings is None:
                settings = LMStudioSettings.read(config.providers.get("lmstudio", {}))
        self._desk = _Desk(LMStudioProgram(settings, home=home, places=places))
        self._portal = LazyPortal(self._desk.aclose, self._desk.abandon)
        self._portal.close_with(self)

    def __repr__(self) -> str:
        return f"LMStudioManager({self._desk.program.settings!r})"

    # -- the program ------------------------------------------------------------------------------

    def get_status(self) -> LMStudioStatus:
        """Whether it is installed, runs and answers, and what mends it. Never raises, starts nothing.

        Read it by attribute or as a mapping: `status.installed`, `status["installed"]`, `dict(status)`.
        """
        return self._portal.call(self._desk.program.status)

    def ensure_server_running(self, waiting: Waiting | None = None) -> LMStudioStatus:
        """Start its server if it does not run, and wait until it answers; up to a minute when it is cold.

        Args:
            waiting: told what is waited for, and the seconds since the begin; called in the background thread.

        Raises:
            RuntimeMissing: it is not installed, or its command is not in place. ForeignServer: another program
            has its port. ProviderUnavailable, CommandFailed: it does not start.
        """
        return self._portal.call(self._desk.start, waiting)

    def stop_server(self) -> LMStudioStatus:
        """Stop its server; LM Studio itself goes on. One that does not run is left at that.

        Raises:
            RuntimeMissing: LM Studio or its command is not there. ForeignServer: another program has its address.
            CommandFailed: it did not stop.
        """
        return self._portal.call(self._desk.stop)

    def bootstrap(self, waiting: Waiting | None = None) -> LMStudioStatus:
        """Put its command into place and on PATH.

        Raises:
            RuntimeMissing: it is not installed. CommandFailed: it cannot be done.
        """
        return self._portal.call(self._desk.bootstrap, waiting)

    # -- its models -------------------------------------------------------------------------------

    def fetch_models(self) -> list[LMStudioModel]:
        """Its models, in memory or on disk. Starts its server if need be, as all that follows."""
        return self._portal.call(self._desk.fetch_models)

    def load_model(
        self, name: str, *, context_length: int | None = None, progress: Progress | None = None
    ) -> LoadedInstance:
        """Load a model, unless an instance of it suffices. *progress* is called in the background thread.

        Raises:
            ModelNotFound, LoadFailed, NotEnoughMemory, and as `ensure_server_running`.
        """
        return self._portal.call(self._desk.load, name, context_length, progress)

    def unload_model(self, name: str) -> tuple[str, ...]:
        """Unload an instance, or all of a model; returns their names.

        Raises:
            ModelNotFound: it is not loaded.
        """
        return self._portal.call(self._desk.unload, name)

    def download_model(
        self, name: str, *, quantization: str = "", on_progress: DownloadProgress | None = None
    ) -> Download:
        """Download a model. *on_progress* is called in the background thread.

        Raises:
            ModelNotFound, DownloadFailed, NoSpace, and as `ensure_server_running`.
        """
        return self._portal.call(self._desk.download, name, quantization, on_progress)

    def ensure_ready(
        self, name: str = "", *, download: bool | None = None, on_progress: DownloadProgress | None = None
    ) -> LoadedInstance:
        """Have a model in memory: downloaded if it is missing and that is wished, then loaded.

        Args:
            download: get a missing model; default as the settings say.

        Raises:
            As `load_model` and `download_model`.
        """
        return self._portal.call(self._desk.ensure_ready, name, download, on_progress)

    # -- asking -----------------------------------------------------------------------------------

    def proxy_chat_completion(
        self,
        messages: Sequence[ChatMessage],
        settings: InferenceSettings | None = None,
        stream_callback: StreamCallback | None = None,
        model: str = "",
    ) -> str:
        """Ask a model, and return its answer. Starts LM Studio's server if need be.

        Args:
            messages: the conversation so far.
            settings: how the answer is made; default `InferenceSettings()`.
            stream_callback: told each piece of the answer as it comes, in the caller's own thread. What it
                raises ends the answer and is raised here.
            model: default the one of the settings, else the only one in memory.

        Raises:
            InvalidRequest: there are no messages, or something that is none. ModelNotFound: no such model, or none
                could be meant.
            BridgeError: as the model's answer may fail; a broken answer is never returned as a short one.
        """
        _check_messages(messages)
        sampling = (settings or InferenceSettings()).sampling
        request = ChatRequest(model, tuple(messages), sampling=sampling)
        client = self._portal.call(self._desk.ready)
        pieces: list[str] = []
        begun = 0.0
        with self._portal.entered(client.chat(request)) as events:
            while (event := self._portal.call(_next, events)) is not None:
                if not isinstance(event, TextDelta) or event.index or not event.text:
                    continue
                pieces.append(event.text)
                if stream_callback is not None:
                    rate = (len(pieces) - 1) / (monotonic() - begun) if begun else None
                    begun = begun or monotonic()
                    stream_callback(event.text, rate, len(pieces))
        return "".join(pieces)

    # -- the end ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Close every connection and end the background loop. Idempotent; used again, it starts anew."""
        self._portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Desk:
    """The asynchronous side: all of it runs in the manager's loop."""

    def __init__(self, program: LMStudioProgram) -> None:
        self.program = program
        self._live = LiveClient(program)
        self._abandoned: list[LiveClient] = []

    async def ready(self) -> LMStudioClient:
        """A client of a server that answers; it is started if it is down."""
        return await self._live.get(start=True)

    async def start(self, waiting: Waiting | None) -> LMStudioStatus:
        return await self.program.start(waiting=waiting)

    async def stop(self) -> LMStudioStatus:
        self._live.forget()
        return await self.program.stop()

    async def bootstrap(self, waiting: Waiting | None) -> LMStudioStatus:
        return await self.program.bootstrap(waiting=waiting)

    async def fetch_models(self) -> list[LMStudioModel]:
        return list(await (await self.ready()).fetch_models())

    async def load(self, name: str, context_length: int | None, progress: Progress | None) -> LoadedInstance:
        return await (await self.ready()).load_model(name, context_length=context_length, progress=progress)

    async def unload(self, name: str) -> tuple[str, ...]:
        return await (await self.ready()).unload_model(name)

    async def download(self, name: str, quantization: str, on_progress: DownloadProgress | None) -> Download:
        client = await self.ready()
        return await client.download_model(name, quantization=quantization, on_progress=on_progress)

    async def ensure_ready(
        self, name: str, download: bool | None, on_progress: DownloadProgress | None
    ) -> LoadedInstance:
        return await (await self.ready()).ensure_ready(name, download=download, on_progress=on_progress)

    def abandon(self) -> None:
        """Leave everything to the process that this one is a fork of; its connections are not ours to close."""
        self._abandoned.append(self._live)
        self._live = LiveClient(self.program)

    async def aclose(self) -> None:
        # The next loop gets its own: locks and connections belong to one.
        live, self._live = self._live, LiveClient(self.program)
        await live.aclose()


async def _next(events: AsyncIterator[Event]) -> Event | None:
    return await anext(events, None)


def _check_messages(messages: Sequence[object]) -> None:
    if not messages:
        raise InvalidRequest("There must be at least one message.", param="messages")
    for each in messages:
        if not isinstance(each, ChatMessage):
            said = f"A message is a ChatMessage, and not a {type(each).__name__}."
            hint = 'Such as `ChatMessage(role="user", content="Hello")`.'
            raise InvalidRequest(said, hint=hint, param="messages")
