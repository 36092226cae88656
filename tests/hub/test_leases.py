from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace
from tests.fakes.provider import ScriptedProvider, ScriptedRuntime

from lmbridge.core.errors import (
    BadModelFile,
    BridgeError,
    ForeignServer,
    InvalidRequest,
    LoadFailed,
    ModelBusy,
    ModelGone,
    ModelNotLoaded,
    NotEnoughMemory,
    ProviderUnavailable,
    ShuttingDown,
)
from lmbridge.core.models import Instance, LoadOptions, ModelInfo
from lmbridge.core.provider import Progress
from lmbridge.hub.activity import Activity
from lmbridge.hub.lease import Lease
from lmbridge.hub.leases import Leases
from lmbridge.hub.waiting import Caller

A, B, C = (ModelInfo(name, "scripted") for name in "abc")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def leases_over(
    provider: ScriptedProvider, options: LoadOptions = LoadOptions(), clock: Clock | None = None, **rules: bool
) -> Leases:
    return Leases({"scripted": provider}.__getitem__, options, clock or Clock(), **rules)


@asynccontextmanager
async def held(leases: Leases, model: ModelInfo, alone: bool = False) -> AsyncIterator[Lease]:
    lease = await leases.acquire(model, alone)
    try:
        yield lease
    finally:
        leases.release(lease)


async def settled(times: int = 20) -> None:
    """Let everything that can happen without the outside happen."""
    for _ in range(times):
        await asyncio.sleep(0)


async def test_fifty_simultaneous_first_requests_cause_one_load() -> None:
    provider = ScriptedProvider([A], slots=None)
    leases = leases_over(provider)
    got = await asyncio.gather(*(leases.acquire(A) for _ in range(50)))
    assert provider.loads == ["a"]
    assert {lease.instance.key for lease in got} == {"a#0"}
    for lease in got:
        leases.release(lease)
    await leases.aclose()


async def test_waiting_callers_are_served_in_the_order_they_came() -> None:
    provider = ScriptedProvider([A], slots=1)
    leases = leases_over(provider)
    order: list[int] = []

    async def use(number: int) -> None:
        async with held(leases, A):
            order.append(number)
            await settled(3)

    await asyncio.gather(*(use(n) for n in range(10)))
    assert order == list(range(10))
    await leases.aclose()


async def test_a_caller_who_goes_away_leaves_the_queue() -> None:
    provider = ScriptedProvider([A], slots=1)
    leases = leases_over(provider)
    first = await leases.acquire(A)
    async with asyncio.TaskGroup() as group:
        second = group.create_task(leases.acquire(A))
        third = group.create_task(leases.acquire(A))
        await settled()
        assert leases.states()[0].waiting == 2
        second.cancel()
        await settled()
        assert leases.states()[0].waiting == 1
        leases.release(first)
        leases.release(await third)
    assert leases.states()[0].leases == 0
    await leases.aclose()


async def test_a_lease_granted_in_the_moment_of_giving_up_is_given_back() -> None:
    provider = ScriptedProvider([A], slots=1)
    leases = leases_over(provider)
    first = await leases.acquire(A)
    async with asyncio.TaskGroup() as group:
        second = group.create_task(leases.acquire(A))
        await settled()
        leases.release(first)  # grants the second one, which has not run since
        second.cancel()
    assert leases.states()[0].leases == 0
    leases.release(await leases.acquire(A))
    await leases.aclose()


async def test_a_leased_model_is_not_unloaded_for_another_that_waits_for_its_memory() -> None:
    provider = ScriptedProvider([A, B], sizes={"a": 6, "b": 6}, room=10)
    leases = leases_over(provider)
    first = await leases.acquire(A)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(leases.acquire(B))
        await settled()
        assert provider.unloads == []
        leases.release(first)
        leases.release(await waiting)
    assert provider.unloads == ["a"]
    assert provider.most_in_memory == 6
    await leases.aclose()


async def test_a_steady_stream_of_callers_for_one_model_does_not_starve_another() -> None:
    provider = ScriptedProvider([A, B], sizes={"a": 6, "b": 6}, room=10)
    leases = leases_over(provider)
    served: list[str] = []

    async def use(model: ModelInfo) -> None:
        async with held(leases, model):
            served.append(model.id)
            await settled(5)

    async with asyncio.TaskGroup() as group:
        for number in range(30):
            group.create_task(use(B if number == 3 else A))
            await settled(2)
    assert served.index("b") < 15
    await leases.aclose()


async def test_a_model_that_cannot_fit_is_refused_with_both_numbers() -> None:
    leases = leases_over(ScriptedProvider([A], sizes={"a": 12}, room=10))
    with pytest.raises(NotEnoughMemory) as caught:
        await leases.acquire(A)
    assert (caught.value.needed, caught.value.available) == (12, 10)
    await leases.aclose()


async def test_a_lone_lease_tolerates_no_other() -> None:
    leases = leases_over(ScriptedProvider([A]))
    async with asyncio.TaskGroup() as group:
        async with held(leases, A, alone=True):
            other = group.create_task(leases.acquire(A))
            await settled()
            assert not other.done()
        leases.release(await other)
    await leases.aclose()


async def test_everyone_who_waits_for_a_load_that_fails_is_told_and_the_next_one_tries_again() -> None:
    provider = ScriptedProvider([A])
    provider.failure = BadModelFile("a.gguf", "it is cut off")
    leases = leases_over(provider)
    results = await asyncio.gather(*(leases.acquire(A) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(r, BadModelFile) for r in results)
    provider.failure = None
    leases.release(await leases.acquire(A))
    assert provider.loads == ["a", "a"]
    await leases.aclose()


async def test_whatever_a_provider_raises_while_loading_nobody_hangs_on_it() -> None:
    provider = ScriptedProvider([A])
    provider.failure = RuntimeError("a fault of somebody else's code")
    leases = leases_over(provider)
    with pytest.raises(LoadFailed, match="a fault of somebody else's code"):
        await leases.acquire(A)
    await leases.aclose()


async def test_after_a_crash_the_next_caller_gets_a_new_instance() -> None:
    provider = ScriptedProvider([A], sizes={"a": 1}, room=10)
    leases = leases_over(provider)
    first = await leases.acquire(A)
    provider.crash(first.instance)
    await settled()
    assert leases.states() == []
    second = await leases.acquire(A)
    assert second.instance.key != first.instance.key
    leases.release(first)
    assert leases.states()[0].leases == 1, "the lease of the dead instance is no lease of the new one"
    leases.release(second)
    await leases.aclose()


async def test_an_idle_model_is_unloaded_when_its_time_is_over() -> None:
    provider, clock = ScriptedProvider([A]), Clock()
    leases = leases_over(provider, LoadOptions(ttl=0.001), clock)
    leases.release(await leases.acquire(A))
    clock.now = 1.0
    async with asyncio.timeout(5):
        await provider.unloaded.wait()
    assert provider.unloads == ["a"]
    await leases.aclose()


async def test_a_model_used_again_in_time_stays() -> None:
    provider, clock = ScriptedProvider([A]), Clock()
    leases = leases_over(provider, LoadOptions(ttl=0.001), clock)
    leases.release(await leases.acquire(A))
    async with held(leases, A):
        clock.now = 1.0
        await asyncio.sleep(0.005)
        assert provider.unloads == []
    await leases.aclose()


async def test_progress_of_a_load_reaches_every_caller_who_waits_from_its_beginning() -> None:
    provider = ScriptedProvider([A])
    provider.gate.clear()
    leases = leases_over(provider)
    heard: list[float] = []
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(leases.acquire(A, caller=Caller(progress=heard.append))) for _ in range(2)]
        await settled()
        assert leases.states()[0].progress == 0.5
        provider.gate.set()
        for task in tasks:
            leases.release(await task)
    assert heard == [0.0, 0.0, 0.5, 0.5]
    assert leases.states()[0].progress == 1.0
    await leases.aclose()


async def test_who_comes_during_a_load_learns_how_far_it_is() -> None:
    provider = ScriptedProvider([A])
    provider.gate.clear()
    leases = leases_over(provider)
    heard: list[float] = []
    async with asyncio.TaskGroup() as group:
        first = group.create_task(leases.acquire(A))
        await settled()
        second = group.create_task(leases.acquire(A, caller=Caller(progress=heard.append)))
        await settled()
        assert heard == [0.5]
        provider.gate.set()
        leases.release(await first)
        leases.release(await second)
    await leases.aclose()


async def test_loading_with_other_options_loads_again_and_with_the_same_does_not() -> None:
    provider = ScriptedProvider([A])
    leases = leases_over(provider)
    await leases.load(A, LoadOptions(context_length=100))
    await leases.load(A, LoadOptions(context_length=100))
    await leases.load(A, LoadOptions())
    assert provider.loads == ["a"]
    await leases.load(A, LoadOptions(context_length=200))
    assert provider.loads == ["a", "a"]
    async with held(leases, A) as lease:
        assert lease.instance.options.context_length == 200
        with pytest.raises(ModelBusy):
            await leases.load(A, LoadOptions(context_length=300))
        with pytest.raises(ModelBusy):
            await leases.unload(A)
    await leases.unload(A)
    await leases.unload(A)
    assert not leases.holds(A)
    await leases.aclose()


async def test_options_that_a_model_cannot_be_loaded_with_are_forgotten() -> None:
    provider = ScriptedProvider([A])
    leases = leases_over(provider)
    await leases.load(A, LoadOptions(context_length=100))
    provider.failure = LoadFailed("a", "too much")
    with pytest.raises(LoadFailed):
        await leases.load(A, LoadOptions(context_length=10**9))
    provider.failure = None
    async with held(leases, A) as lease:
        assert lease.instance.options.context_length == 100
    await leases.aclose()


@pytest.mark.parametrize(
    "options",
    [LoadOptions(parallel=0), LoadOptions(context_length=-1), LoadOptions(threads=10**9), LoadOptions(ttl=-1)],
)
async def test_options_that_cannot_be_are_refused_before_anything_is_loaded(options: LoadOptions) -> None:
    provider = ScriptedProvider([A])
    leases = leases_over(provider)
    with pytest.raises(InvalidRequest):
        await leases.load(A, options)
    assert not provider.loads
    await leases.aclose()


async def test_closing_refuses_who_waits_and_who_comes() -> None:
    provider = ScriptedProvider([A, B, C])
    provider.gate.clear()
    leases = leases_over(provider)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(_refused(leases, A))
        await settled()
        await leases.aclose()
        assert await waiting
    assert await _refused(leases, B)


async def _refused(leases: Leases, model: ModelInfo) -> bool:
    with pytest.raises(ShuttingDown):
        await leases.acquire(model)
    return True


async def test_closing_while_memory_is_being_estimated_refuses_too() -> None:
    class Slow(ScriptedProvider):
        async def estimate(self, model: ModelInfo, options: LoadOptions) -> int:
            await self.gate.wait()
            return 0

    provider = Slow([A])
    provider.gate.clear()
    leases = leases_over(provider)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(_refused(leases, A))
        await settled()
        await leases.aclose()
        provider.gate.set()
        assert await waiting


def leases_over_runtime(runtime: ScriptedRuntime) -> Leases:
    return Leases({"runtime": runtime}.__getitem__, LoadOptions(), Clock())


K = ModelInfo("k", "runtime")


async def test_what_somebody_else_unloaded_is_loaded_again_for_who_comes_next() -> None:
    runtime = ScriptedRuntime([K])
    leases = leases_over_runtime(runtime)
    async with held(leases, K):
        pass
    runtime.alive.clear()
    runtime.sure = False
    async with held(leases, K) as lease:
        assert runtime.loads == ["k", "k"]
        assert lease.instance in runtime.alive.values()
    await leases.aclose()


async def test_a_runtime_that_is_sure_is_not_asked() -> None:
    runtime = ScriptedRuntime([K])
    leases = leases_over_runtime(runtime)
    for sure, asked in ((True, 0), (False, 1)):
        runtime.sure = sure
        async with held(leases, K):
            assert runtime.asked == asked
        lease = leases.at_once(K)
        assert (lease is not None) == sure
        if lease is not None:
            leases.release(lease)
    assert runtime.loads == ["k"]
    await leases.aclose()


async def test_who_cannot_be_sure_of_a_model_gets_no_lease_of_it() -> None:
    runtime = ScriptedRuntime([K])
    leases = leases_over_runtime(runtime)
    async with held(leases, K):
        pass
    runtime.sure, runtime.failure = False, ForeignServer("runtime", "http://127.0.0.1:9", "a web page")
    with pytest.raises(ForeignServer):
        await leases.acquire(K)
    assert [state.leases for state in leases.states()] == [0]
    await leases.aclose()


async def test_what_cannot_be_unloaded_when_its_time_is_over_is_nobodys_fault() -> None:
    class Stubborn(ScriptedProvider):
        async def unload(self, instance: Instance) -> None:
            await super().unload(instance)
            raise ProviderUnavailable(self.id, "it is down")

    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    provider, clock = Stubborn([A]), Clock()
    leases = leases_over(provider, LoadOptions(ttl=0.01), clock)
    async with held(leases, A):
        pass
    clock.now = 1.0
    async with asyncio.timeout(10):
        await provider.unloaded.wait()
    await settled()
    assert (leases.states(), faults) == ([], [])
    async with held(leases, A):
        pass
    with pytest.raises(ProviderUnavailable):
        await leases.unload(A)
    await leases.aclose()


async def test_the_request_that_causes_a_load_says_how_and_no_other_does() -> None:
    provider = ScriptedProvider([A], slots=None)
    leases = leases_over(provider, LoadOptions(context_length=100, ttl=9))
    wishes = (LoadOptions(context_length=200), LoadOptions(context_length=300))
    got = await asyncio.gather(*(leases.acquire(A, caller=Caller(wish)) for wish in wishes))
    got.append(await leases.acquire(A, caller=Caller(LoadOptions(ttl=1))))
    assert [lease.instance.options for lease in got] == [LoadOptions(context_length=200, ttl=9)] * 3
    for lease in got:
        leases.release(lease)
    await leases.unload(A)
    async with held(leases, A) as lease:
        assert lease.instance.options.context_length == 100, "it was said for one load alone"
    with pytest.raises(InvalidRequest):
        await leases.acquire(B, caller=Caller(LoadOptions(parallel=0)))
    await leases.aclose()


async def test_who_waits_learns_how_many_are_ahead_whenever_that_changes() -> None:
    provider = ScriptedProvider([A], slots=1)
    leases = leases_over(provider)
    told: dict[int, list[int]] = {number: [] for number in range(3)}
    first = await leases.acquire(A)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(leases.acquire(A, caller=Caller(queued=told[n].append))) for n in range(3)]
        await settled()
        assert list(told.values()) == [[0], [1], [2]]
        tasks[0].cancel()
        await settled()
        leases.release(first)
        second = await tasks[1]
        assert (second.ahead, second.load_s) == (1, None)
        leases.release(second)
        third = await tasks[2]
        assert (third.ahead, told[2]) == (2, [2, 1, 0])
        leases.release(third)
    assert (first.ahead, (await leases.acquire(A)).ahead) == (0, 0)
    await leases.aclose()


async def test_a_lease_tells_the_seconds_of_loading_that_it_waited_for() -> None:
    provider, clock = ScriptedProvider([A], slots=None), Clock()
    provider.gate.clear()
    leases = leases_over(provider, clock=clock)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(leases.acquire(A))
        await settled()
        clock.now = 2.0
        second = group.create_task(leases.acquire(A))
        await settled()
        clock.now = 5.0
        provider.gate.set()
    got = [first.result(), second.result(), await leases.acquire(A)]
    assert [lease.load_s for lease in got] == [5.0, 3.0, None]
    assert {lease.name for lease in got} == {"a"}
    await leases.aclose()


async def test_a_model_is_loaded_once_more_under_a_name_of_its_own() -> None:
    provider = ScriptedProvider([A], slots=1)
    leases = leases_over(provider, LoadOptions(ttl=60))
    one, two, three = [await leases.load_another(A, LoadOptions(), None) for _ in range(3)]
    assert [one, two.id, three.id] == [A, "a:2", "a:3"]
    assert [(s.model, s.name, s.ttl) for s in leases.states()] == [("a", "", 0), ("a", "a:2", 0), ("a", "a:3", 0)]
    assert leases.copies() == [two, three]
    async with held(leases, A), held(leases, two) as lease:
        assert lease.name == "a:2"
        assert [s.leases for s in leases.states()] == [1, 1, 0]
        with pytest.raises(ModelBusy):
            await leases.unload(two)
    await leases.unload(two)
    assert leases.copies() == [three]
    assert (await leases.load_another(A, LoadOptions(ttl=5), None)).id == "a:2"
    assert leases.state(two).ttl == 5
    await leases.aclose()


async def test_copies_that_are_wished_at_the_same_time_get_names_of_their_own() -> None:
    leases = leases_over(ScriptedProvider([A]))
    made = await asyncio.gather(*(leases.load_another(A, LoadOptions(), None, {"a:2"}) for _ in range(3)))
    assert [model.id for model in made] == ["a", "a:3", "a:4"]
    await leases.aclose()


async def test_a_copy_that_dies_is_forgotten() -> None:
    provider = ScriptedProvider([A], sizes={"a:2": 1}, room=9)
    leases = leases_over(provider)
    await leases.load_another(A, LoadOptions(), None)
    copy = await leases.load_another(A, LoadOptions(), None)
    provider.crash(leases.instances()[1])
    await settled()
    assert (leases.copies(), leases.state(copy).state) == ([], "unloading")
    await leases.aclose()


async def test_where_requests_load_no_models_a_wish_still_does() -> None:
    provider = ScriptedProvider([A, B])
    leases = leases_over(provider, jit=False)
    with pytest.raises(ModelNotLoaded, match="lmbridge load a"):
        await leases.acquire(A)
    await leases.load(A, LoadOptions())
    async with held(leases, A):
        assert provider.loads == ["a"]
    async with asyncio.timeout(5):
        leases.release(await leases.acquire(B, caller=Caller(explicit=True)))
    await leases.aclose()


async def test_only_the_last_model_that_a_request_loaded_stays() -> None:
    provider = ScriptedProvider([A, B, C])
    leases = leases_over(provider, auto_evict=True)
    for model in (A, B):
        leases.release(await leases.acquire(model))
    assert (provider.unloads, leases.names()) == (["a"], {"scripted:b"})
    async with held(leases, B):
        leases.release(await leases.acquire(C))
        assert provider.unloads == ["a"], "one that answers is not unloaded"
    await settled()
    assert leases.names() == {"scripted:c"}
    await leases.aclose()


async def test_a_model_that_somebody_wished_stays_whatever_requests_load() -> None:
    provider = ScriptedProvider([A, B, C])
    leases = leases_over(provider, auto_evict=True)
    leases.release(await leases.acquire(A))
    await leases.load(A, LoadOptions())
    for model in (B, C):
        leases.release(await leases.acquire(model))
    assert leases.names() == {"scripted:a", "scripted:c"}
    await leases.aclose()


async def test_what_a_runtime_keeps_by_itself_is_not_unloaded_for_what_a_request_loads() -> None:
    class Lender(ScriptedRuntime):
        async def load(self, model: ModelInfo, options: LoadOptions, progress: Progress | None = None) -> Instance:
            return replace(await super().load(model, options, progress), options=LoadOptions(ttl=0))

    runtime = Lender([K])
    leases = Leases({"runtime": runtime}.__getitem__, LoadOptions(ttl=9), Clock(), auto_evict=True)
    for model in (K, ModelInfo("l", "runtime")):
        leases.release(await leases.acquire(model))
    assert runtime.unloads == []
    await leases.aclose()


async def test_a_wish_for_a_model_that_dies_as_soon_as_it_is_loaded_leaves_nothing_behind() -> None:
    class Frail(ScriptedProvider):
        async def load(self, model: ModelInfo, options: LoadOptions, progress: Progress | None = None) -> Instance:
            instance = await super().load(model, options, progress)
            self.crash(instance)
            return instance

    leases = leases_over(Frail([A]))
    await leases.load_another(A, LoadOptions(), None)
    assert (leases.states(), leases.state(A).state) == ([], "unloading")
    await leases.aclose()


async def test_who_goes_away_in_the_moment_of_his_turn_leaves_it_to_the_next_one() -> None:
    provider = ScriptedProvider([A], slots=1)
    leases = leases_over(provider)
    first = await leases.acquire(A)
    gone, following = (asyncio.ensure_future(leases.acquire(A)) for _ in range(2))
    await settled()
    gone.cancel()
    leases.release(first)
    leases.release(await following)
    assert gone.cancelled()
    await leases.aclose()


async def test_a_load_that_fails_is_told_to_none_who_wait_for_another_model() -> None:
    class Failing(ScriptedProvider):
        async def load(self, model: ModelInfo, options: LoadOptions, progress: Progress | None = None) -> Instance:
            if model == A:
                raise LoadFailed("a", "out of order")
            return await super().load(model, options, progress)

    provider = Failing([A, B])
    provider.gate.clear()
    leases = leases_over(provider)
    waiting = asyncio.ensure_future(leases.acquire(B))
    with pytest.raises(LoadFailed):
        await leases.acquire(A)
    provider.gate.set()
    leases.release(await waiting)
    await leases.aclose()


async def test_news_of_an_end_that_come_after_the_unloading_change_nothing() -> None:
    class Late(ScriptedProvider):
        async def gone(self, instance: Instance) -> BridgeError:
            try:
                return await super().gone(instance)
            except asyncio.CancelledError:
                return ModelGone("scripted", "a")

    activity = Activity()
    leases = Leases({"scripted": Late([A])}.__getitem__, LoadOptions(), Clock(), activity)
    async with held(leases, A) as lease:
        watched = lease.held
    await leases.unload(A)
    await settled()
    assert watched.gone.done()
    assert dict(activity.unloads) == {("scripted", "a", "asked"): 1}
    await leases.aclose()


async def test_what_a_provider_has_in_memory_is_let_go_unless_somebody_needs_it() -> None:
    provider = ScriptedProvider([A, B])
    leases = leases_over(provider)
    async with held(leases, A), held(leases, B):
        with pytest.raises(ModelBusy):
            leases.retire("scripted")
        leases.retire("another")
        assert len(leases.instances()) == 2
        waiting = asyncio.ensure_future(leases.acquire(A, alone=True))
        await settled()
    leases.release(await waiting)
    leases.retire("scripted")
    assert (leases.instances(), leases.states(), provider.unloads) == ([], [], [])
    await leases.aclose()
