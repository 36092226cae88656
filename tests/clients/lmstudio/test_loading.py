from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.clients.lmstudio.conftest import GEMMA, NOMIC, QWEN, THINKER, client_of, lms_of
from tests.fakes.lmstudio import FakeLMStudio, fake_lmstudio

from lmbridge.clients.lmstudio import LMStudioClient
from lmbridge.core.errors import (
    BrokenAnswer,
    CommandFailed,
    InvalidRequest,
    LoadFailed,
    ModelNotFound,
    ProviderTimeout,
    ProviderUnavailable,
    RuntimeMissing,
    UnsupportedParameter,
    WrongModel,
)
from lmbridge.machine.lmstudio.lms import Lms
from lmbridge.machine.lmstudio.output import LmsModel

LOAD = "POST /api/v1/models/load"
UNLOAD = "POST /api/v1/models/unload"


def ids(fake: FakeLMStudio) -> list[str]:
    return [instance.id for instance in fake.runtime.loaded()]


async def test_a_model_is_loaded_as_it_is_wanted(client: LMStudioClient, fake: FakeLMStudio) -> None:
    heard: list[float] = []
    instance = await client.load_model(
        "qwen3-4b-2507", context_length=8192, parallel=2, flash_attention=True, progress=heard.append
    )
    assert (instance.id, instance.model, instance.context_length, instance.parallel) == (QWEN, QWEN, 8192, 2)
    assert heard == [1.0]
    [load] = [request for request in fake.requests if request.route == LOAD]
    assert load.body == {"model": QWEN, "context_length": 8192, "parallel": 2, "flash_attention": True}


@pytest.mark.parametrize("command", [False, True])
async def test_two_programs_at_once_load_it_once(fake: FakeLMStudio, tmp_path: Path, command: bool) -> None:
    fake.runtime.load_s = 0.2
    lms, ttl = (lms_of(fake), 60) if command else (None, None)
    one, two = (client_of(fake, cache=tmp_path / "cache", lms=lms) for _ in range(2))
    async with one, two, asyncio.TaskGroup() as group:
        first, second = (group.create_task(each.load_model(QWEN, ttl=ttl)) for each in (one, two))
    assert (first.result().id, second.result().id, ids(fake)) == (QWEN, QWEN, [QWEN])
    assert [one.owns(QWEN), two.owns(QWEN)].count(True) == 1


async def test_an_instance_that_suffices_is_used_whoever_loaded_it(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    fake.hold(QWEN, 16384)
    assert (await client.load_model(QWEN, context_length=8192)).context_length == 16384
    assert (await client.load_model(QWEN)).id == QWEN
    assert LOAD not in fake.routes


async def test_two_at_once_load_it_once(client: LMStudioClient, fake: FakeLMStudio) -> None:
    heard: list[float] = []
    async with asyncio.TaskGroup() as group:
        first = group.create_task(client.load_model(QWEN))
        second = group.create_task(client.load_model("qwen3-4b-2507", progress=heard.append))
    assert first.result() == second.result()
    assert (fake.routes.count(LOAD), heard) == (1, [1.0])


async def test_two_with_different_wishes_take_turns(client: LMStudioClient, fake: FakeLMStudio) -> None:
    async with asyncio.TaskGroup() as group:
        small = group.create_task(client.load_model(QWEN, context_length=4096))
        large = group.create_task(client.load_model(QWEN, context_length=16384))
    assert (small.result().context_length, large.result().context_length) == (4096, 16384)
    assert len(ids(fake)) == 1


async def test_our_own_instance_is_unloaded_before_a_larger_one_is_loaded(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    await client.load_model(QWEN, context_length=4096)
    assert (await client.load_model(QWEN, context_length=8192)).context_length == 8192
    assert ids(fake) == [QWEN]
    assert fake.routes.count(UNLOAD) == 1


async def test_somebody_elses_instance_is_left_alone_unless_that_is_asked_for(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    fake.hold(QWEN, 4096)
    with pytest.raises(InvalidRequest, match=f"lmbridge unload {QWEN}"):
        await client.load_model(QWEN, context_length=8192)
    assert ids(fake) == [QWEN]
    assert (await client.load_model(QWEN, context_length=8192, replace=True)).context_length == 8192
    assert ids(fake) == [QWEN]


async def test_a_load_goes_on_when_its_caller_goes_and_can_be_joined(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    fake.runtime.gate.clear()
    caller = asyncio.ensure_future(client.load_model(QWEN))
    await fake.until(lambda: LOAD in fake.routes)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    second = asyncio.ensure_future(client.load_model(QWEN))
    await asyncio.sleep(0)
    fake.runtime.gate.set()
    assert (await second).id == QWEN
    assert fake.routes.count(LOAD) == 1


async def test_a_client_that_is_closed_says_so_to_who_waits(fake: FakeLMStudio) -> None:
    client = client_of(fake)
    fake.runtime.gate.clear()
    caller = asyncio.ensure_future(client.load_model(QWEN))
    await fake.until(lambda: LOAD in fake.routes)
    await client.aclose()
    with pytest.raises(ProviderUnavailable, match=r"this client is closed\. Make a new one\."):
        await caller
    fake.runtime.gate.set()


async def test_a_load_that_takes_too_long_says_which_limit_it_was(fake: FakeLMStudio) -> None:
    async with client_of(fake, load_timeout=0.1) as client:
        fake.runtime.gate.clear()
        with pytest.raises(ProviderTimeout) as raised:
            await client.load_model(QWEN)
        fake.runtime.gate.set()
    assert (raised.value.phase, raised.value.seconds) == ("load", 0.1)


async def test_a_quantization_that_is_asked_for_is_not_another(client: LMStudioClient, fake: FakeLMStudio) -> None:
    fake.hold(GEMMA)
    assert (await client.load_model(f"{GEMMA}@q4_k_m")).id == GEMMA
    await client.load_model(f"{GEMMA}@q8_0")
    [load] = [request for request in fake.requests if request.route == LOAD]
    assert load.body["model"] == f"{GEMMA}@q8_0"


@pytest.mark.parametrize(
    ("fault", "kind"), [("load-fails", LoadFailed), ("not-loaded", LoadFailed), ("loads-other", WrongModel)]
)
async def test_a_load_that_is_none_is_an_error(
    client: LMStudioClient, fake: FakeLMStudio, fault: str, kind: type[Exception]
) -> None:
    fake.fault = fault
    with pytest.raises(kind):
        await client.load_model(QWEN)
    fake.fault = ""
    assert (await client.load_model(QWEN)).model == QWEN


async def test_an_instance_of_another_model_is_never_given(client: LMStudioClient, fake: FakeLMStudio) -> None:
    fake.hold(THINKER)
    fake.fault = "loads-other"
    with pytest.raises(WrongModel):
        await client.load_model(QWEN)


async def test_what_does_not_fit_is_said_with_what_helps(client: LMStudioClient, fake: FakeLMStudio) -> None:
    fake.runtime.memory = 1
    with pytest.raises(LoadFailed, match=r"insufficient system resources.*guardrails"):
        await client.load_model(QWEN)


async def test_a_name_of_its_own_and_a_time_limit_take_the_command(fake: FakeLMStudio) -> None:
    async with client_of(fake, lms=lms_of(fake)) as client:
        heard: list[float] = []
        instance = await client.load_model(
            QWEN, identifier="mine", ttl=600, context_length=8192, parallel=2, progress=heard.append
        )
        assert (instance.id, instance.model, instance.context_length) == ("mine", QWEN, 8192)
        assert heard[-1] == 1.0
        assert fake.runtime.find("mine").ttl == 600  # type: ignore[union-attr]
        assert (await client.load_model("mine")).id == "mine"
        assert (await client.load_model("mine", context_length=16384)).context_length == 16384
        assert ids(fake) == ["mine"]
        fake.hold(THINKER, identifier="theirs")
        with pytest.raises(InvalidRequest, match=r"name of an instance of 'qwen/qwen3-1\.7b'"):
            await client.load_model(QWEN, identifier="theirs")
    async with client_of(fake) as client:
        for wish in ({"identifier": "other"}, {"ttl": 60}):
            with pytest.raises(UnsupportedParameter, match="lms"):
                await client.load_model(GEMMA, **wish)  # type: ignore[arg-type]


async def test_an_older_one_loads_for_a_tiny_prompt(old: FakeLMStudio) -> None:
    async with client_of(old) as client:
        assert (await client.load_model(QWEN)).id == QWEN
        assert (await client.load_model(NOMIC)).id == NOMIC
        with pytest.raises(UnsupportedParameter, match=r"older than 0\.4\.0"):
            await client.load_model(THINKER, context_length=8192)
    assert [route for route in old.routes if "POST" in route] == ["POST /v1/responses", "POST /v1/embeddings"]


async def test_one_that_is_older_still_is_asked_in_a_chat(tmp_path: Path) -> None:
    async with fake_lmstudio(tmp_path, version="0.3.16") as fake, client_of(fake) as client:
        assert (await client.load_model(QWEN)).id == QWEN
        assert "POST /v1/chat/completions" in fake.routes


async def test_an_older_one_that_loads_nothing_by_itself_takes_the_command(tmp_path: Path) -> None:
    async with fake_lmstudio(tmp_path, version="0.3", jit=False) as fake:
        fake.hold(QWEN)  # else nothing would be listed
        async with client_of(fake, lms=lms_of(fake)) as client:
            assert (await client.load_model(QWEN, context_length=16384, replace=True)).context_length == 16384
            assert await client.unload_model(QWEN) == (QWEN,)
        assert ids(fake) == []


async def test_an_older_one_says_that_it_takes_the_command(old: FakeLMStudio) -> None:
    old.hold(QWEN)
    async with client_of(old) as client:
        with pytest.raises(RuntimeMissing, match="can unload only by its command"):
            await client.unload_model(QWEN)


async def test_a_prompt_that_another_model_answers_loads_nothing(old: FakeLMStudio) -> None:
    async with client_of(old) as client:
        await client.check()
        old.inject("wrong-model", "POST /v1/responses")
        with pytest.raises(WrongModel):
            await client.load_model(QWEN)
        for fault, model in (("missing-keys", THINKER), ("not-json", GEMMA)):
            old.clear()
            old.inject(fault, "POST /v1/responses")
            with pytest.raises(BrokenAnswer):
                await client.load_model(model)


async def test_the_command_is_asked_only_for_what_it_has(fake: FakeLMStudio, tmp_path: Path) -> None:
    async with client_of(fake, lms=lms_of(fake)) as client:
        assert fake.install is not None
        fake.install.fault = "fails"
        with pytest.raises(CommandFailed):
            await client.load_model(QWEN, ttl=60)
        fake.install.fault = ""
        assert (await client.load_model(QWEN, ttl=60)).id == QWEN


async def test_unloading_by_key_takes_all_its_instances(client: LMStudioClient, fake: FakeLMStudio) -> None:
    fake.hold(QWEN)
    fake.hold(QWEN)
    fake.hold(QWEN, identifier="mine")
    fake.hold(THINKER)
    assert await client.unload_model("mine") == ("mine",)
    assert ids(fake) == [QWEN, f"{QWEN}:2", THINKER]
    assert await client.unload_model("QWEN3-4b-2507") == (QWEN, f"{QWEN}:2")
    assert await client.unload_model(QWEN) == ()
    assert ids(fake) == [THINKER]
    with pytest.raises(ModelNotFound):
        await client.unload_model("zzz")


async def test_an_instance_that_somebody_else_unloads_meanwhile_is_gone_all_the_same(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    fake.hold(QWEN)
    await client.check()
    fake.inject("unloaded", UNLOAD)
    fake.runtime.instances.clear()
    assert await client.unload_model(QWEN) == ()


async def test_where_a_tiny_prompt_does_not_help_the_command_does(tmp_path: Path) -> None:
    async with fake_lmstudio(tmp_path, version="0.3") as fake:
        async with client_of(fake, lms=lms_of(fake)) as client:
            await client.check()
            fake.inject("unloaded", "POST /v1/responses")
            assert (await client.load_model(QWEN)).id == QWEN
        async with client_of(fake) as client:
            with pytest.raises(ModelNotFound, match="No models loaded"):
                await client.load_model(THINKER)


async def test_what_an_older_one_does_not_list_is_loaded_all_the_same(tmp_path: Path) -> None:
    async with fake_lmstudio(tmp_path, version="0.3", jit=False) as fake:
        async with client_of(fake, lms=lms_of(fake)) as client:
            assert await client.fetch_models() == []
            assert (await client.ensure_ready(QWEN)).id == QWEN
            assert (await client.ensure_ready("openai/gpt-oss-20b", download=True)).id == "openai/gpt-oss-20b"
            with pytest.raises(ModelNotFound):
                await client.load_model("zzz")
        async with client_of(fake) as client:
            with pytest.raises(ModelNotFound):
                await client.load_model(THINKER)


async def test_the_command_never_loads_what_it_does_not_have_by_that_name(fake: FakeLMStudio) -> None:
    class Poor(Lms):
        async def ls(self) -> list[LmsModel]:
            return [LmsModel("something/else")]

    assert fake.install is not None
    async with client_of(fake, lms=Poor(fake.install.lms, environ=fake.install.environ)) as client:
        with pytest.raises(ModelNotFound):
            await client.load_model(QWEN, ttl=60)


async def test_with_the_openai_routes_alone_what_is_loaded_is_taken_on_trust(fake: FakeLMStudio) -> None:
    async with client_of(fake, native_api=False, lms=lms_of(fake)) as client:
        instance = await client.load_model(QWEN)
        assert (instance.id, instance.context_length) == (QWEN, None)
        assert await client.unload_model(QWEN) == (QWEN,)
    assert ids(fake) == []


async def test_an_instance_that_was_unloaded_by_somebody_else_is_no_error(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    fake.hold(QWEN)
    await client.check()
    # The list still has it, and then the server does not.
    stale = await client.fetch_models()
    fake.runtime.instances.clear()
    await client._loader._unload_one(stale[0].loaded[0].id)


async def test_an_unload_that_changes_nothing_is_broken(fake: FakeLMStudio) -> None:
    class Idle(Lms):
        async def unload(self, identifier: str) -> None:
            pass  # and it calls that a success

    assert fake.install is not None
    fake.version = (0, 3, 30)
    fake.hold(QWEN)
    async with client_of(fake, lms=Idle(fake.install.lms, environ=fake.install.environ)) as client:
        with pytest.raises(BrokenAnswer, match="still lists it"):
            await client.unload_model(QWEN)


async def test_an_instance_of_another_model_under_the_id_that_was_told_is_the_wrong_one(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    fake.hold(THINKER, identifier="somebody/else-7b")
    fake.fault = "loads-other"
    with pytest.raises(WrongModel):
        await client.load_model(QWEN)
