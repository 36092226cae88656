from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.fakes.provider import ScriptedProvider

from lmbridge.core.errors import ModelNotFound, WrongModelKind
from lmbridge.core.models import LoadOptions, ModelInfo
from lmbridge.doors.gateway.ollama.naming import everything, find, instances_of, loaded, meant
from lmbridge.hub.hub import Hub

MODELS = [
    ModelInfo("qwen3-8b@q4_k_m", "scripted", quantization="Q4_K_M"),
    ModelInfo("qwen3-8b@q8_0", "scripted", quantization="Q8_0"),
    ModelInfo("tiny", "scripted", quantization="Q8_0"),
    ModelInfo("llama3.2:latest", "scripted"),
    ModelInfo("embedder", "scripted", kind="embedding"),
    ModelInfo("broken", "scripted", problem="it is cut off"),
]


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with Hub([ScriptedProvider(MODELS)]) as one:
        yield one


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("tiny", "tiny"),
        ("tiny:latest", "tiny"),
        ("tiny:Q8_0", "tiny"),
        ("scripted:tiny:q8_0", "tiny"),
        ("qwen3-8b:q8_0", "qwen3-8b@q8_0"),
        ("scripted:qwen3-8b:q4_k_m", "qwen3-8b@q4_k_m"),
        ("llama3.2", "llama3.2:latest"),
        ("llama3.2:latest", "llama3.2:latest"),
    ],
)
async def test_a_name_with_a_tag_means_a_model_or_a_variant_of_one(hub: Hub, name: str, id: str) -> None:
    spelling, model = await meant(hub, name, "chat")
    assert model.id == id
    assert (await hub.resolve(spelling)).id == id
    assert (await find(hub, name)).id == id


async def test_without_a_name_the_default_is_meant(hub: Hub) -> None:
    assert (await meant(hub, "", "embedding"))[1].id == "embedder"


async def test_what_can_be_found_may_be_of_any_kind_but_what_is_meant_must_be_able(hub: Hub) -> None:
    assert (await find(hub, "embedder:latest")).kind == "embedding"
    with pytest.raises(WrongModelKind):
        await meant(hub, "embedder", "chat")


@pytest.mark.parametrize("name", ["nobody", "nobody:latest", "tiny:q4_0", "nobody:q8_0"])
async def test_what_is_not_here_is_left_for_the_hub_to_miss_or_to_get(hub: Hub, name: str) -> None:
    wanted, model = await meant(hub, name, "chat")
    assert model == ModelInfo(wanted, "")
    assert wanted == name.removesuffix(":latest")
    with pytest.raises(ModelNotFound) as caught:
        await find(hub, name)
    assert caught.value.name == name


async def test_models_that_cannot_be_used_are_not_offered(hub: Hub) -> None:
    assert "broken" not in [name for name, _ in await everything(hub)]


async def test_several_instances_of_a_model_have_names_of_their_own(hub: Hub) -> None:
    await hub.load_another("tiny", LoadOptions())
    await hub.load_another("tiny", LoadOptions())
    assert [(name, model.id) for name, model, _ in await loaded(hub)] == [("tiny", "tiny"), ("tiny:2", "tiny")]
    _, second = await meant(hub, "tiny:2", "chat")
    assert [state.name for state in await instances_of(hub, second)] == ["tiny:2"]
    _, model = await meant(hub, "tiny", "chat")
    assert [state.name for state in await instances_of(hub, model)] == ["", "tiny:2"]
    assert await instances_of(hub, MODELS[0]) == []
