"""Leases: the only way to use a model. The one owner of the state that `hub.residency` decides on.

All decisions are made there; here effects are carried out and callers wait. Everything runs on one
event loop, so the state needs no locks: it only changes between two awaits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from itertools import count
from time import monotonic
from typing import assert_never

from msgspec.structs import replace

from lmbridge.core.errors import (
    BridgeError,
    LoadFailed,
    ModelBusy,
    ModelNotLoaded,
    NotEnoughMemory,
    ShuttingDown,
)
from lmbridge.core.models import Instance, InstanceState, LoadOptions, ModelInfo
from lmbridge.core.provider import Progress, Provider
from lmbridge.hub.activity import Activity
from lmbridge.hub.background import Background
from lmbridge.hub.faults import asked, room_of
from lmbridge.hub.lease import Held, Lease
from lmbridge.hub.residency import (
    Deny,
    Effect,
    Grant,
    Load,
    Refuse,
    Residency,
    Resident,
    Unload,
    Want,
    admits,
    decide,
    expired,
    granted,
    seconds_left,
    state_of,
)
from lmbridge.hub.waiting import NOBODY, Caller, Waiter, tell_places


class Leases:
    """Hands out leases, and loads and unloads models so that it can.

    Args:
        provider_of: finds a provider by its id; raises a BridgeError where it is not there any more.
        options: load options for models nobody gave options for.
        clock: seconds, monotonic.
        activity: where loads, unloads and waits are counted.
        jit: whether a request may load a model.
        auto_evict: whether only the last model that a request loaded stays in memory.
    """

    def __init__(
        self,
        provider_of: Callable[[str], Provider],
        options: LoadOptions,
        clock: Callable[[], float] = monotonic,
        activity: Activity | None = None,
        *,
        jit: bool = True,
        auto_evict: bool = False,
    ) -> None:
        self._jit, self._auto_evict = jit, auto_evict
        self._provider_of, self._options, self._clock = provider_of, options, clock
        self._activity = activity or Activity()
        self._residents: dict[str, Resident] = {}
        self._held: dict[str, Held] = {}
        self._queue: dict[int, Waiter] = {}
        self._chosen: dict[str, LoadOptions] = {}
        self._loaded_with: dict[str, LoadOptions] = {}
        self._wishes: dict[str, asyncio.Lock] = {}
        self._reserved: set[str] = set()
        self._progress: dict[str, float] = {}
        self._models: dict[str, ModelInfo] = {}
        self._tickets, self._background = count(), Background()
        self._settling = self._unsettled = self._closed = False
        self._timer: asyncio.TimerHandle | None = None

    async def acquire(self, model: ModelInfo, alone: bool = False, caller: Caller = NOBODY) -> Lease:
        """Wait for a lease of *model*; the caller must `release` it, whatever happens.

        One that somebody else has unloaded meanwhile is loaded again.

        Args:
            alone: nobody else may hold it meanwhile.

        Raises:
            NotEnoughMemory, BadModelFile, LoadFailed, EngineMissing, ProviderUnavailable, ForeignServer,
            ProviderNeedsKey, ModelNotLoaded, ShuttingDown. InvalidRequest: an option that cannot be.
        """
        lease = self.at_once(model, alone) or await self._wait_for(model, alone, caller)
        try:
            if await lease.confirm():
                return lease
        except BaseException:
            self.release(lease)
            raise
        self.release(lease)
        return await self._wait_for(model, alone, caller)

    def at_once(self, model: ModelInfo, alone: bool = False) -> Lease | None:
        """A lease if nothing has to be waited for or asked, else None; to be released like any other.

        Raises:
            ShuttingDown.
        """
        if self._closed:
            raise ShuttingDown
        name = model.qualified
        resident = self._residents.get(name)
        if resident is None or self._queue or not admits(resident, alone) or not self._held[name].certain:
            return None
        self._residents[name] = granted(resident, alone)
        return Lease(self._held[name], alone, 0.0)

    async def _wait_for(self, model: ModelInfo, alone: bool, caller: Caller) -> Lease:
        began, name = self._clock(), model.qualified
        caller.options.check()
        # The ticket is drawn before anything is awaited: it is the caller's place in the queue.
        want = Want(next(self._tickets), name, alone, caller.explicit)
        provider = self._provider_of(model.provider)
        options = self._options_of(name, caller.options)
        need = 0 if name in self._residents else await asked(provider.id, provider.estimate(model, options))
        if self._closed:
            raise ShuttingDown
        self._provider_of(model.provider)  # it may have gone meanwhile
        waiter = Waiter(want, model, need, caller, began)
        self._models[name] = model
        self._queue[want.ticket] = waiter
        resident = self._residents.get(name)
        if resident is not None and resident.state == "loading":
            waiter.tell_progress(self._progress[name])
        ahead = sum(w.want.model == name and w.want.ticket < want.ticket for w in self._queue.values())
        self._activity.queued(len(self._queue))
        self.settle()
        try:
            held = await waiter.future
        except BaseException:
            self._queue.pop(want.ticket, None)
            if waiter.future.done() and not waiter.future.cancelled() and not waiter.future.exception():
                self._give_back(name, waiter.future.result())  # granted in the moment of giving up
            self.settle()
            raise
        finally:
            self._activity.queued(len(self._queue))
        waited = self._clock() - began
        self._activity.waited(waited)
        return Lease(held, alone, waited, ahead, waiter.load_s)

    def release(self, lease: Lease) -> None:
        """End a lease."""
        self._give_back(lease.model.qualified, lease.held)
        if self._queue or self._auto_evict:
            self.settle()

    def _give_back(self, name: str, held: Held) -> None:
        if self._held.get(name) is not held:
            return  # it crashed meanwhile; what is loaded now is another instance
        resident = self._residents[name]
        left = resident.leases - 1
        self._residents[name] = replace(resident, leases=left, alone=False, idle_since=self._clock())
        if not left and self._timer is None:
            self._arm()

    # -- deciding ---------------------------------------------------------------------------------

    def settle(self) -> None:
        """Do for the queue what can be done now; in the background where memory must be looked at first."""
        if self._closed:
            return
        if all(w.want.model in self._residents for w in self._queue.values()):
            self._carry_out(decide(self._state(None)))
            tell_places(self._waiters())
            return
        tell_places(self._waiters())
        self._unsettled = True
        if not self._settling:
            self._settling = True
            self._background.start(self._settle_with_room())

    async def _settle_with_room(self) -> None:
        try:
            while self._unsettled:
                self._unsettled = False
                room = await self._room()
                self._carry_out(decide(self._state(room)))
                tell_places(self._waiters())
        finally:
            self._settling = False

    def _waiters(self) -> list[Waiter]:
        return sorted(self._queue.values(), key=lambda w: w.want.ticket)

    async def _room(self) -> int | None:
        for waiter in self._queue.values():
            if waiter.want.model not in self._residents:
                room = await room_of(self._provider_of(waiter.model.provider))
                if room is not None:
                    return room
        return None

    def _state(self, room: int | None) -> Residency:
        waiters = self._waiters()
        return Residency(
            residents=self._residents,
            queue=[w.want for w in waiters],
            # It is loaded as the first who wants it says.
            needs={w.want.model: w.need for w in reversed(waiters)},
            room=room,
            jit=self._jit,
            one_jit=self._auto_evict,
        )

    def _carry_out(self, effects: Iterable[Effect], why: str = "evicted") -> None:
        for effect in effects:
            match effect:
                case Grant(ticket):
                    self._grant(self._queue.pop(ticket))
                case Refuse(ticket, needed, available):
                    waiter = self._queue.pop(ticket)
                    waiter.fail(NotEnoughMemory(waiter.model.id, needed, available))
                case Deny(ticket):
                    waiter = self._queue.pop(ticket)
                    waiter.fail(ModelNotLoaded(waiter.model.id))
                case Load(model):
                    self._start_loading(model)
                case Unload(model):
                    self._residents[model] = replace(self._residents[model], state="unloading")
                    self._background.start(self._evict(model, why))
                case _:
                    assert_never(effect)

    def _grant(self, waiter: Waiter) -> None:
        name = waiter.want.model
        if not waiter.future.done():  # else the caller went away in this very moment, and looks after the queue
            self._residents[name] = granted(self._residents[name], waiter.want.alone)
            waiter.future.set_result(self._held[name])

    # -- loading ----------------------------------------------------------------------------------

    def _options_of(self, name: str, wished: LoadOptions) -> LoadOptions:
        return wished.over(self._chosen.get(name, LoadOptions())).over(self._options)

    def _start_loading(self, name: str) -> None:
        first = next(w for w in self._waiters() if w.want.model == name)
        want, options = first.want, self._options_of(name, first.caller.options)
        self._residents[name] = Resident(
            name, "loading", memory=first.need, jit=not want.explicit, born=want.ticket
        )
        self._loading(name, 0.0)
        self._activity.loading(first.model.provider, first.model.id)
        self._background.start(self._load(name, first.model, options))

    async def _load(self, name: str, model: ModelInfo, options: LoadOptions) -> None:
        provider = self._provider_of(model.provider)
        began = self._clock()
        try:
            instance = await provider.load(model, options, lambda done: self._loading(name, done))
        except BridgeError as error:
            self._load_failed(name, error)
        except Exception as error:  # noqa: BLE001 - a provider of others may raise anything; nobody may hang on it
            self._load_failed(name, LoadFailed(model.id, f"{type(error).__name__}: {error}"))
        else:
            now = self._clock()
            self._activity.loaded(model.provider, model.id, now - began)
            for waiter in self._queue.values():
                if waiter.want.model == name:
                    waiter.load_s = now - max(began, waiter.began)
            self._loaded(name, Held(model, instance, provider), options)
        self.settle()

    def _loading(self, name: str, done: float) -> None:
        self._progress[name] = done
        for waiter in self._queue.values():
            if waiter.want.model == name:
                waiter.tell_progress(done)

    def _loaded(self, name: str, held: Held, options: LoadOptions) -> None:
        self._held[name] = held
        self._loaded_with[name] = options
        ttl = (options if held.instance.options.ttl is None else held.instance.options).ttl or 0.0
        self._residents[name] = replace(
            self._residents[name],
            state="ready",
            memory=held.instance.memory,
            slots=held.instance.slots,
            idle_since=self._clock(),
            ttl=ttl,
            # What a runtime keeps by itself and was merely taken over is nobody's but its owner's to unload.
            jit=self._residents[name].jit and (held.keeper is None or ttl > 0),
        )
        held.watcher = self._background.start(self._watch(name, held))
        if self._timer is None:
            self._arm()

    def _load_failed(self, name: str, error: BridgeError) -> None:
        del self._residents[name]
        self._activity.load_failed(self._models[name].provider, self._models[name].id, error.code)
        for ticket, waiter in list(self._queue.items()):
            if waiter.want.model == name:
                self._queue.pop(ticket).fail(error)

    async def _watch(self, name: str, held: Held) -> None:
        self._died(name, held, await held.provider.gone(held.instance))

    def _died(self, name: str, held: Held, error: BridgeError) -> None:
        held.gone.set_result(error)
        if self._held.get(name) is held:
            del self._held[name], self._residents[name]
            self._activity.unloaded(held.model.provider, held.model.id, "crashed")
            self.settle()

    async def _evict(self, name: str, why: str) -> None:
        """Unload what nobody asked to be unloaded: a runtime that is down by then is nobody's concern."""
        with suppress(BridgeError):
            await self._unload(name, why)

    async def _unload(self, name: str, why: str) -> None:
        held = self._let_go(name, why)
        try:
            await asked(held.provider.id, held.provider.unload(held.instance))
        finally:
            del self._residents[name]
            self.settle()

    def _let_go(self, name: str, why: str) -> Held:
        held = self._held.pop(name)
        self._activity.unloaded(held.model.provider, held.model.id, why)
        held.watcher.cancel()
        return held

    # -- time -------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Wake when the first idle model is due. Later releases only push that moment back."""
        clock = self._clock()
        left = [s for r in self._residents.values() if (s := seconds_left(r, clock)) is not None]
        if left and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, min(left)), self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        wants = [w.want for w in self._queue.values()]
        self._carry_out(expired(self._residents, wants, self._clock()), "idle")
        self._arm()

    # -- explicit wishes --------------------------------------------------------------------------

    async def load(self, model: ModelInfo, options: LoadOptions, progress: Progress | None = None) -> None:
        """Load a model with these options, again if it is loaded with others.

        Raises:
            ModelBusy: it would have to be loaded again and is answering somebody.
            InvalidRequest: an option that cannot be; and as `acquire`.
        """
        options.check()
        # One wish after the other: two at the same time would both get what the second asked for.
        async with self._wishes.setdefault(model.qualified, asyncio.Lock()):
            await self._load_as(model, options, progress)

    async def _load_as(self, model: ModelInfo, options: LoadOptions, progress: Progress | None) -> None:
        name, wanted = model.qualified, options.over(self._options)
        if name in self._residents:
            await self._keep(model, Caller(LoadOptions(), progress, explicit=True))
            if options == LoadOptions() or self._loaded_with[name] == wanted:
                return
            await self.unload(model)
        before, self._chosen[name] = self._chosen.get(name, LoadOptions()), options
        try:
            await self._keep(model, Caller(LoadOptions(), progress, explicit=True))
        except BridgeError:
            # What cannot be loaded so must not stand in the way of everybody who wants the model as it was.
            self._chosen[name] = before
            raise

    async def _keep(self, model: ModelInfo, caller: Caller) -> None:
        """Have a model in memory by somebody's wish."""
        lease = await self.acquire(model, caller=caller)
        name = model.qualified
        if self._held.get(name) is lease.held:
            self._residents[name] = replace(self._residents[name], jit=False)
        self.release(lease)

    async def load_another(
        self, model: ModelInfo, options: LoadOptions, progress: Progress | None, taken: Collection[str] = ()
    ) -> ModelInfo:
        """Load a model once more, whatever of it is in memory; returns what the new one is called.

        Without a TTL of its own it stays until somebody unloads it.

        Args:
            taken: ids that the new one must not have.

        Raises:
            as `acquire`.
        """
        options.check()
        copy = self.next_copy(model, taken)
        self._reserved.add(copy.qualified)
        try:
            await self._keep(copy, Caller(options.over(LoadOptions(ttl=0.0)), progress, explicit=True))
        finally:
            self._reserved.discard(copy.qualified)
        return copy

    def next_copy(self, model: ModelInfo, taken: Collection[str] = ()) -> ModelInfo:
        """What *model* would be called if it were loaded once more: the first free one of `key`, `key:2`, …"""
        used = {*self._residents, *self._reserved, *(w.want.model for w in self._queue.values())}
        copies = (model.copy(number) for number in count(1))
        return next(c for c in copies if c.qualified not in used and (c.id not in taken or c is model))

    def copies(self) -> list[ModelInfo]:
        """Models that are in memory once more, or will soon be."""
        inside = [self._models[r.model] for r in self._residents.values() if r.state != "unloading"]
        return [model for model in inside if model.copy_of]

    async def unload(self, model: ModelInfo) -> None:
        """Unload a model, if it is loaded.

        Raises:
            ModelBusy: it is answering somebody, or still loading.
        """
        name = model.qualified
        resident = self._residents.get(name)
        if resident is None:
            return
        if resident.leases or resident.state != "ready":
            raise ModelBusy(model.id, resident.leases)
        self._residents[name] = replace(resident, state="unloading")
        await self._unload(name, "asked")

    def retire(self, provider: str) -> None:
        """Let go of all that a provider has in memory, as it is about to end it.

        Raises:
            ModelBusy: one of its models answers, loads or is waited for; nothing has changed then.
        """
        mine = [r for r in self._residents.values() if self._models[r.model].provider == provider]
        if busy := next((r for r in mine if r.leases or r.state == "loading"), None):
            raise ModelBusy(self._models[busy.model].id, busy.leases)
        if waiter := next((w for w in self._queue.values() if w.model.provider == provider), None):
            raise ModelBusy(waiter.model.id, 0)
        for resident in mine:
            if resident.state == "ready":  # else it is being unloaded already
                self._let_go(resident.model, "asked")
                del self._residents[resident.model]

    def holds(self, model: ModelInfo) -> bool:
        """Whether a model is in memory."""
        return model.qualified in self._held

    def instances(self) -> list[Instance]:
        """Everything in memory."""
        return [held.instance for held in self._held.values()]

    def names(self) -> set[str]:
        """Qualified names of the models in memory."""
        return set(self._held)

    def state(self, model: ModelInfo) -> InstanceState:
        """What a model is like in memory; `unloading` if it has gone."""
        if model.qualified not in self._residents:
            return InstanceState(model.copy_of or model.id, model.provider, "unloading")
        return self._state_of(model.qualified)

    def states(self) -> list[InstanceState]:
        """What is in memory, and who waits for it."""
        return list(map(self._state_of, self._residents))

    def _state_of(self, name: str) -> InstanceState:
        held = self._held.get(name)
        return state_of(
            self._residents[name],
            self._models[name],
            held.instance if held else None,
            waiting=sum(w.want.model == name for w in self._queue.values()),
            progress=self._progress.get(name, 0.0),
            now=self._clock(),
        )

    async def aclose(self) -> None:
        """Refuse who waits, end what runs. Instances are ended by their providers."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for waiter in self._queue.values():
            waiter.fail(ShuttingDown())
        self._queue.clear()
        await self._background.aclose()
