"""Our own client of LM Studio drives the gateway with the real engine, in both generations of the API."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.doors.gateway.asking import Running
from tests.fakes.gguf_files import WIDTH
from tests.fakes.gguf_files import chat_model as chat_model_file
from tests.fakes.model_hub import model_hub

from lmbridge.clients.lmstudio import LMStudioClient, Loading, Reading
from lmbridge.core.errors import ModelNotFound
from lmbridge.core.events import Finished, Started, TextDelta
from lmbridge.core.requests import ChatRequest, EmbedRequest, Sampling

CHAT, EMBED = "random-chat", "text-embedding-random"
SHORT = Sampling(max_tokens=6)


async def test_it_is_greeted_and_lists_the_models(client: LMStudioClient) -> None:
    await client.check()
    listed = {model.key: model for model in await client.fetch_models()}
    assert (listed[CHAT].kind, listed[CHAT].loaded) == ("chat", ())
    assert listed[EMBED].kind == "embedding"
    if listed[CHAT].knows_loaded:  # the newer generation
        assert (listed[CHAT].format, listed[CHAT].max_context_length) == ("gguf", 2048)


async def test_a_chat_and_vectors_are_answered(client: LMStudioClient) -> None:
    answer = await client.answer(ChatRequest(CHAT, "hi", sampling=SHORT))
    assert answer.text
    async with client.chat(ChatRequest(CHAT, "hi", sampling=SHORT)) as events:
        seen = [event async for event in events]
    assert isinstance(seen[0], Started)
    assert isinstance(seen[-1], Finished)
    vectors = await client.embed(EmbedRequest(EMBED, ("one", "two")))
    assert [len(vector) for vector in vectors.vectors] == [WIDTH, WIDTH]


async def test_a_model_is_loaded_once_more_and_unloaded_by_the_name_of_the_instance(
    native: LMStudioClient, engine: Running
) -> None:
    body = {"model": CHAT, "context_length": 256, "parallel": 1, "echo_load_config": True}
    first = (await engine.post("/api/v1/models/load", body)).json
    second = (await engine.post("/api/v1/models/load", body)).json
    assert (first["type"], first["status"], first["instance_id"]) == ("llm", "loaded", CHAT)
    assert first["load_config"] == {"context_length": 256, "parallel": 1}
    assert second["instance_id"] == f"{CHAT}:2"
    assert isinstance(second["load_time_seconds"], float)
    assert (await native.answer(ChatRequest(f"{CHAT}:2", "hi", sampling=SHORT))).text
    loaded = next(model.loaded for model in await native.fetch_models() if model.key == CHAT)
    assert [(each.id, each.context_length) for each in loaded] == [(CHAT, 256), (f"{CHAT}:2", 256)]
    assert set(await native.unload_model(f"{CHAT}:2")) == {f"{CHAT}:2"}
    assert set(await native.unload_model(CHAT)) == {CHAT}
    assert await engine.hub.instances() == []


async def test_the_clients_own_loading_waits_until_the_model_is_there(native: LMStudioClient) -> None:
    instance = await native.load_model(CHAT, context_length=512)
    assert (instance.id, instance.context_length) == (CHAT, 512)
    with pytest.raises(ModelNotFound):
        await native.load_model("no/such-model")


async def test_the_native_chat_tells_of_load_and_prompt_and_remembers(native: LMStudioClient) -> None:
    stream = native.native_chat("hi", model=CHAT, sampling=SHORT, context_length=512)
    async with stream as events:
        seen = [event async for event in events]
    assert any(isinstance(event, Loading) for event in seen)
    assert [event for event in seen if isinstance(event, Reading)][-1] == Reading(1.0)
    assert "".join(event.text for event in seen if isinstance(event, TextDelta))
    assert stream.response_id.startswith("resp_")
    follow = native.native_chat("more", model=CHAT, sampling=SHORT, previous_response_id=stream.response_id)
    async with follow as events:
        assert isinstance([event async for event in events][-1], Finished)
    again = native.respond(ChatRequest(CHAT, "and", sampling=SHORT), previous_response_id=follow.response_id)
    assert (await again.answer()).text


async def test_a_model_is_downloaded_and_then_is_there(
    native: LMStudioClient, engine: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-login"))
    monkeypatch.setenv("NO_PROXY", "*")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    async with model_hub() as shop:
        monkeypatch.setenv("HF_ENDPOINT", shop.url)
        shop.add("someone/other-GGUF", [chat_model_file(tmp_path / "other-Q4_K_M.gguf")])
        assert (await native.download_model("https://huggingface.co/someone/other-GGUF")).state == "completed"
        assert "other" in {model.key for model in await native.fetch_models()}
        body = {"model": "https://huggingface.co/someone/other-GGUF"}
        assert (await engine.post("/api/v1/models/download", body)).body == b'{"status":"already_downloaded"}'
        missing = await engine.post("/api/v1/models/download", {"model": "someone/nothing"})
        assert (missing.status, missing.error["type"]) == (404, "model_not_found")
