from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests.fakes.provider import ScriptedCounter, ScriptedProvider, ScriptedRuntime

from lmbridge.core.errors import (
    BrokenAnswer,
    ContextExceeded,
    ModelGone,
    ModelNotFound,
    ModelNotLoaded,
    NoModels,
    ProviderUnavailable,
    UnsupportedParameter,
    WrongModelKind,
)
from lmbridge.core.events import Finished, Started, TextDelta
from lmbridge.core.messages import Message, Tool
from lmbridge.core.models import Instance, LoadOptions, ModelInfo
from lmbridge.core.provider import Progress, ProviderContext, ProviderState
from lmbridge.core.requests import ChatRequest, EmbedRequest, Sampling
from lmbridge.hub.hub import Hub
from lmbridge.hub.usage import Ledger
from lmbridge.providers.openai import OpenAIProvider

CHAT, EMBED = ModelInfo("talker", "scripted"), ModelInfo("embedder", "scripted", kind="embedding")


def provider(**how: int) -> ScriptedProvider:
    return ScriptedProvider([CHAT, EMBED], **how)


async def test_an_answer_streams_through_a_lease_that_ends_with_it() -> None:
    async with Hub([provider()]) as hub:
        async with hub.chat(ChatRequest("talker", "one two")) as events:
            assert (await hub.instances())[0].leases == 1
            got = [event async for event in events]
        assert got == [Started("scripted", "talker"), TextDelta("one"), TextDelta("two"), Finished("stop")]
        assert (await hub.instances())[0].leases == 0


async def test_a_missing_model_is_downloaded_for_who_wants_to_talk_with_it_where_that_is_allowed() -> None:
    async with Hub([ScriptedRuntime([], fetches=True)]) as hub:
        assert (await hub.model("new/model")).info == ModelInfo("new/model", "runtime")
    async with Hub([ScriptedRuntime([CHAT])]) as hub:
        with pytest.raises(ModelNotFound):
            await hub.model("new/model")


async def test_a_whole_answer_is_what_the_events_add_up_to() -> None:
    async with Hub([provider()]) as hub:
        answer = await hub.answer(ChatRequest("", "hello"))
    assert (answer.text, answer.provider, answer.model) == ("hello", "scripted", "talker")


async def test_vectors_come_in_the_order_of_the_texts() -> None:
    async with Hub([provider()]) as hub:
        vectors = await hub.embed(EmbedRequest("embedder", ("aa", "b")))
    assert vectors.vectors == ((2.0,), (1.0,))


async def test_the_defaults_answer_who_names_no_model() -> None:
    async with Hub([provider()], default_model="nobody", default_embedding_model="embedder") as hub:
        assert await hub.resolve("", "embedding") == EMBED
        with pytest.raises(ModelNotFound, match="nobody"):
            await hub.resolve("")


async def test_a_model_in_memory_is_found_without_asking_the_providers_again() -> None:
    scripted = provider()
    async with Hub([scripted]) as hub:
        await hub.load("talker")
        await hub.resolve("talker")
        scripted._offered = ()
        hub._catalogue.forget()
        assert await hub.resolve("talker") == CHAT


async def test_each_kind_of_work_is_refused_by_a_model_that_cannot_do_it() -> None:
    async with Hub([provider()]) as hub:
        with pytest.raises(WrongModelKind):
            await hub.embed(EmbedRequest("talker", ("x",)))
        with pytest.raises(WrongModelKind):
            await hub.answer(ChatRequest("embedder", "x"))


async def test_a_seeded_request_is_alone_with_its_model() -> None:
    async with Hub([provider()]) as hub, asyncio.TaskGroup() as group:
        async with hub.chat(ChatRequest("talker", "x", sampling=Sampling(seed=1))):
            other = group.create_task(hub.answer(ChatRequest("talker", "y")))
            await asyncio.sleep(0.01)
            assert not other.done()
        assert (await other).text == "y"


async def test_loading_and_unloading_by_hand_tell_what_is_in_memory() -> None:
    async with Hub([provider()], options=LoadOptions(ttl=7)) as hub:
        state = await hub.load("embedder")
        assert (state.model, state.state, state.ttl) == ("embedder", "ready", 7)
        assert (await hub.load("")).model == "talker"
        assert (await hub.unload("scripted:embedder")).model == "embedder"
        with pytest.raises(ModelNotFound):
            await hub.unload("embedder")
        assert [s.model for s in await hub.instances()] == ["talker"]


async def test_a_broken_answer_is_an_error_at_the_caller_and_frees_the_lease() -> None:
    scripted = provider()
    async with Hub([scripted]) as hub:
        await hub.load("talker")
        scripted.failure = BrokenAnswer("scripted", "garbage")
        with pytest.raises(BrokenAnswer):
            await hub.answer(ChatRequest("talker", "x"))
        with pytest.raises(BrokenAnswer):
            await hub.embed(EmbedRequest("embedder", ("x",)))
        assert all(s.leases == 0 for s in await hub.instances())


async def test_a_provider_that_is_down_offers_nothing_and_breaks_nothing() -> None:
    class Down(ScriptedProvider):
        async def models(self) -> list[ModelInfo]:
            raise ProviderUnavailable("scripted", "refused")

    async with Hub([Down([])]) as hub:
        assert list(await hub.models()) == []
        assert [s.state for s in await hub.probe()] == ["ready"]
        with pytest.raises(NoModels):
            await hub.resolve("")


async def test_closing_the_hub_closes_its_providers() -> None:
    scripted = provider()
    async with Hub([scripted]) as hub:
        assert hub.where == "this process"
    assert scripted.closed


async def test_a_model_of_a_server_that_is_down_is_not_called_unknown(tmp_path: Path) -> None:
    down = OpenAIProvider.create({"url": "http://127.0.0.1:9"}, ProviderContext(tmp_path, "far"))
    async with Hub([provider(), down]) as hub:
        for attempt in (hub.resolve("far:talker"), hub.load("far:talker"), hub.unload("far:talker")):
            with pytest.raises(ProviderUnavailable, match="'far' cannot be reached: nothing answers"):
                await attempt
        with pytest.raises(ModelNotFound):
            await hub.resolve("scripted:nobody")


async def test_an_error_of_a_model_that_somebody_unloaded_says_so() -> None:
    runtime = ScriptedRuntime([ModelInfo("org/big", "runtime")])
    async with Hub([runtime]) as hub:
        await hub.load("org/big")
        runtime.failure = BrokenAnswer("runtime", "nonsense")
        with pytest.raises(BrokenAnswer):
            await hub.answer(ChatRequest("org/big", "x"))
        runtime.alive.clear()
        with pytest.raises(ModelGone, match="by somebody else"):
            await hub.answer(ChatRequest("org/big", "x"))
        runtime.failure = None
        assert (await hub.answer(ChatRequest("org/big", "x"))).text == "x"


async def test_a_model_that_was_there_before_us_stays_however_idle_it_is() -> None:
    class Lender(ScriptedRuntime):
        async def load(self, model: ModelInfo, options: LoadOptions, progress: Progress | None = None) -> Instance:
            return msgspec.structs.replace(
                await super().load(model, options, progress), options=LoadOptions(ttl=0)
            )

    async with Hub([Lender([ModelInfo("org/big", "runtime")])], options=LoadOptions(ttl=0.01)) as hub:
        assert (await hub.load("org/big")).ttl == 0


async def test_a_name_is_answered_by_a_copy_when_that_is_what_is_in_memory() -> None:
    scripted = provider()
    async with Hub([scripted]) as hub:
        await hub.load_another("talker")
        await hub.load_another("talker")
        await hub.unload("talker")
        for name in ("talker", "", "scripted:"):
            assert (await hub.answer(ChatRequest(name, "x"))).model == "talker:2"
        with pytest.raises(ModelNotFound, match="talker:2"):
            await hub.unload("talker")
        await hub.load("talker")
        assert (await hub.answer(ChatRequest("talker", "x"))).model == "talker"
        with pytest.raises(WrongModelKind):
            await hub.resolve("talker:2", "embedding")


async def test_a_model_that_is_missing_is_downloaded_for_a_copy_too() -> None:
    async with Hub([ScriptedRuntime([], fetches=True)]) as hub:
        assert (await hub.load_another("org/new")).model == "org/new"


async def test_without_jit_only_what_is_in_memory_answers() -> None:
    scripted = provider()
    async with Hub([scripted], jit=False) as hub:
        assert not hub.jit
        with pytest.raises(ModelNotLoaded, match="lmbridge load talker"):
            await hub.answer(ChatRequest("talker", "x"))
        with pytest.raises(ModelNotFound):
            await hub.answer(ChatRequest("org/nobody", "x"))
        await hub.load("talker")
        assert (await hub.answer(ChatRequest("talker", "x"))).text == "x"
        assert scripted.loads == ["talker"]


async def test_what_a_request_loads_it_loads_as_it_says() -> None:
    scripted = provider()
    queued: list[int] = []
    async with Hub([scripted]) as hub:
        async with hub.lease("talker", options=LoadOptions(context_length=64), queued=queued.append) as lease:
            assert lease.instance.options.context_length == 64
            assert (lease.ahead, queued, lease.load_s is not None) == (0, [0], True)
        async with hub.lease("talker", options=LoadOptions(context_length=128)) as lease:
            assert lease.instance.options.context_length == 64
            assert lease.load_s is None


async def test_only_the_last_model_that_was_loaded_for_a_request_stays_if_the_settings_say_so() -> None:
    async with Hub([provider()], auto_evict=True) as hub:
        await hub.answer(ChatRequest("talker", "x"))
        await hub.embed(EmbedRequest("embedder", ("x",)))
        assert [s.model for s in await hub.instances()] == ["embedder"]


TALK = (
    Message("system", "be kind"),
    Message("user", "one two three"),
    Message("assistant", "four"),
    Message("user", "five six"),
)


async def test_what_does_not_fit_is_refused_by_the_engine_with_the_share_of_the_tools() -> None:
    tools = tuple(Tool(name) for name in "abcde")
    counter = ScriptedCounter([CHAT])
    async with Hub([counter]) as hub:
        with pytest.raises(ContextExceeded, match="8 tokens and") as caught:
            await hub.answer(ChatRequest("talker", TALK))
        assert (caught.value.tool_tokens, counter.counts) == (None, 1)
        with pytest.raises(
            ContextExceeded, match=r"13 tokens \(5 of them for its tools\).*send fewer tools"
        ) as caught:
            await hub.answer(ChatRequest("talker", TALK, tools))
        assert (caught.value.tool_tokens, caught.value.context_length) == (5, 8)


@pytest.mark.parametrize(("setting", "asked"), [(True, False), (False, True)])
async def test_a_conversation_is_trimmed_where_the_request_or_the_settings_say_so(
    setting: bool, asked: bool
) -> None:
    async with Hub([ScriptedCounter([CHAT])], truncate=setting) as hub:
        answer = await hub.answer(ChatRequest("talker", TALK, truncate=asked))
        assert answer.text == "fivesix"
        async with hub.lease("talker") as lease:
            chat, dropped = await hub.fit(lease, ChatRequest("talker", TALK), truncate=True)
        assert (dropped, chat.turns) == (2, (TALK[0], TALK[3]))


async def test_what_must_stay_and_does_not_fit_is_refused_with_its_own_numbers() -> None:
    tools = tuple(Tool(name) for name in "abcdef")
    async with Hub([ScriptedCounter([CHAT])]) as hub:
        with pytest.raises(ContextExceeded) as caught:
            await hub.answer(ChatRequest("talker", TALK, tools, truncate=True))
        assert (caught.value.prompt_tokens, caught.value.tool_tokens, caught.value.context_length) == (10, 6, 8)


async def test_where_nobody_can_count_a_wish_to_trim_is_refused_and_a_setting_does_nothing() -> None:
    async with Hub([provider()], truncate=True) as hub:
        assert hub.truncate
        assert (await hub.answer(ChatRequest("talker", "x"))).text == "x"
        with pytest.raises(UnsupportedParameter, match=r"truncation.*does not count tokens"):
            await hub.answer(ChatRequest("talker", "x", truncate=True))


async def test_the_tokens_of_a_prompt_are_counted_by_its_model_or_not_at_all() -> None:
    async with Hub([ScriptedCounter([CHAT])]) as hub:
        assert await hub.count(ChatRequest("talker", TALK)) == 8
        assert [s.leases for s in await hub.instances()] == [0]
    async with Hub([provider()]) as hub:
        assert await hub.count(ChatRequest("talker", TALK)) is None


async def test_a_lease_is_had_at_once_where_nothing_has_to_be_waited_for() -> None:
    async with Hub([provider(slots=1)]) as hub:
        assert hub.lease_at_once("talker", "chat", False) is None
        await hub.answer(ChatRequest("talker", "x"))
        lease = hub.lease_at_once("talker", "chat", True)
        assert lease is not None
        assert (lease.name, lease.alone, lease.ahead, lease.load_s) == ("talker", True, 0, None)
        assert hub.lease_at_once("talker", "chat", False) is None
        hub.release(lease)


class Forgetting(ScriptedProvider):
    """Counts how often it is told to forget; calls itself otherwise than its manifest."""

    def __init__(self, id: str) -> None:
        super().__init__([ModelInfo(f"of-{id}", id)])
        self.id, self.forgotten = id, 0

    async def probe(self) -> ProviderState:
        return ProviderState(self.id, "ready", display_name="Mine" if self.id == "a" else "")

    def forget(self) -> None:
        self.forgotten += 1


class Attached:
    """Something that ends with the hub."""

    closed = 0

    async def aclose(self) -> None:
        self.closed += 1


async def test_the_default_provider_answers_who_names_no_model_unless_a_model_is_set() -> None:
    both = [Forgetting("a"), Forgetting("b")]
    async with Hub(both, default_provider="b") as hub:
        assert await hub.default_provider() == "b"
        assert (await hub.resolve("")).id == "of-b"
        assert [(s.display_name, s.default) for s in await hub.probe()] == [("Mine", False), ("Scripted", True)]
        assert hub.provider("a").id == "a"
    async with Hub(both, default_provider="b", default_model="of-a") as hub:
        assert (await hub.resolve("")).id == "of-a"
    async with Hub(both) as hub:
        assert await hub.default_provider() == ""
        assert not any(state.default for state in await hub.probe())


async def test_who_asks_anew_asks_those_that_remember_and_the_others_too() -> None:
    a, b = Forgetting("a"), Forgetting("b")
    async with Hub([a, b, ScriptedProvider([])]) as hub:
        assert [m.id for m in await hub.refresh("a")] == ["of-a", "of-b"]
        assert (a.forgotten, b.forgotten) == (1, 0)
        await hub.refresh()
        assert (a.forgotten, b.forgotten) == (2, 1)


async def test_what_is_attached_to_a_hub_ends_after_its_providers() -> None:
    provider, attached = ScriptedProvider([]), Attached()
    async with Hub([provider], attached=[attached]) as hub:
        assert hub.attached == (attached,)
    assert (provider.closed, attached.closed) == (True, 1)


async def test_a_hub_with_a_ledger_tells_what_its_models_were_used_for(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    async with Hub([provider()], ledger=Ledger(path)) as hub:
        await hub.answer(ChatRequest("talker", "one two", task="greeting"))
        (row,) = (await hub.usage("task", model="talk")).rows
        assert (row.name, row.calls, row.errors) == ("greeting", 1, 0)
        assert (await hub.usage(until=1.0)).rows == ()
        await hub.embed(EmbedRequest("embedder", ("one",)))
    later = Ledger(path)
    assert (await later.report()).total.calls == 2  # what waited was written at the end
    await later.aclose()


async def test_a_hub_without_a_ledger_knows_of_no_usage() -> None:
    async with Hub([provider()]) as hub:
        await hub.answer(ChatRequest("talker", "one two"))
        report = await hub.usage("day", since=1.0)
    assert (report.by, report.rows, report.total.calls, report.since) == ("day", (), 0, 1.0)


async def test_who_asks_for_a_trimmed_answer_is_told_how_much_was_dropped() -> None:
    turns = [Message("user", "one two three four"), Message("assistant", "five"), Message("user", "six")]
    told: list[int] = []
    async with Hub([ScriptedCounter([CHAT])]) as hub, hub.lease("talker") as lease:
        for truncate in (True, False):
            async with hub.ask(
                lease, ChatRequest("talker", turns if truncate else turns[2:], truncate=truncate), told.append
            ) as events:
                assert [event async for event in events][1] == TextDelta("six")
    assert told == [2]
