"""What this project believes of LM Studio: the fake is held to it and, with `--live`, a real one."""

from __future__ import annotations

import re

import pytest
from tests.contract.lmstudio import EVERY, FAKES, NEWER, NEWER_FAKE, NEWER_NOT_LIVE, OLDER_FAKE, Studio, error_of

# ---- who it is


@EVERY
async def test_it_greets_in_exactly_these_bytes(studio: Studio) -> None:
    reply = await studio.ask("GET /lmstudio-greeting")
    assert (reply.status, reply.raw) == (200, b'{"lmstudio":true}')
    assert reply.headers["content-type"] == "application/json; charset=utf-8"


@EVERY
@pytest.mark.parametrize("route", ["GET /", "POST /v1/tokenize", "POST /v1/models/unload", "GET /v1//models"])
async def test_an_unknown_route_is_an_error_with_status_200(studio: Studio, route: str) -> None:
    reply = await studio.ask(route, {} if route.startswith("POST") else None)
    method, path = route.split(" ")
    assert reply.status == 200
    assert reply.json == {"error": f"Unexpected endpoint or method. ({method} {path})"}


@OLDER_FAKE
async def test_before_0_4_the_native_routes_are_unknown(studio: Studio) -> None:
    for route in ("GET /api/v1/models", "POST /api/v1/models/load", "POST /api/v1/chat"):
        reply = await studio.ask(route, {} if route.startswith("POST") else None)
        assert reply.status == 200
        assert reply.json["error"].startswith("Unexpected endpoint")


@FAKES
async def test_a_preflight_is_an_unknown_route_until_cors_is_on(studio: Studio) -> None:
    assert studio.fake is not None
    asked = {"Origin": "http://x", "Access-Control-Request-Headers": "authorization"}
    reply = await studio.ask("OPTIONS /v1/models", None, asked)
    assert (reply.status, "access-control-allow-origin" in reply.headers) == (200, False)
    studio.fake.cors = True
    reply = await studio.ask("OPTIONS /v1/models", None, asked)
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (204, "*")
    assert reply.headers["access-control-allow-headers"] == "authorization"


# ---- tokens


TOKEN = "sk-lm-abcdefgh:0123456789abcdefghij"


@NEWER_FAKE
async def test_a_missing_token_is_refused_everywhere_but_at_the_greeting(studio: Studio) -> None:
    assert studio.fake is not None
    studio.fake.token = TOKEN
    assert (await studio.ask("GET /lmstudio-greeting")).status == 200
    for route in ("GET /api/v1/models", "GET /v1/models", "POST /v1/chat/completions", "POST /api/v1/chat"):
        reply = await studio.ask(route, {} if route.startswith("POST") else None)
        assert reply.status == 401
        assert list(error_of(reply)) == ["type", "code", "message"]
        assert error_of(reply)["code"] == "invalid_api_key"
        assert error_of(reply)["message"].startswith("An LM Studio API token is required")
    reply = await studio.ask("GET /v1/models", None, {"Authorization": f"Bearer {TOKEN}"})
    assert reply.status == 200


@NEWER_FAKE
async def test_a_malformed_token_is_told_with_its_beginning(studio: Studio) -> None:
    assert studio.fake is not None
    studio.fake.token = TOKEN
    reply = await studio.ask("GET /v1/models", None, {"Authorization": "Bearer lm-studio-secret"})
    assert reply.status == 401
    assert error_of(reply)["message"].startswith("Malformed LM Studio API token provided: lm-studio-*")
    unknown = await studio.ask("GET /v1/models", None, {"Authorization": f"Bearer {TOKEN[:-1]}x"})
    assert (unknown.status, error_of(unknown)["code"]) == (401, "invalid_api_key")


@NEWER_FAKE
async def test_a_token_without_the_permission_is_refused_with_403(studio: Studio) -> None:
    assert studio.fake is not None
    studio.fake.token = TOKEN
    body = {"model": studio.chat, "input": "hi", "integrations": ["mcp/x"]}
    reply = await studio.ask("POST /api/v1/chat", body, {"Authorization": f"Bearer {TOKEN}"})
    assert reply.status == 403
    assert error_of(reply)["param"] == "integrations"
    assert "Permission denied" in error_of(reply)["message"]


@FAKES
async def test_any_token_is_taken_where_none_is_wanted(studio: Studio) -> None:
    assert (await studio.ask("GET /v1/models", None, {"Authorization": "Bearer lm-studio"})).status == 200


@OLDER_FAKE
async def test_before_0_4_there_are_no_tokens(studio: Studio) -> None:
    assert studio.fake is not None
    studio.fake.token = TOKEN
    assert (await studio.ask("GET /v1/models")).status == 200


# ---- lists


@NEWER
async def test_the_native_list_tells_kind_size_context_and_what_is_loaded(studio: Studio) -> None:
    models = (await studio.ask("GET /api/v1/models")).json["models"]
    by_key = {model["key"]: model for model in models}
    chat, embedding = by_key[studio.chat], by_key[studio.embedding]
    assert (chat["type"], embedding["type"]) == ("llm", "embedding")
    for model in models:
        assert isinstance(model["size_bytes"], int)
        assert isinstance(model["max_context_length"], int)
        assert isinstance(model["loaded_instances"], list)
    assert {"vision", "trained_for_tool_use"} <= set(chat["capabilities"])
    assert "capabilities" not in embedding


@EVERY
async def test_the_older_list_tells_state_and_a_kind_of_its_own(studio: Studio) -> None:
    reply = await studio.ask("GET /api/v0/models")
    assert list(reply.json) == ["data", "object"]
    by_id = {model["id"]: model for model in reply.json["data"]}
    assert by_id[studio.chat]["type"] in ("llm", "vlm")
    assert by_id[studio.embedding]["type"] == "embeddings"
    assert by_id[studio.chat]["state"] in ("loaded", "not-loaded", "loading")
    one = await studio.ask(f"GET /api/v0/models/{studio.chat}")
    assert one.json["id"] == studio.chat


@EVERY
async def test_the_openai_list_mixes_all_kinds_and_tells_nothing_of_them(studio: Studio) -> None:
    reply = await studio.ask("GET /v1/models")
    assert list(reply.json) == ["data", "object"]
    assert {studio.chat, studio.embedding} <= {model["id"] for model in reply.json["data"]}
    assert all(set(model) == {"id", "object", "owned_by"} for model in reply.json["data"])


@FAKES
async def test_without_loading_on_demand_the_compatible_lists_show_what_is_loaded(studio: Studio) -> None:
    assert studio.fake is not None
    studio.fake.runtime.jit = False
    assert (await studio.ask("GET /v1/models")).json["data"] == []
    studio.fake.hold(studio.chat)
    for path in ("/v1/models", "/api/v0/models"):
        assert [model["id"] for model in (await studio.ask(f"GET {path}")).json["data"]] == [studio.chat]


@NEWER_FAKE
async def test_without_loading_on_demand_the_native_list_still_shows_everything(studio: Studio) -> None:
    assert studio.fake is not None
    studio.fake.runtime.jit = False
    assert len((await studio.ask("GET /api/v1/models")).json["models"]) == len(studio.fake.models)


# ---- loading and unloading


@NEWER_NOT_LIVE
async def test_loading_twice_makes_two_instances_with_numbered_names(studio: Studio) -> None:
    body = {"model": studio.chat, "context_length": 2048, "echo_load_config": True}
    first = await studio.ask("POST /api/v1/models/load", body)
    second = await studio.ask("POST /api/v1/models/load", body)
    assert first.json["type"] == "llm"
    assert first.json["status"] == "loaded"
    assert first.json["load_config"]["context_length"] == 2048
    assert (first.json["instance_id"], second.json["instance_id"]) == (studio.chat, f"{studio.chat}:2")


@NEWER_FAKE
async def test_a_context_longer_than_the_model_knows_is_loaded_without_a_word(studio: Studio) -> None:
    reply = await studio.ask("POST /api/v1/models/load", {"model": studio.chat, "context_length": 10**7})
    assert reply.status == 200
    assert studio.fake is not None
    assert studio.fake.runtime.instances[0].context_length == 10**7


@NEWER_FAKE
async def test_unloading_is_by_instance_and_not_by_key(studio: Studio) -> None:
    assert studio.fake is not None
    studio.fake.hold(studio.chat, identifier="mine")
    missed = await studio.ask("POST /api/v1/models/unload", {"instance_id": studio.chat})
    assert (missed.status, error_of(missed)["type"]) == (404, "model_not_found")
    done = await studio.ask("POST /api/v1/models/unload", {"instance_id": "mine"})
    assert done.json == {"instance_id": "mine"}
    assert studio.fake.runtime.loaded() == []


@NEWER
async def test_native_bodies_are_checked_strictly(studio: Studio) -> None:
    for path in ("models/load", "chat"):
        body = {"model": studio.chat, "ttl": 60} | ({"input": "hi"} if path == "chat" else {})
        reply = await studio.ask(f"POST /api/v1/{path}", body)
        assert reply.status == 400
        assert error_of(reply)["code"] == "unrecognized_keys"
        assert "'ttl'" in error_of(reply)["message"]
    missing = await studio.ask("POST /api/v1/chat", {"input": "hi"})
    assert (missing.status, error_of(missing)["code"]) == (400, "missing_required_parameter")
    assert error_of(missing)["param"] == "model"
    strings = await studio.ask("POST /api/v1/chat", {"model": studio.chat, "input": ["hi"]})
    assert (strings.status, error_of(strings)["code"]) == (400, "invalid_union")


@NEWER
async def test_loading_an_unknown_model_is_refused(studio: Studio) -> None:
    reply = await studio.ask("POST /api/v1/models/load", {"model": "no/such-model"})
    assert reply.status in (404, 500)
    assert "error" in reply.json


@NEWER_FAKE
async def test_a_model_that_does_not_fit_is_refused(studio: Studio) -> None:
    assert studio.fake is not None
    studio.fake.runtime.memory = 1000
    reply = await studio.ask("POST /api/v1/models/load", {"model": studio.chat})
    assert (reply.status, error_of(reply)["type"]) == (500, "model_load_failed")
    assert "insufficient system resources" in error_of(reply)["message"]


# ---- downloads


@NEWER_FAKE
async def test_a_download_is_a_job_that_is_asked_until_it_is_over(studio: Studio) -> None:
    begun = (await studio.ask("POST /api/v1/models/download", {"model": "openai/gpt-oss-20b"})).json
    assert begun["status"] == "downloading"
    assert re.fullmatch(r"job_[0-9a-f]{10}", begun["job_id"])
    seen = []
    while not seen or seen[-1]["status"] == "downloading":
        seen.append((await studio.ask(f"GET /api/v1/models/download/status/{begun['job_id']}")).json)
    assert seen[-1]["status"] == "completed"
    parts = [state["downloaded_bytes"] for state in seen]
    assert parts == sorted(parts)
    assert parts[-1] == begun["total_size_bytes"]
    again = await studio.ask("POST /api/v1/models/download", {"model": "openai/gpt-oss-20b"})
    assert again.json == {"status": "already_downloaded"}


@NEWER_FAKE
@pytest.mark.parametrize("outcome", ["failed", "paused"])
async def test_a_download_can_fail_or_be_paused(studio: Studio, outcome: str) -> None:
    assert studio.fake is not None
    studio.fake.runtime.outcome = outcome
    job = (await studio.ask("POST /api/v1/models/download", {"model": "openai/gpt-oss-20b"})).json["job_id"]
    states = [(await studio.ask(f"GET /api/v1/models/download/status/{job}")).json["status"] for _ in range(4)]
    assert states[-1] == outcome
    assert len(studio.fake.models) == 4


@NEWER
async def test_an_unknown_download_job_is_told(studio: Studio) -> None:
    reply = await studio.ask("GET /api/v1/models/download/status/job_0000000000")
    assert reply.status >= 400
    assert error_of(reply)["type"] == "job_not_found"


@NEWER
async def test_only_links_take_a_quantization(studio: Studio) -> None:
    body = {"model": studio.chat, "quantization": "Q4_K_M"}
    assert (await studio.ask("POST /api/v1/models/download", body)).status == 400


# ---- which model answers


@EVERY
async def test_the_answer_names_the_instance_that_gave_it(studio: Studio) -> None:
    reply = await studio.said("Say hello.")
    assert reply.status == 200
    assert reply.json["model"].startswith(studio.chat)
    assert reply.json["system_fingerprint"] == reply.json["model"]


@FAKES
async def test_an_unknown_name_is_answered_by_the_only_loaded_model(studio: Studio) -> None:
    assert studio.fake is not None
    studio.fake.hold(studio.chat, identifier="mine")
    studio.fake.hold(studio.embedding)
    reply = await studio.said("hi", model="no/such-model")
    assert (reply.status, reply.json["model"]) == (200, "mine")


@FAKES
async def test_an_unknown_name_is_refused_when_several_are_loaded(studio: Studio) -> None:
    assert studio.fake is not None
    studio.fake.hold(studio.chat)
    studio.fake.hold(studio.chat)
    reply = await studio.said("hi", model="no/such-model")
    assert reply.status == 400
    assert list(error_of(reply)) == ["message", "type", "param", "code"]
    assert error_of(reply)["code"] == "model_not_found"
    assert error_of(reply)["message"].startswith('Invalid model identifier "no/such-model"')


@FAKES
async def test_an_unknown_name_is_refused_when_nothing_is_loaded(studio: Studio) -> None:
    reply = await studio.said("hi", model="no/such-model")
    assert reply.status == 400
    assert error_of(reply)["message"].startswith("No models loaded.")
    assert error_of(reply)["param"] == "model"


@EVERY
async def test_an_empty_name_is_refused(studio: Studio) -> None:
    assert (await studio.said("hi", model="")).status == 400


@FAKES
async def test_a_key_is_known_in_any_letter_case_and_an_instance_only_in_its_own(studio: Studio) -> None:
    assert studio.fake is not None
    studio.fake.hold(studio.chat, identifier="Mine")
    assert (await studio.said("hi", model=studio.chat.upper())).json["model"] == "Mine"
    studio.fake.hold(studio.chat, identifier="Other")
    assert (await studio.said("hi", model="other")).status == 400


@NEWER
async def test_the_native_chat_knows_no_substitute(studio: Studio) -> None:
    reply = await studio.ask("POST /api/v1/chat", {"model": "no/such-model", "input": "hi"})
    assert (reply.status, error_of(reply)["type"]) == (404, "model_not_found")


@FAKES
async def test_a_model_loaded_on_demand_goes_when_idle_or_when_another_comes(studio: Studio) -> None:
    assert studio.fake is not None
    runtime = studio.fake.runtime
    await studio.said("hi", ttl=60)
    await studio.said("hi", model="google/gemma-3-4b", ttl=60)
    assert [each.id for each in runtime.loaded()] == ["google/gemma-3-4b"]
    await studio.said("hi", model="google/gemma-3-4b", ttl=5)  # loaded already: its time stays
    runtime.advance(30)
    assert len(runtime.loaded()) == 1
    runtime.advance(31)
    assert runtime.loaded() == []


@FAKES
async def test_a_model_loaded_by_a_person_stays(studio: Studio) -> None:
    assert studio.fake is not None
    studio.fake.hold(studio.chat)
    await studio.said("hi", model="google/gemma-3-4b")
    studio.fake.runtime.advance(10**6)
    assert [each.id for each in studio.fake.runtime.loaded()] == [studio.chat]
