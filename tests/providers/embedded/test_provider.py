"""The embedded provider with real engines: models load, answer, crash and end, and requests mean what they say."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import struct
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import msgspec
import pytest
from tests.fakes import gguf_files, llama_server
from tests.providers.embedded.conftest import Build

from lmbridge.clients.openai import OpenAIClient
from lmbridge.core.errors import (
    BadModelFile,
    BridgeError,
    ConfigInvalid,
    ContextExceeded,
    EngineCrashed,
    EngineMissing,
    InvalidRequest,
    LoadFailed,
    ModelNotFound,
)
from lmbridge.core.events import Answer, AnswerBuilder, PromptProgress, Started
from lmbridge.core.messages import ImagePart, Message, TextPart, Tool
from lmbridge.core.models import Instance, LoadOptions, ModelInfo
from lmbridge.core.provider import ProviderContext
from lmbridge.core.requests import ChatRequest, EmbedRequest, NamedTool, Sampling, Schema
from lmbridge.hub.hub import Hub
from lmbridge.machine.engine import requirements
from lmbridge.machine.processes import exists
from lmbridge.providers.embedded import EmbeddedProvider

pytestmark = pytest.mark.timeout(60)

CITY: dict[str, object] = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 8}},
    "required": ["city"],
    "additionalProperties": False,
}
DAY: dict[str, object] = {
    "type": "object",
    "properties": {"day": {"type": "integer", "minimum": 1, "maximum": 7}},
    "required": ["day"],
    "additionalProperties": False,
}
TOOLS = (Tool("weather", "of a city", CITY), Tool("calendar", "of a day", DAY))


async def named(provider: EmbeddedProvider, name: str) -> ModelInfo:
    return next(model for model in await provider.models() if model.id == name)


@asynccontextmanager
async def loaded(
    provider: EmbeddedProvider, name: str, options: LoadOptions = LoadOptions()
) -> AsyncIterator[Instance]:
    instance = await provider.load(await named(provider, name), options)
    yield instance
    await provider.unload(instance)


async def answer(provider: EmbeddedProvider, instance: Instance, request: ChatRequest) -> Answer:
    builder = AnswerBuilder()
    async with provider.chat(instance, request) as events:
        async for event in events:
            builder.feed(event)
    return builder.close()


async def exhaust(events: AsyncIterator[object]) -> None:
    async for _ in events:
        pass


def ask(text: str = "hi", *, tokens: int = 40, seed: int | None = None, **fields: object) -> ChatRequest:
    sampling = Sampling(max_tokens=tokens, seed=seed)
    return ChatRequest("", text, sampling=sampling, **fields)  # type: ignore[arg-type]


# -- finding and loading --------------------------------------------------------------------------


async def test_models_are_found_with_what_they_can_do(provider: EmbeddedProvider) -> None:
    found = {model.id: model for model in await provider.models()}
    assert {"chat", "plain", "thinking", "embed", "vision", "cut"} <= set(found)
    assert (found["chat"].kind, found["chat"].tools, found["chat"].vision) == ("chat", True, False)
    assert (found["embed"].kind, found["vision"].vision, found["plain"].tools) == ("embedding", True, False)
    assert found["cut"].problem.startswith("truncated")


async def test_models_in_our_own_folder_are_found(build: Build, models: Path, tmp_path: Path) -> None:
    provider = build(folders=[])
    (tmp_path / "home/models").mkdir(parents=True)
    shutil.copy(models / "chat-F16.gguf", tmp_path / "home/models/mine-F16.gguf")
    assert "mine" in {model.id for model in await provider.models()}


async def test_probing_tells_the_engines_version(provider: EmbeddedProvider) -> None:
    state = await provider.probe()
    assert (state.state, state.version) == ("ready", requirements.engine_version())


async def test_a_folder_in_the_settings_that_is_not_there_is_named(build: Build) -> None:
    assert "/nowhere/models" in (await build(folders=["/nowhere/models"]).probe()).hint


async def test_an_instance_tells_every_choice_that_was_made(provider: EmbeddedProvider) -> None:
    async with loaded(provider, "chat", LoadOptions(context_length=600, parallel=2)) as instance:
        assert instance.slots == instance.options.parallel == 2
        assert instance.context_length == instance.options.context_length == 768  # the engine's own rounding
        assert (instance.options.threads, instance.options.kv_type) == (1, "f16")
        assert instance.memory == await provider.estimate(instance.model, instance.options)
        assert "Bearer" not in repr(instance)


async def test_two_models_answer_at_the_same_time(provider: EmbeddedProvider) -> None:
    async with loaded(provider, "chat") as chat, loaded(provider, "plain") as plain:
        both = await asyncio.gather(answer(provider, chat, ask()), answer(provider, plain, ask()))
        assert [one.model for one in both] == ["chat", "plain"]
        assert all(one.finish.usage and one.finish.usage.completion_tokens == 40 for one in both)


async def test_unloading_ends_the_engine(provider: EmbeddedProvider) -> None:
    async with loaded(provider, "chat") as instance:
        pid = provider.pid(instance)
        assert pid is not None
        assert exists(pid)
        await provider.unload(instance)
        assert not exists(pid)
        await provider.unload(instance)


async def test_closing_ends_every_engine(build: Build) -> None:
    provider = build()
    first = await provider.load(await named(provider, "chat"), LoadOptions())
    second = await provider.load(await named(provider, "plain"), LoadOptions())
    pids = [provider.pid(first), provider.pid(second)]
    await provider.aclose()
    assert not any(exists(pid) for pid in pids if pid)
    await provider.aclose()


async def test_a_broken_file_is_refused_before_an_engine_is_started(provider: EmbeddedProvider) -> None:
    with pytest.raises(BadModelFile, match="truncated at"):
        await provider.load(await named(provider, "cut"), LoadOptions())


async def test_a_file_that_was_removed_is_refused(build: Build, models: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(models / "chat-F16.gguf", tmp_path / "gone-F16.gguf"))
    provider = build(folders=[str(path)])
    model = await named(provider, "gone")
    await asyncio.to_thread(path.unlink)
    with pytest.raises(BadModelFile):
        await provider.load(model, LoadOptions())


async def test_a_model_nobody_knows_is_not_found(provider: EmbeddedProvider) -> None:
    with pytest.raises(ModelNotFound):
        await provider.load(ModelInfo("nobody", "embedded"), LoadOptions())


async def test_options_the_model_cannot_have_are_told_in_the_engines_words(provider: EmbeddedProvider) -> None:
    with pytest.raises(LoadFailed, match="does not divide"):
        await provider.load(await named(provider, "chat"), LoadOptions(kv_type="q8_0"))


async def test_layers_on_a_gpu_that_is_not_there_are_refused(provider: EmbeddedProvider) -> None:
    # The package for Apple's computers is the only one on the index that knows a GPU.
    refused = nullcontext() if sys.platform == "darwin" else pytest.raises(LoadFailed, match="GPU")
    with refused:
        await provider.load(await named(provider, "chat"), LoadOptions(gpu_layers=5))


async def test_memory_is_reckoned_before_a_load(provider: EmbeddedProvider, build: Build) -> None:
    chat = await named(provider, "chat")
    small = await provider.estimate(chat, LoadOptions(context_length=256, parallel=1))
    large = await provider.estimate(chat, LoadOptions(context_length=2048, parallel=64))
    room = await provider.room()
    assert room is not None
    assert 0 < small < large < room
    assert await build(check_memory=False).room() is None


async def test_progress_ends_with_all(provider: EmbeddedProvider) -> None:
    shares: list[float] = []
    instance = await provider.load(await named(provider, "chat"), LoadOptions(), shares.append)
    await provider.unload(instance)
    assert shares[-1] == 1.0


# -- crashing -------------------------------------------------------------------------------------


async def test_a_crash_during_an_answer_is_told_at_once_and_the_next_load_works(
    provider: EmbeddedProvider,
) -> None:
    async with loaded(provider, "chat") as instance:
        pid = provider.pid(instance)
        assert pid is not None
        async with provider.chat(instance, ask(tokens=1900)) as events:
            await anext(events)
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(BridgeError):
                await exhaust(events)
        error = await provider.gone(instance)
        assert isinstance(error, EngineCrashed)
        assert "SIGKILL" in error.reason
    async with loaded(provider, "chat") as again:
        assert again.key != instance.key
        assert (await answer(provider, again, ask(tokens=3))).finish.reason == "length"


async def test_leaving_an_answer_frees_the_engine(provider: EmbeddedProvider) -> None:
    async with loaded(provider, "chat", LoadOptions(parallel=1)) as instance:
        for _ in range(3):
            async with provider.chat(instance, ask(tokens=1900)) as events:
                await anext(events)
        async with asyncio.timeout(5):
            await answer(provider, instance, ask(tokens=1))


# -- what requests mean ---------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["chat", "thinking"])
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
async def test_a_named_tool_is_called_once_and_no_other(
    provider: EmbeddedProvider, model: str, tool: Tool
) -> None:
    async with loaded(provider, model) as instance:
        request = ask(tokens=200, seed=1, tools=TOOLS, tool_choice=NamedTool(tool.name))
        got = await answer(provider, instance, request)
    (call,) = got.tool_calls
    assert (call.name, got.finish.reason, got.text) == (tool.name, "tool_calls", "")
    assert set(json.loads(call.arguments)) == set(tool.parameters["required"])  # type: ignore[call-overload]


async def test_a_required_call_comes_before_any_word(provider: EmbeddedProvider) -> None:
    async with loaded(provider, "chat") as instance:
        request = ask(tokens=200, tools=TOOLS, tool_choice="required", parallel_tool_calls=False)
        got = await answer(provider, instance, request)
    assert got.text == ""
    assert len(got.tool_calls) == 1


async def test_an_unstreamed_named_call_is_the_same(provider: EmbeddedProvider) -> None:
    async with loaded(provider, "chat") as instance:
        client = OpenAIClient(provider._http, "embedded")
        request = ask(tokens=200, tools=TOOLS, tool_choice=NamedTool("calendar"))
        got = await client.answer(instance.endpoint, request, lambda body: provider.prepare(instance, body))
    assert [call.name for call in got.tool_calls] == ["calendar"]


async def test_an_answer_follows_its_schema(provider: EmbeddedProvider) -> None:
    schema: dict[str, object] = {
        "type": "object",
        "properties": {
            "code": {"type": "string", "pattern": r"^\w{2}-\d{3}$"},
            "say": {"type": "string", "pattern": "^.{1,9}$"},
            "n": {"type": "integer", "minimum": 3, "maximum": 5},
            "list": {"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 1, "maxItems": 2},
        },
        "required": ["code", "say", "n", "list"],
        "additionalProperties": False,
    }
    async with loaded(provider, "chat") as instance:
        got = await answer(provider, instance, ask(tokens=300, seed=3, schema=Schema(schema)))
    value = json.loads(got.text)
    assert len(value["code"]) == 6
    assert 1 <= len(value["say"]) <= 9
    assert value["n"] in (3, 4, 5)
    assert set(value["list"]) <= {"x", "y"}


@pytest.mark.parametrize("tokens", [1, 5, 9, 20])
async def test_an_answer_cut_off_within_its_schema_ends_by_length(provider: EmbeddedProvider, tokens: int) -> None:
    async with loaded(provider, "chat") as instance:
        got = await answer(provider, instance, ask(tokens=tokens, schema=Schema(CITY)))
    assert got.finish.reason == "length"


async def test_a_schema_that_would_be_ignored_is_refused(provider: EmbeddedProvider) -> None:
    async with loaded(provider, "chat") as instance:
        with pytest.raises(InvalidRequest, match="#/not"):
            await answer(provider, instance, ask(schema=Schema({"not": {"type": "string"}})))


async def test_equal_seeds_give_equal_answers(provider: EmbeddedProvider) -> None:
    async with loaded(provider, "chat") as instance:
        first = await answer(provider, instance, ask("one", seed=11))
        for other in range(3):
            await answer(provider, instance, ask(f"something else {other}"))
        assert (await answer(provider, instance, ask("one", seed=11))).text == first.text
        assert (await answer(provider, instance, ask("one", seed=12))).text != first.text


async def test_a_final_assistant_message_is_history_and_not_repeated(provider: EmbeddedProvider) -> None:
    turns = (Message("user", "hi"), Message("assistant", "The beginning"))
    async with loaded(provider, "chat") as instance:
        got = await answer(provider, instance, ask(tokens=5).with_messages(turns))
    assert "The beginning" not in got.text


async def test_a_prompt_longer_than_the_context_is_told_with_both_numbers(provider: EmbeddedProvider) -> None:
    async with loaded(provider, "chat", LoadOptions(context_length=256)) as instance:
        with pytest.raises(ContextExceeded) as caught:
            await answer(provider, instance, ask("x " * 400))
    assert caught.value.context_length == 256
    assert caught.value.prompt_tokens > 800


async def test_a_model_that_sees_answers_about_a_picture(provider: EmbeddedProvider) -> None:
    picture = ImagePart(f"data:image/png;base64,{base64.b64encode(png(32, 32)).decode()}")
    seen = Message("user", (TextPart("What is this?"), picture))
    async with loaded(provider, "vision") as instance:
        got = await answer(provider, instance, ask(tokens=4).with_messages((seen,)))
        assert got.finish.usage is not None
        assert got.finish.usage.completion_tokens == 4


async def test_a_model_that_cannot_see_says_so(provider: EmbeddedProvider) -> None:
    seen = Message("user", (ImagePart("data:image/png;base64,AAAA"),))
    async with loaded(provider, "chat") as instance:
        with pytest.raises(InvalidRequest, match="cannot see"):
            await answer(provider, instance, ask().with_messages((seen,)))


def png(width: int, height: int) -> bytes:
    """A red picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\xc8\x1e\x3c" * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# -- vectors --------------------------------------------------------------------------------------


async def test_texts_become_vectors_in_their_order(provider: EmbeddedProvider) -> None:
    async with loaded(provider, "embed") as instance:
        both = await provider.embed(instance, EmbedRequest("", ("one", "two")))
        alone = await provider.embed(instance, EmbedRequest("", ("two",)))
    assert [len(vector) for vector in both.vectors] == [gguf_files.WIDTH] * 2
    assert both.vectors[1] == pytest.approx(alone.vectors[0], abs=1e-3)


async def test_vectors_cannot_be_shortened(provider: EmbeddedProvider) -> None:
    async with loaded(provider, "embed") as instance:
        with pytest.raises(InvalidRequest, match="dimensions"):
            await provider.embed(instance, EmbedRequest("", ("one",), dimensions=8))


async def test_a_text_as_long_as_the_context_becomes_a_vector(provider: EmbeddedProvider) -> None:
    async with loaded(provider, "embed", LoadOptions(context_length=300)) as instance:
        assert instance.context_length == 512
        assert len((await provider.embed(instance, EmbedRequest("", ("x" * 500,)))).vectors) == 1


async def test_a_text_longer_than_the_context_is_told_with_both_numbers(provider: EmbeddedProvider) -> None:
    async with loaded(provider, "embed", LoadOptions(context_length=256)) as instance:
        with pytest.raises(ContextExceeded) as caught:
            await provider.embed(instance, EmbedRequest("", ("x " * 300,)))
    assert (caught.value.prompt_tokens, caught.value.context_length) == (600, 256)


async def test_how_far_a_prompt_is_read_is_told_to_who_asks(provider: EmbeddedProvider) -> None:
    async with loaded(provider, "chat", LoadOptions(context_length=2048)) as instance:
        async with provider.chat(instance, ask("x " * 600, tokens=2, progress=True)) as events:
            got = [event async for event in events]
        told = [event for event in got if isinstance(event, PromptProgress)]
        assert isinstance(got[0], Started)
        assert got[1 : len(told) + 1] == told
        assert [event.done for event in told] == sorted(event.done for event in told)
        assert told[-1].done == told[-1].total > 1000
        async with provider.chat(instance, ask(tokens=2)) as events:
            assert not [event async for event in events if isinstance(event, PromptProgress)]


async def test_tokens_are_counted_as_the_engine_counts_them(provider: EmbeddedProvider) -> None:
    picture = ImagePart(f"data:image/png;base64,{base64.b64encode(png(32, 32)).decode()}")
    seen = ask(tokens=1).with_messages((Message("user", (TextPart("What is this?"), picture)),))
    tools = ask("x " * 50, tokens=1, tools=TOOLS)
    named_tool = ask(tokens=1, tools=TOOLS, tool_choice=NamedTool("weather"))
    for name, request in (("chat", ask(tokens=1)), ("chat", tools), ("chat", named_tool), ("vision", seen)):
        async with loaded(provider, name) as instance:
            counted = await provider.count(instance, request)
            usage = (await answer(provider, instance, request)).finish.usage
            assert usage is not None
            assert counted == usage.prompt_tokens
    async with loaded(provider, "plain") as instance:
        with pytest.raises(InvalidRequest, match="knows no tools"):
            await provider.count(instance, tools)


async def test_a_conversation_that_is_too_long_is_trimmed_to_the_loaded_context(build: Build) -> None:
    talk = [Message(role, "x " * 10) for _ in range(40) for role in ("user", "assistant")]
    request = ask(tokens=8, truncate=True).with_messages([*talk, Message("user", "hi")])
    request = msgspec.structs.replace(request, model="chat")
    async with Hub([build()], options=LoadOptions(context_length=256)) as hub:
        with pytest.raises(ContextExceeded) as caught:
            await hub.answer(msgspec.structs.replace(request, truncate=False, tools=TOOLS))
        assert caught.value.tool_tokens is not None
        assert 0 < caught.value.tool_tokens < caught.value.prompt_tokens
        async with hub.lease("chat") as lease:
            fitted, dropped = await hub.fit(lease, request)
        assert 0 < dropped < 80
        assert fitted.turns[0].role == "user"
        usage = (await hub.answer(request)).finish.usage
    assert usage is not None
    assert usage.prompt_tokens + 8 <= 256


async def test_a_model_answers_from_two_engines_under_two_names(provider: EmbeddedProvider) -> None:
    model = await named(provider, "chat")
    one, two = await provider.load(model, LoadOptions()), await provider.load(model.copy(2), LoadOptions())
    assert (two.endpoint.model, provider.pid(one) == provider.pid(two)) == ("chat:2", False)
    assert (await answer(provider, two, ask(tokens=2))).model == "chat:2"
    await provider.unload(two)
    assert (await answer(provider, one, ask(tokens=2))).model == "chat"


# -- another engine, or none ----------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """An executable `llama-server` in a folder of its own."""
    path = tmp_path / "bin/llama-server"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\n{Path(llama_server.__file__).read_text()}")
    path.chmod(0o755)
    return path


async def test_a_llama_server_takes_the_engines_place(build: Build, server: Path) -> None:
    provider = build(llama_server=str(server))
    assert str(server) in (await provider.probe()).detail
    async with loaded(provider, "chat", LoadOptions(context_length=256, parallel=3)) as instance:
        assert (instance.slots, instance.context_length) == (3, 256)
        got = await answer(provider, instance, ask())
        pid = int(got.text.split()[1])
        assert got.text.endswith("threads 1 context 768")
        assert exists(pid)
    assert not exists(pid)


async def test_a_program_that_is_no_llama_server_is_named(build: Build) -> None:
    provider = build(llama_server="false")
    with pytest.raises(LoadFailed, match=r"/false ended: exit status 1"):
        async with loaded(provider, "chat"):
            pass


async def test_a_llama_server_that_crashes_is_told_with_its_status(build: Build, server: Path) -> None:
    provider = build(llama_server=str(server))
    async with loaded(provider, "chat") as instance:
        with pytest.raises(BridgeError):
            await answer(provider, instance, ask("die"))
        assert "exit status 7" in str(await provider.gone(instance))


async def test_a_llama_servers_key_is_not_in_the_process_list(build: Build, server: Path) -> None:
    provider = build(llama_server=str(server))
    async with loaded(provider, "chat") as instance:
        pid = int((await answer(provider, instance, ask())).text.split()[1])
        seen = command_line(pid)
        key = dict(instance.endpoint.headers)["Authorization"].removeprefix("Bearer ")
        assert b"--api-key-file" in seen
        assert key.encode() not in seen
        assert instance.endpoint.url.split(":")[2].removesuffix("/v1").encode() not in seen


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()


async def test_without_the_package_the_llama_server_on_path_is_taken(
    build: Build, server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "PACKAGE", "no_such_engine")
    monkeypatch.setenv("PATH", f"{server.parent}{os.pathsep}{os.environ['PATH']}")
    assert (await build().probe()).state == "ready"


async def test_without_any_engine_the_command_that_installs_one_is_named(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "PACKAGE", "no_such_engine")
    monkeypatch.setenv("PATH", "")
    provider = build()
    state = await provider.probe()
    assert state.state == "unavailable"
    assert "pip install xllamacpp" in state.hint
    with pytest.raises(EngineMissing, match="xllamacpp"):
        await provider.load(await named(provider, "chat"), LoadOptions())


async def test_a_llama_server_that_is_not_there_is_named(build: Build) -> None:
    provider = build(llama_server="/nowhere/llama-server")
    model = await named(provider, "chat")
    with pytest.raises(EngineMissing, match="/nowhere/llama-server"):
        await provider.load(model, LoadOptions())


# -- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"folder": "x"}, {"check_memory": 5}, {"folders": 5}])
def test_a_wrong_setting_is_refused(settings: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"\[embedded\]"):
        EmbeddedProvider.create(settings, ProviderContext(tmp_path, "embedded"))


def test_the_manifest_describes_every_setting() -> None:
    from lmbridge.providers.embedded.provider import EmbeddedSettings

    assert [s.name for s in EmbeddedProvider.manifest.settings] == list(EmbeddedSettings.__struct_fields__)


def test_folders_may_come_from_the_environment(tmp_path: Path) -> None:
    text = f"{tmp_path / 'a'}{os.pathsep}{tmp_path / 'b'}"
    provider = EmbeddedProvider.create({"folders": text}, ProviderContext(tmp_path, "embedded"))
    assert provider._folders()[:2] == [tmp_path / "a", tmp_path / "b"]
