"""The way to one LM Studio: who answers there is made sure of, and questions that need no model are asked.

Every question has its limit. What is safe to ask twice is asked again when the server stumbles; nothing
else is. Errors leave here as what they are (`wire.lmstudio.errors`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from lmbridge.clients.http import HTTPClient, Response
from lmbridge.clients.lmstudio.identity import GREETING_LIMIT, identify
from lmbridge.clients.lmstudio.settings import LMStudioSettings
from lmbridge.core.errors import (
    BridgeError,
    BrokenAnswer,
    ForeignServer,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from lmbridge.core.models import Endpoint, Patience
from lmbridge.wire.lmstudio.errors import decode_failure, explain

MAX_ANSWER: Final = 32 * 2**20
"""Bytes of an answer to a question: a list of some thousand models is far below."""

IDLE_AGE: Final = 4.0
"""Seconds that a connection is kept. LM Studio closes it after 5."""

T = TypeVar("T")

_BOM: Final = b"\xef\xbb\xbf"


class Habits(Struct, frozen=True):
    """How a client behaves where nothing depends on the person at the keyboard, in seconds.

    Attributes:
        ready_for: for how long a server that was found well is believed to be. listed_for: the same of a list.
        tries: how often a question that is safe to repeat is asked. delay: before the second; then thrice as long.
        settle: for how long a load or an unload may stay invisible in the list. look_again: between two looks.
        poll: between the first two questions how far a download is. slowest_poll: between the last ones.
        stall: how long a download may stand still.
    """

    ready_for: float = 5.0
    listed_for: float = 2.0
    tries: int = 3
    delay: float = 0.2
    settle: float = 5.0
    look_again: float = 0.1
    poll: float = 0.5
    slowest_poll: float = 5.0
    stall: float = 900.0


class Link:
    """One LM Studio and how to reach it.

    Args:
        settings: where, with which token, how patient.
        provider: id named in errors.
        http: sends every request; None makes clients as the settings say, which `aclose` closes.

    Attributes:
        url: its address without a route. headers: with the token, so never shown.
        http: for prompts. endpoint: of the OpenAI routes, without a model.
    """

    def __init__(
        self, settings: LMStudioSettings, provider: str, http: HTTPClient | None, habits: Habits = Habits()
    ) -> None:
        self.settings, self.provider, self.habits = settings, provider, habits
        self.url = settings.root
        self.headers = (("authorization", f"Bearer {settings.token}"),) if settings.token else ()
        self._own = http is None
        self.http = http or HTTPClient(
            connect_timeout=settings.connect_timeout,
            first_byte_timeout=settings.first_byte_timeout,
            idle_timeout=settings.idle_timeout,
            max_idle_age=IDLE_AGE,
        )
        # Loads answer when they are done, lists at once: neither has to do with the patience for prompts.
        self._plain = http or HTTPClient(connect_timeout=settings.connect_timeout, max_idle_age=IDLE_AGE)
        self._known_until = 0.0
        self._asking = asyncio.Lock()

    @property
    def patience(self) -> Patience:
        """How long who sends a prompt waits."""
        settings = self.settings
        return Patience(settings.connect_timeout, settings.first_byte_timeout, settings.idle_timeout)

    def endpoint(self, model: str, also: tuple[str, ...] = (), base: str = "/v1") -> Endpoint:
        """Where a model answers.

        Args:
            also: further names its answers may bear; with none, nothing is compared.
            base: before the routes.
        """
        return Endpoint(self.url + base, self.headers, model, also, patience=self.patience)

    async def make_sure(self) -> None:
        """Make sure that LM Studio answers, before it is told a token or a prompt. Believed for some seconds.

        Raises:
            ProviderUnavailable: nothing answers. ForeignServer: something else does.
        """
        if monotonic() < self._known_until:
            return
        async with self._asking:
            if monotonic() < self._known_until:
                return
            limit = min(GREETING_LIMIT, self.settings.ask_timeout)
            error = (await identify(self._plain, self.url, limit=limit)).error(self.provider, self.url)
            if error is not None:
                raise error
            self._known_until = monotonic() + self.habits.ready_for

    def forget(self) -> None:
        """Ask again who answers before the next request."""
        self._known_until = 0.0

    async def ask(self, route: str, *, model: str = "") -> bytes:
        """The body of `GET route`. Asked again when the server stumbles.

        Raises:
            ProviderUnavailable, ProviderTimeout, ProviderNeedsKey, ForeignServer, BrokenAnswer.
            BridgeError: the error that it answers with.
        """
        return await self.repeated(lambda: self.send("GET", route, limit=self.settings.ask_timeout, model=model))

    async def send(
        self,
        method: str,
        route: str,
        body: object = None,
        *,
        limit: float | None,
        phase: str = "answer",
        model: str = "",
    ) -> bytes:
        """The body of an answer with a good status. Sent once, over a connection of its own unless it is a GET.

        Args:
            limit: seconds for all of it; None waits. phase: what to call that time.
            model: what it is about, named in errors.
        """
        await self.make_sure()
        data = b"" if body is None else msgspec.json.encode(body)
        with self.explained(model):
            async with within(limit, self.provider, phase):
                response = await self._plain.request(
                    method,
                    self.url + route,
                    headers=self.headers,
                    body=data,
                    # A connection that was kept may be closed just now, and the request be sent again: not these.
                    keep_alive=method == "GET",
                    provider=self.provider,
                )
                return await self._read(response, model)

    async def _read(self, response: Response, model: str) -> bytes:
        async with response:
            answer = (await response.read(MAX_ANSWER)).removeprefix(_BOM)
        if response.status != 200:
            raise decode_failure(response.status, answer, self.provider, model)
        return answer

    async def repeated(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What *ask* gives, which must be safe to ask twice: asked again while the server stumbles."""
        delay = self.habits.delay
        for _ in range(self.habits.tries - 1):
            try:
                return await ask()
            except BridgeError as error:
                if not stumbled(error):
                    raise
            await asyncio.sleep(delay)
            delay *= 3
        return await ask()

    @contextmanager
    def explained(self, model: str = "") -> Iterator[None]:
        """Errors inside leave as what they are; after one that says it is gone, it is asked who answers."""
        try:
            yield
        except BridgeError as error:
            if isinstance(error, ProviderUnavailable | ForeignServer | BrokenAnswer | ProviderTimeout):
                self.forget()
            reason = explain(error, model)
            if reason is error:
                raise
            raise reason from error

    async def aclose(self) -> None:
        """Close its connections, unless they are somebody else's. Idempotent."""
        if self._own:
            await self.http.aclose()
            await self._plain.aclose()


def stumbled(error: BridgeError) -> bool:
    """Whether an error says that the same question may be answered the next time.

    A prompt that is too long, a refused token and an unknown name are none of these, whatever status they came
    with: they were recognised before and are of other classes.
    """
    if isinstance(error, ProviderRefused):
        return error.status is not None and error.status >= 500
    return isinstance(error, BrokenAnswer) and ("closed" in error.reason or "reset" in error.reason)


@asynccontextmanager
async def within(limit: float | None, provider: str, phase: str) -> AsyncIterator[None]:
    """Bound what is inside.

    Raises:
        ProviderTimeout: *limit* seconds are over.
    """
    try:
        async with asyncio.timeout(limit) as scope:
            yield
    except TimeoutError as error:
        if limit is None or not scope.expired():
            raise
        raise ProviderTimeout(provider, phase, limit) from error
