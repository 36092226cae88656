"""The `ollama` package against the gateway and the real engine: the built-in model, and some of random weights."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeVar

import ollama
import pytest
from pydantic import BaseModel
from tests.doors.gateway.asking import Running, running, until
from tests.fakes.gguf_files import WIDTH, chat_model, embedding_model, vision_model
from tests.fakes.model_hub import FakeHub, model_hub

from lmbridge.core.provider import ProviderContext
from lmbridge.providers.embedded import EmbeddedProvider

T = TypeVar("T")
Sync = Callable[[Callable[[ollama.Client], T]], Awaitable[T]]

TINY = "lmbridge-tiny"
HELLO = [{"role": "user", "content": "What is lmbridge?"}]
STEADY = {"temperature": 0}
PIXEL = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
SEEN = [{"role": "user", "content": "What is it?", "images": [PIXEL]}]


class Person(BaseModel):
    """A shape for an answer."""

    name: Literal["Anna"]
    age: Literal[31]


def get_weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: Name of the city.
    """
    return f"It is sunny in {city}."


def embedded(home: Path) -> EmbeddedProvider:
    return EmbeddedProvider.create({"lmstudio_models": False}, ProviderContext(home, "embedded"))


@pytest.fixture(scope="module")
async def engine_door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    home = tmp_path_factory.mktemp("home")
    (home / "models").mkdir()
    chat_model(home / "models" / "random-chat.gguf")
    embedding_model(home / "models" / "random-embed.gguf")
    (home / "models" / "vision").mkdir()
    vision_model(home / "models" / "vision")
    async with running([embedded(home)], home) as up:
        yield up


@pytest.fixture(scope="module")
async def client(engine_door: Running) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(engine_door.url, timeout=60) as one:
        yield one


@pytest.fixture(scope="module")
def sync(engine_door: Running) -> Sync[object]:
    """Runs something with the blocking client in a thread, as the gateway lives on this one's loop."""

    def use(work: Callable[[ollama.Client], T]) -> T:
        with ollama.Client(engine_door.url, timeout=60) as one:
            return work(one)

    async def run(work: Callable[[ollama.Client], T]) -> T:
        return await asyncio.to_thread(use, work)

    return run


def loaded(door: Running, model: str) -> bool:
    return any(state.model == model for state in door.hub._leases.states())


async def idle(door: Running) -> None:
    await until(lambda: not any(tally.in_flight for tally in door.hub.activity.tallies))


# -- chat -----------------------------------------------------------------------------------------


async def test_a_chat_is_answered_whole(client: ollama.AsyncClient) -> None:
    answer = await client.chat(TINY, HELLO, options=STEADY)
    assert "lmbridge" in (answer.message.content or "")
    assert (answer.model, answer.done, answer.done_reason) == (TINY, True, "stop")
    assert answer.message.role == "assistant"
    assert answer.prompt_eval_count
    assert answer.eval_count
    assert answer.total_duration
    assert answer.eval_duration
    assert answer.created_at is not None
    assert abs(datetime.fromisoformat(answer.created_at) - datetime.now(UTC)) < timedelta(minutes=5)


async def test_a_streamed_chat_says_the_same_and_its_last_line_counts(client: ollama.AsyncClient) -> None:
    whole = await client.chat(TINY, HELLO, options=STEADY)
    lines = [line async for line in await client.chat(TINY, HELLO, options=STEADY, stream=True)]
    assert len(lines) > 2
    assert "".join(line.message.content or "" for line in lines) == whole.message.content
    assert [line.done for line in lines] == [False] * (len(lines) - 1) + [True]
    assert lines[-1].eval_count == whole.eval_count
    assert lines[-1].done_reason == "stop"


async def test_the_blocking_client_is_answered_and_streamed_to(sync: Sync[tuple[str, str]]) -> None:
    def work(one: ollama.Client) -> tuple[str, str]:
        whole = one.chat(TINY, HELLO, options=STEADY)
        stream = one.chat(TINY, HELLO, options=STEADY, stream=True)
        return whole.message.content or "", "".join(line.message.content or "" for line in stream)

    whole, streamed = await sync(work)
    assert whole == streamed


async def test_options_are_honoured(client: ollama.AsyncClient) -> None:
    everything = {
        "num_predict": 5,
        "top_k": 20,
        "top_p": 0.9,
        "min_p": 0.0,
        "typical_p": 0.7,
        "repeat_last_n": 33,
        "temperature": 0.8,
        "repeat_penalty": 1.2,
        "presence_penalty": 1.5,
        "frequency_penalty": 1.0,
        "mirostat": 1,
        "mirostat_tau": 0.8,
        "mirostat_eta": 0.6,
        "num_keep": 5,
        "num_ctx": 1024,
        "num_thread": 1,
    }
    answer = await client.chat("random-chat", HELLO, options=everything)
    assert (answer.eval_count, answer.done_reason) == (5, "length")


async def test_equal_seeds_give_equal_answers(client: ollama.AsyncClient) -> None:
    options = {"seed": 42, "num_predict": 12, "temperature": 1.0}
    texts = {(await client.chat("random-chat", HELLO, options=options)).message.content for _ in range(3)}
    assert len(texts) == 1


async def test_a_stop_ends_the_answer(client: ollama.AsyncClient) -> None:
    whole = (await client.chat(TINY, HELLO, options=STEADY)).message.content or ""
    word = whole.split()[3]
    cut = await client.chat(TINY, HELLO, options={**STEADY, "stop": [word]})
    assert cut.message.content == whole[: whole.index(word)]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_function_is_called_and_its_result_used(client: ollama.AsyncClient, streamed: bool) -> None:
    messages: list[object] = [{"role": "user", "content": "What is the weather in Rome?"}]
    if streamed:
        stream = await client.chat(TINY, messages, tools=[get_weather], options=STEADY, stream=True)
        (called,) = [line.message async for line in stream if line.message.tool_calls]
    else:
        called = (await client.chat(TINY, messages, tools=[get_weather], options=STEADY)).message
    assert called.tool_calls is not None
    (call,) = called.tool_calls
    assert (call.function.name, dict(call.function.arguments)) == ("get_weather", {"city": "Rome"})
    result = {"role": "tool", "content": get_weather("Rome"), "tool_name": "get_weather"}
    answer = await client.chat(TINY, [*messages, called, result], tools=[get_weather], options=STEADY)
    assert "sunny" in (answer.message.content or "")


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_last_turn_of_the_assistant_is_continued(client: ollama.AsyncClient, streamed: bool) -> None:
    whole = (await client.chat(TINY, HELLO, options=STEADY)).message.content or ""
    begun = whole[: whole.index(" models")]  # between two of its tokens
    turns = [*HELLO, {"role": "assistant", "content": begun}]
    if streamed:
        stream = await client.chat(TINY, turns, options=STEADY, stream=True)
        rest = "".join([line.message.content or "" async for line in stream])
    else:
        rest = (await client.chat(TINY, turns, options=STEADY)).message.content or ""
    assert begun + rest == whole


async def test_an_answer_has_the_shape_that_was_asked_for(client: ollama.AsyncClient) -> None:
    answer = await client.chat("random-chat", HELLO, format=Person.model_json_schema())
    assert Person.model_validate_json(answer.message.content or "") == Person(name="Anna", age=31)


async def test_thoughts_of_a_model_that_has_none_may_be_switched_off(client: ollama.AsyncClient) -> None:
    answer = await client.chat(TINY, HELLO, think=False, options=STEADY)
    assert answer.message.content
    assert answer.message.thinking is None


async def test_a_model_that_can_see_takes_pictures(client: ollama.AsyncClient) -> None:
    (name,) = [model.model for model in (await client.list()).models if model.model and "vision" in model.model]
    shown = await client.show(name)
    assert "vision" in (shown.capabilities or ())
    assert (await client.chat(name, SEEN, options={"num_predict": 3})).eval_count == 3
    assert (await client.generate(name, "What is it?", images=[PIXEL], options={"num_predict": 3})).eval_count == 3


async def test_leaving_a_stream_frees_the_engine(client: ollama.AsyncClient, engine_door: Running) -> None:
    stream = await client.chat("random-chat", HELLO, options={"num_predict": 1900}, stream=True)
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    await idle(engine_door)


# -- generate -------------------------------------------------------------------------------------


async def test_a_prompt_is_answered_whole_and_streamed(client: ollama.AsyncClient) -> None:
    whole = await client.generate(TINY, "What is lmbridge?", options=STEADY)
    assert "lmbridge" in (whole.response or "")
    assert (whole.done, whole.done_reason, whole.model) == (True, "stop", TINY)
    stream = await client.generate(TINY, "What is lmbridge?", options=STEADY, stream=True)
    lines = [line async for line in stream]
    assert "".join(line.response or "" for line in lines) == whole.response
    assert lines[-1].eval_count == whole.eval_count


async def test_a_prompt_may_have_a_system_message_and_a_format(client: ollama.AsyncClient) -> None:
    schema = {"type": "object", "properties": {"ok": {"const": True}}, "required": ["ok"]}
    answer = await client.generate("random-chat", "Well?", system="Be brief.", format=schema)
    assert (answer.response or "").replace(" ", "").replace("\n", "") == '{"ok":true}'


# -- vectors --------------------------------------------------------------------------------------


async def test_texts_become_vectors(client: ollama.AsyncClient) -> None:
    both = await client.embed("random-embed", ["one", "two"])
    assert [len(vector) for vector in both.embeddings] == [WIDTH, WIDTH]
    assert both.model == "random-embed"
    assert both.prompt_eval_count
    (one,) = (await client.embed("random-embed", "one")).embeddings
    assert one == pytest.approx(both.embeddings[0], abs=1e-4)
    older = await client.embeddings("random-embed", "one")
    assert older.embedding == pytest.approx(one, abs=1e-4)


async def test_a_text_that_does_not_fit_is_refused_unless_it_may_be_cut(client: ollama.AsyncClient) -> None:
    long = "word " * 400
    with pytest.raises(ollama.ResponseError, match="512") as caught:
        await client.embed("random-embed", long)
    assert caught.value.status_code == 400
    cut = await client.embed("random-embed", ["short", long], truncate=True)
    assert len(cut.embeddings) == 2
    (short,) = (await client.embed("random-embed", "short")).embeddings
    assert cut.embeddings[0] == pytest.approx(short, abs=1e-4)
    assert cut.prompt_eval_count
    assert 400 < cut.prompt_eval_count < 530


async def test_fewer_dimensions_than_the_model_has_are_refused(client: ollama.AsyncClient) -> None:
    assert len((await client.embed("random-embed", "one", dimensions=WIDTH)).embeddings[0]) == WIDTH
    with pytest.raises(ollama.ResponseError, match="dimensions"):
        await client.embed("random-embed", "one", dimensions=2)


# -- what there is --------------------------------------------------------------------------------


async def test_models_are_listed_and_shown(client: ollama.AsyncClient) -> None:
    listed = {model.model: model for model in (await client.list()).models}
    assert {TINY, "random-chat", "random-embed"} <= listed.keys()
    tiny = listed[TINY]
    assert tiny.details is not None
    assert (tiny.details.format, tiny.details.family, tiny.details.quantization_level) == ("gguf", "llama", "Q8_0")
    assert tiny.size
    shown = await client.show(TINY)
    assert shown.capabilities == ["completion", "tools"]
    assert shown.modelinfo is not None
    assert shown.modelinfo["llama.context_length"] == 2048
    assert (await client.show("random-embed")).capabilities == ["embedding"]


async def test_models_in_memory_are_told_with_their_context(client: ollama.AsyncClient) -> None:
    await client.chat(TINY, HELLO, options={"num_predict": 1})
    running = {model.model: model for model in (await client.ps()).models}
    assert running[TINY].context_length == 2048
    assert running[TINY].expires_at is not None
    assert running[TINY].expires_at > datetime.now(UTC)
    assert "2048" in ((await client.show(TINY)).parameters or "")


@pytest.mark.parametrize("name", [f"{TINY}:latest", f"{TINY}:q8_0", f"embedded:{TINY}", f"embedded:{TINY}:latest"])
async def test_a_model_answers_to_every_name_it_has(client: ollama.AsyncClient, name: str) -> None:
    answer = await client.chat(name, HELLO, options={"num_predict": 1})
    assert answer.model == name
    assert (await client.show(name)).capabilities == ["completion", "tools"]


# -- loading and unloading ------------------------------------------------------------------------


async def test_a_model_is_loaded_and_unloaded_without_a_word(
    client: ollama.AsyncClient, engine_door: Running
) -> None:
    gone = await client.generate("random-chat", keep_alive=0)
    assert (gone.done, gone.done_reason) == (True, "unload")
    assert not loaded(engine_door, "random-chat")
    there = await client.chat("random-chat", [], keep_alive="1h", options={"num_ctx": 512})
    assert (there.done, there.done_reason) == (True, "load")
    (state,) = [model for model in (await client.ps()).models if model.model == "random-chat"]
    assert state.context_length == 512
    assert state.expires_at is not None
    assert timedelta(minutes=55) < state.expires_at - datetime.now(UTC) < timedelta(minutes=65)
    assert (await client.generate("random-chat", "")).done_reason == "load"
    assert (await client.chat("random-chat", keep_alive=0)).done_reason == "unload"
    assert (await client.chat("random-chat", keep_alive=0)).done_reason == "unload"
    assert (await client.embed("random-embed", [])).embeddings == []
    assert loaded(engine_door, "random-embed")


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_model_that_is_not_to_be_kept_is_unloaded_after_its_answer(
    client: ollama.AsyncClient, engine_door: Running, streamed: bool
) -> None:
    few = {"num_predict": 2}
    if streamed:
        stream = await client.chat("random-chat", HELLO, options=few, keep_alive=0, stream=True)
        assert [line async for line in stream][-1].done
    else:
        assert (await client.generate("random-chat", "hi", options=few, keep_alive=0)).done
    await until(lambda: not loaded(engine_door, "random-chat"))


async def test_a_longer_context_than_the_loaded_one_is_refused_with_both_numbers(
    client: ollama.AsyncClient,
) -> None:
    await client.generate("random-chat", keep_alive=0)
    few: dict[str, object] = {"num_predict": 1}
    await client.chat("random-chat", HELLO, options={**few, "num_ctx": 512})
    with pytest.raises(ollama.ResponseError, match=r"1,024.*512") as caught:
        await client.chat("random-chat", HELLO, options={**few, "num_ctx": 1024})
    assert caught.value.status_code == 400
    assert (await client.chat("random-chat", HELLO, options={**few, "num_ctx": 256})).done
    await client.generate("random-chat", keep_alive=0)


async def test_a_conversation_that_does_not_fit_is_refused_or_trimmed_as_was_asked(
    client: ollama.AsyncClient, engine_door: Running
) -> None:
    old = [{"role": "user", "content": "x" * 900}, {"role": "assistant", "content": "y" * 900}]
    body = {"model": "random-chat", "messages": [*old, *HELLO], "options": {"num_ctx": 1024, "num_predict": 4}}
    await client.generate("random-chat", keep_alive=0)
    refused = await engine_door.post("/api/chat", body)
    assert refused.status == 400
    assert "1,024" in str(refused.json["error"])
    trimmed = await engine_door.post("/api/chat", {**body, "truncate": True, "stream": False})
    assert trimmed.json.get("done") is True, trimmed.body
    await client.generate("random-chat", keep_alive=0)


# -- refusals -------------------------------------------------------------------------------------


async def test_a_model_that_is_not_here_is_not_found(client: ollama.AsyncClient) -> None:
    for asking in (
        lambda: client.chat("nobody", HELLO),
        lambda: client.generate("nobody", "hi"),
        lambda: client.embed("nobody", "hi"),
        lambda: client.generate("nobody", keep_alive=0),
        lambda: client.show("nobody"),
    ):
        with pytest.raises(ollama.ResponseError, match=r"^model 'nobody' not found") as caught:
            await asking()
        assert caught.value.status_code == 404
    stream = await client.chat("nobody:latest", HELLO, stream=True)
    with pytest.raises(ollama.ResponseError) as caught:
        await anext(stream)
    assert caught.value.status_code == 404


async def test_what_cannot_be_honoured_is_refused_by_name(client: ollama.AsyncClient) -> None:
    for name, asking in {
        "raw": lambda: client.generate(TINY, "hi", raw=True),
        "suffix": lambda: client.generate(TINY, "hi", suffix="ho"),
        "context": lambda: client.generate(TINY, "hi", context=[1, 2]),
        "logprobs": lambda: client.chat(TINY, HELLO, logprobs=True),
        "tfs_z": lambda: client.chat(TINY, HELLO, options={"tfs_z": 0.5}),
        "surprise": lambda: client.chat(TINY, HELLO, options={"surprise": 1}),
    }.items():
        with pytest.raises(ollama.ResponseError, match=name) as caught:
            await asking()
        assert caught.value.status_code == 400


async def test_a_picture_for_a_model_that_cannot_see_is_refused(client: ollama.AsyncClient) -> None:
    with pytest.raises(ollama.ResponseError, match="cannot see") as caught:
        await client.chat(TINY, SEEN)
    assert caught.value.status_code == 400
    with pytest.raises(ollama.ResponseError, match="no picture"):
        await client.generate(TINY, "What is it?", images=[b64encode(b"hello").decode()])


async def test_a_model_of_the_wrong_kind_is_refused(client: ollama.AsyncClient) -> None:
    with pytest.raises(ollama.ResponseError, match="embedding"):
        await client.chat("random-embed", HELLO)
    with pytest.raises(ollama.ResponseError, match="chat"):
        await client.embed(TINY, "hi")


async def test_models_are_neither_made_nor_deleted_here(client: ollama.AsyncClient, tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    for asking in (
        lambda: client.create("mine", from_=TINY),
        lambda: client.copy(TINY, "mine"),
        lambda: client.push(TINY),
        lambda: client.delete(TINY),
        lambda: client.create_blob(file),
    ):
        with pytest.raises(ollama.ResponseError, match="here") as caught:
            await asking()
        assert caught.value.status_code == 400


# -- downloads ------------------------------------------------------------------------------------


@pytest.fixture
async def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeHub]:
    """A model hub with one model."""
    for name, value in {"HF_HOME": str(tmp_path / "no-login"), "HF_TOKEN": "", "NO_PROXY": "*"}.items():
        monkeypatch.setenv(name, value)
    async with model_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.add("someone/small-GGUF", [chat_model(tmp_path / "small-Q4_K_M.gguf")])
        yield hub


async def test_a_model_is_pulled_line_by_line_and_answers(models: FakeHub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with running([embedded(home)], tmp_path) as door, ollama.AsyncClient(door.url, timeout=60) as client:
        stream = await client.pull("hf.co/someone/small-GGUF:Q4_K_M", stream=True)
        lines = [line async for line in stream]
        assert (lines[0].status, lines[-1].status) == ("pulling manifest", "success")
        last = lines[-2]
        assert last.digest is not None
        assert last.digest.startswith("sha256:")
        assert last.total == last.completed
        assert (await client.chat("small", HELLO, options={"num_predict": 3})).eval_count == 3
        again = await client.pull("someone/small-GGUF")
        assert again.status == "success"
        named = await client.generate("hf.co/someone/small-GGUF", "hi", options={"num_predict": 1})
        assert named.eval_count == 1


async def test_what_cannot_be_pulled_is_an_error_with_its_status(models: FakeHub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with running([embedded(home)], tmp_path) as door, ollama.AsyncClient(door.url, timeout=60) as client:
        with pytest.raises(ollama.ResponseError, match="someone/other") as caught:
            await client.pull("someone/other")
        assert caught.value.status_code == 404
        stream = await client.pull("someone/other", stream=True)
        with pytest.raises(ollama.ResponseError, match="someone/other") as caught:
            await anext(stream)
        assert caught.value.status_code == 404
