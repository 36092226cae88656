from __future__ import annotations

import asyncio

import pytest
from tests.fakes.provider import ScriptedProvider, ScriptedRuntime
from tests.hub.test_leases import A, K, held, leases_over, leases_over_runtime

from lmbridge.core.errors import BrokenAnswer, EngineCrashed, InvalidRequest, ModelGone


async def test_a_broken_answer_is_explained_by_the_crash_behind_it() -> None:
    provider = ScriptedProvider([A], sizes={"a": 1}, room=10)
    leases = leases_over(provider)
    lease = await leases.acquire(A)
    asyncio.get_running_loop().call_soon(provider.crash, lease.instance)
    with pytest.raises(EngineCrashed, match="killed by the test") as caught:
        async with lease.explaining():
            raise BrokenAnswer("scripted", "cut off")
    assert isinstance(caught.value.__cause__, BrokenAnswer)
    await leases.aclose()


async def test_an_error_that_is_no_crash_stays_what_it_is() -> None:
    leases = leases_over(ScriptedProvider([A]))
    async with held(leases, A) as lease:
        with pytest.raises(InvalidRequest, match="as it was"):
            async with lease.explaining():
                raise InvalidRequest("as it was")
    await leases.aclose()


async def test_an_error_of_a_model_that_somebody_unloaded_says_so_once_it_is_forgotten() -> None:
    runtime = ScriptedRuntime([K])
    leases = leases_over_runtime(runtime)
    async with held(leases, K) as lease:
        error = BrokenAnswer("runtime", "it was cut off")
        assert await lease.explain(error) is error
        runtime.alive.clear()
        assert isinstance(await lease.explain(error), ModelGone)
        assert leases.names() == set()
    await leases.aclose()
