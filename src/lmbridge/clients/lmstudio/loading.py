"""Loading and unloading: by the road that the server has, once at a time, and looked at afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import TypeAlias

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from lmbridge.clients.http.client import client_closed
from lmbridge.clients.lmstudio import plans
from lmbridge.clients.lmstudio.catalogue import Catalogue
from lmbridge.clients.lmstudio.command import LmsCommand, needed
from lmbridge.clients.lmstudio.flights import Flight, Tasks
from lmbridge.clients.lmstudio.link import Link, within
from lmbridge.clients.lmstudio.names import Found, find
from lmbridge.clients.lmstudio.plans import Wish
from lmbridge.core.errors import (
    BridgeError,
    BrokenAnswer,
    InvalidRequest,
    LoadFailed,
    ModelGone,
    ModelNotFound,
    ProviderNeedsKey,
    ProviderTimeout,
    ProviderUnavailable,
    RouteNotFound,
    WrongModel,
)
from lmbridge.core.provider import Progress
from lmbridge.machine.locks import turn
from lmbridge.wire.lmstudio.errors import decode_failure
from lmbridge.wire.lmstudio.management import LOAD, UNLOAD, decode_loaded, decode_unloaded, encode_load
from lmbridge.wire.lmstudio.models import Generation, LMStudioModel, LoadedInstance
from lmbridge.wire.openai.errors import is_error

_Tell: TypeAlias = Callable[[float], None]
_Loading: TypeAlias = Flight[LoadedInstance]


class Loader:
    """Loads and unloads the models of one LM Studio.

    Args:
        lms: its command, where it is on this computer.
        tasks: owns the loads under way.
        folder: in which files are kept by which processes take turns; None where they do not.
    """

    def __init__(
        self, link: Link, catalogue: Catalogue, lms: LmsCommand | None, tasks: Tasks, folder: Path | None
    ) -> None:
        self._link, self._catalogue, self._lms, self._tasks = link, catalogue, lms, tasks
        self._folder = folder
        self._flights: dict[str, _Loading] = {}
        self._over = 0
        self._ours: set[str] = set()

    async def load(self, name: str, wish: Wish, progress: Progress | None = None) -> LoadedInstance:
        """An instance that fulfils *wish*, loaded if need be; see `plans` for the rules.

        A load that LM Studio has begun cannot be stopped: it goes on when the caller is cancelled, and whoever
        asks for the model meanwhile joins it. One by its command is stopped with its last caller.

        Raises:
            ModelNotFound, LoadFailed, InvalidRequest, UnsupportedParameter, CommandFailed, ProviderTimeout;
            and what stands in the way of asking.
        """
        plans.check(wish)
        while True:
            over = self._over
            found = await self._find(name)
            flight = self._flights.get(found.model.key)
            if flight is None:
                if over != self._over:  # a load ended meanwhile, which this list may not show yet
                    continue
                flight = self._begin(found, wish)
            elif flight.wish != wish:
                await self._outcome(flight)  # whatever becomes of it: then it is this one's turn
                continue
            return await self._landed(flight, progress)

    async def _find(self, name: str) -> Found:
        """What a name means; where only what is in memory is listed, its command is asked too."""
        try:
            return await self._catalogue.find(name, None, fresh=True)
        except ModelNotFound:
            # Older ones that load nothing by themselves list nothing else.
            if self._lms is None or await self._catalogue.ready_generation() == "v1":
                raise
            on_disk = [LMStudioModel(listed.key, knows_loaded=False) for listed in await self._lms.ls()]
        return find(self._link.settings.tiers.get(name, name), on_disk, None)

    def _begin(self, found: Found, wish: Wish) -> _Loading:
        key = found.model.key
        flight = self._flights[key] = Flight(wish)

        async def work() -> LoadedInstance:
            try:
                return await self._load(found, wish, flight)
            finally:
                del self._flights[key]
                self._over += 1

        flight.task = self._tasks.start(work())
        return flight

    async def _outcome(self, flight: _Loading) -> None:
        if flight.task is not None:
            await asyncio.wait([flight.task])

    async def _landed(self, flight: _Loading, progress: Progress | None) -> LoadedInstance:
        try:
            instance = await flight.join(progress)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if self._tasks.closed and caller is not None and not caller.cancelling():
                raise client_closed(self._link.provider) from None
            raise
        if progress is not None:
            progress(1.0)
        return instance

    async def _load(self, found: Found, wish: Wish, flight: _Loading) -> LoadedInstance:
        instance = plans.reusable(*_meant(found, wish))
        if instance is not None:
            return instance
        generation = await self._catalogue.ready_generation()
        async with self._turn(found.model.key) as waited:
            if waited:  # most likely for somebody who loaded it
                found = await self._catalogue.find(found.asked, None, fresh=True)
            return await self._load_now(found, wish, flight, generation)

    @asynccontextmanager
    async def _turn(self, key: str) -> AsyncIterator[bool]:
        """Be the only process that loads a model: for two at once LM Studio would make two copies of it."""
        if self._folder is None:
            yield False
            return
        # A few files for all models; two that share one wait for each other without need.
        number = sha256(f"{self._link.url} {key}".encode()).hexdigest()[0]
        async with turn(self._folder / f"lmstudio-load-{number}.lock", self._link.settings.load_timeout) as waited:
            yield waited

    async def _load_now(
        self, found: Found, wish: Wish, flight: _Loading, generation: Generation
    ) -> LoadedInstance:
        model, wish = _meant(found, wish)
        if (instance := plans.reusable(model, wish)) is not None:
            return instance
        await self._check_identifier(model, wish)
        obstacles = plans.in_the_way(model, wish, self._ours)
        road = plans.road(model, wish, generation, lms=self._lms is not None)
        for obstacle in obstacles:
            await self._unload_one(obstacle.id)
        before = frozenset(i.id for i in found.model.loaded) - {i.id for i in obstacles}
        asked = model.key if found.instance is not None else found.asked
        async with within(self._link.settings.load_timeout, self._link.provider, "load"):
            match road:
                case "native":
                    instance = await self._natively(asked, model, wish)
                case "request":
                    instance = await self._by_request(asked, model, flight, before)
                case "lms":
                    instance = await self._by_command(asked, model, wish, flight, before)
        self._ours.add(instance.id)
        return instance

    async def _check_identifier(self, model: LMStudioModel, wish: Wish) -> None:
        for other in await self._catalogue.recent():
            if other.key != model.key and any(i.id == wish.identifier for i in other.loaded):
                raise InvalidRequest(
                    f"{wish.identifier!r} is the name of an instance of {other.key!r} already.",
                    hint="Choose another name.",
                    param="identifier",
                )

    def owns(self, instance: str) -> bool:
        """Whether an instance was loaded here."""
        return instance in self._ours

    # -- the roads --------------------------------------------------------------------------------

    async def _natively(self, asked: str, model: LMStudioModel, wish: Wish) -> LoadedInstance:
        body = encode_load(
            asked,
            context_length=wish.context_length,
            parallel=wish.parallel,
            flash_attention=wish.flash_attention,
        )
        with self._link.explained(model.key):
            # The limit of the whole load is around this; the answer comes when it is done.
            data = await self._link.send("POST", LOAD, body, limit=None, model=model.key)
            told = decode_loaded(data, self._link.provider, model.key)
        return await self._listed(model, frozenset(), told.id)

    async def _by_request(
        self, asked: str, model: LMStudioModel, flight: _Loading, before: frozenset[str]
    ) -> LoadedInstance:
        """For one token of answer LM Studio loads the model; if it does not, its command is tried."""
        try:
            await self._prompt(asked, model)
        except (ProviderUnavailable, ProviderNeedsKey, ProviderTimeout, WrongModel):
            raise
        except BridgeError:
            if self._lms is None:
                raise
            return await self._by_command(asked, model, Wish(), flight, before)
        return await self._listed(model, before, "")

    async def _prompt(self, asked: str, model: LMStudioModel) -> None:
        if model.kind == "embedding":
            await self._ask("/v1/embeddings", {"model": asked, "input": "Hi"}, model)
            return
        try:
            body = {"model": asked, "input": "Hi", "max_output_tokens": 1, "store": False}
            await self._ask("/v1/responses", body, model)
        except RouteNotFound:  # before 0.3.29
            turn = {"role": "user", "content": "Hi"}
            await self._ask("/v1/chat/completions", {"model": asked, "messages": [turn], "max_tokens": 1}, model)

    async def _ask(self, route: str, body: dict[str, object], model: LMStudioModel) -> None:
        provider = self._link.provider
        with self._link.explained(model.key):
            data = await self._link.send("POST", route, body, limit=None, model=model.key)
            try:
                answer = msgspec.json.decode(data, type=_Answered)
            except (ValueError, RecursionError) as error:
                raise BrokenAnswer(provider, str(error)[:200]) from error
            if is_error(answer.error):
                raise decode_failure(None, data, provider, model.key)
            if answer.output is None and answer.choices is None and answer.data is None:
                raise BrokenAnswer(provider, "it is no answer")
        if answer.model and answer.model.casefold() not in model.names:
            self._catalogue.forget()
            after = (await self._catalogue.find(model.key, None)).model
            if answer.model.casefold() not in after.names:
                raise WrongModel(provider, model.key, answer.model)

    async def _by_command(
        self, asked: str, model: LMStudioModel, wish: Wish, flight: _Loading, before: frozenset[str]
    ) -> LoadedInstance:
        lms = needed(self._lms, "load")
        # It matches names loosely, so a key that it does not have might load something else.
        keys = [listed.key for listed in await lms.ls()]
        if model.key not in keys:
            raise ModelNotFound(model.key, keys)
        flight.can_stop = True
        try:
            await lms.load(
                asked,
                context_length=wish.context_length,
                parallel=wish.parallel,
                ttl=wish.ttl,
                identifier=wish.identifier,
                progress=flight.tell,
            )
        finally:
            flight.can_stop = False
        return await self._listed(model, before, wish.identifier)

    async def _listed(self, model: LMStudioModel, before: frozenset[str], told: str) -> LoadedInstance:
        """The new instance as the list shows it.

        Args:
            before: ids that were there before. told: the id of the new one, "" where nobody told it.

        Raises:
            LoadFailed: there is none. WrongModel: it is one of another model.
        """
        habits, provider = self._link.habits, self._link.provider
        ends = monotonic() + habits.settle
        while True:
            models = await self._catalogue.fetch()
            for each in models:
                owner = each.key == model.key
                if owner and not each.knows_loaded:
                    return LoadedInstance(told or model.key, model.key)
                for instance in reversed(each.loaded):
                    if told and instance.id == told and not owner:
                        raise WrongModel(provider, model.key, each.key)
                    if owner and (instance.id == told or (not told and instance.id not in before)):
                        return instance
            if monotonic() >= ends:
                if told and not told.casefold().startswith(model.key.casefold()):
                    raise WrongModel(provider, model.key, told)
                raise LoadFailed(model.key, "LM Studio said that it is loaded, and does not list it")
            await asyncio.sleep(habits.look_again)

    # -- unloading --------------------------------------------------------------------------------

    async def unload(self, name: str) -> tuple[str, ...]:
        """Unload the instance of that name, or all of the model; the ids that were. One not loaded is no error.

        Raises:
            ModelNotFound: there is no such model. RuntimeMissing: an older LM Studio, and its command is not here.
        """
        found = await self._catalogue.find(name, None, fresh=True)
        doomed = [found.instance.id] if found.instance is not None else [i.id for i in found.model.loaded]
        if not doomed and not found.model.knows_loaded:
            doomed = [found.model.key]
        for instance in doomed:
            await self._unload_one(instance)
        return tuple(doomed)

    async def _unload_one(self, instance: str) -> None:
        link = self._link
        if await self._catalogue.ready_generation() == "v1":
            try:
                body = {"instance_id": instance}
                with link.explained(instance):
                    data = await link.send("POST", UNLOAD, body, limit=link.settings.ask_timeout, model=instance)
                    decode_unloaded(data, link.provider, instance)
            except (ModelNotFound, ModelGone):
                pass  # somebody was faster
        else:
            await needed(self._lms, "unload").unload(instance)
        self._ours.discard(instance)
        await self._unlisted(instance)

    async def _unlisted(self, instance: str) -> None:
        """Look whether it is gone: its command calls a failure a success."""
        habits = self._link.habits
        ends = monotonic() + habits.settle
        while any(i.id == instance for model in await self._catalogue.fetch() for i in model.loaded):
            if monotonic() >= ends:
                raise BrokenAnswer(
                    self._link.provider, f"it said that {instance!r} is unloaded, and still lists it"
                )
            await asyncio.sleep(habits.look_again)


def _meant(found: Found, wish: Wish) -> tuple[LMStudioModel, Wish]:
    """The model with the instances that are what was asked for: another quantization is something else."""
    model, asked = found.model, found.asked.casefold()
    if found.instance is not None:  # asked for by the name of one instance: then it is this one, or none
        return model, replace(wish, identifier=found.instance.id)
    if asked in (model.key.casefold(), model.selected_variant.casefold()):
        return model, wish
    return replace(model, loaded=tuple(i for i in model.loaded if i.id.casefold() == asked)), wish


class _Answered(Struct):
    model: str = ""
    output: object = None
    choices: object = None
    data: object = None
    error: Raw = Raw()
