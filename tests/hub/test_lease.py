from __future__ import annotations

import asyncio

import pytest
from tests.fakes.provider import ScriptedCounter, ScriptedProvider, ScriptedRuntime
from tests.hub.test_leases import A, K, held, leases_over, leases_over_runtime

from lmbridge.core.errors import (
    BrokenAnswer,
    ContextExceeded,
    EngineCrashed,
    InvalidRequest,
    ModelGone,
    error_from_code,
)
from lmbridge.core.messages import Tool
from lmbridge.core.requests import ChatRequest


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


async def test_the_share_of_the_tools_is_told_only_where_it_can_be_counted() -> None:
    counter, chat = ScriptedCounter([A]), ChatRequest("a", "one two", (Tool("f"),))
    leases = leases_over(counter)
    async with held(leases, A) as lease:
        error = ContextExceeded(9, 8)
        assert (await lease.weighed(error, chat)).tool_tokens == 7
        told_in_words = error_from_code("context_length_exceeded", "It is too long.")
        assert isinstance(told_in_words, ContextExceeded)
        for unknown, asked in (
            (error, ChatRequest("a", "one two")),
            (told_in_words, chat),
            (ContextExceeded(2, 1), chat),
        ):
            assert await lease.weighed(unknown, asked) is unknown
        counter.failure = BrokenAnswer("scripted", "it does not count any more")
        assert await lease.weighed(error, chat) is error
    await leases.aclose()
    leases = leases_over(ScriptedProvider([A]))
    async with held(leases, A) as lease:
        assert await lease.count(chat) is None
        assert await lease.weighed(error, chat) is error
    await leases.aclose()
