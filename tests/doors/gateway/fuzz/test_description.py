"""The gateway is asked what its own description allows, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
import schemathesis
from anyio.from_thread import BlockingPortal
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import negative_data_rejection
from schemathesis.schemas import BaseSchema
from tests.doors.gateway.asking import LIMIT_S, Answer, Running, running
from tests.doors.gateway.fuzz.languages import CALLS, judge, judge_error
from tests.fakes.gguf_files import chat_model, embedding_model

from lmbridge.core.provider import ProviderContext
from lmbridge.providers.embedded import EmbeddedProvider

EXAMPLES = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
PROVIDERS_FAULT = (502, 503, 504, 507)
"""What a provider may be blamed for."""
CALL = {call.path: call for call in reversed(CALLS)}
"""The plainest call of each path that asks a model."""
SHORT: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {"max_tokens": 4},
    "/v1/embeddings": {},
    "/v1/messages": {"max_tokens": 4},
    "/api/generate": {"options": {"num_predict": 4}},
}
"""What keeps the answers of the real engine short."""
PASSED_ON = {
    *("messages", "prompt", "input", "system", "tools", "tool_choice", "stop", "stop_sequences", "stream", "n"),
    *("temperature", "top_p", "top_k", "min_p", "seed", "logit_bias", "frequency_penalty", "presence_penalty"),
    *("repeat_penalty", "response_format", "format", "thinking", "logprobs", "top_logprobs", "grammar"),
    *("samplers", "mirostat", "typical_p", "dry_multiplier", "xtc_probability", "dynatemp_range", "n_probs"),
}
"""Fields that an engine gets to see."""


@pytest.fixture(scope="module")
def description(door: Running) -> BaseSchema:
    return schemathesis.openapi.from_url(f"{door.url}/openapi.json")


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as one:
        yield one


def names_a_model(body: dict[str, object]) -> bool:
    """Whether another name in its place makes the request no better than it is."""
    name = body.get("model")
    return isinstance(name, str) and 0 < len(name) <= 256


def try_all(
    door: Running, description: BaseSchema, session: requests.Session, path: str, mode: GenerationMode
) -> None:
    """Ask what the description allows of a path, or what it does not, and judge each answer."""
    route = door.gateway.routes[path]["POST"]

    @EXAMPLES
    @given(description[path]["POST"].as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        if path in CALL and isinstance(case.body, dict) and names_a_model(case.body):
            case.body["model"] = f"fake-{CALL[path].kind}"
        got = case.call(base_url=door.url, session=session, timeout=LIMIT_S)
        answer = Answer(got.status_code, {k: v[0] for k, v in got.headers.items()}, got.content)
        assert answer.status < 500 or answer.status in PROVIDERS_FAULT, (case.body, answer)
        if path in CALL:
            judge(CALL[path], route, answer)
        elif answer.status != route.status:
            judge_error(route, answer.body)
        case.validate_response(got, checks=[negative_data_rejection])

    ask()


@pytest.mark.parametrize("path", sorted(CALL))
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name.lower())
def test_who_asks_a_model_gets_an_answer_that_is_described(
    door: Running,
    description: BaseSchema,
    session: requests.Session,
    path: str,
    mode: GenerationMode,
    caplog: pytest.LogCaptureFixture,
) -> None:
    try_all(door, description, session, path, mode)
    assert not caplog.records


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name.lower())
def test_who_asks_for_anything_else_does_too(
    door: Running,
    description: BaseSchema,
    session: requests.Session,
    mode: GenerationMode,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for path, methods in door.gateway.routes.items():
        route = methods.get("POST")
        if path not in CALL and route is not None and route.asks is not None:
            try_all(door, description, session, path, mode)
    assert not caplog.records


@pytest.mark.parametrize("path", sorted(CALL))
def test_what_can_be_honoured_is_answered(
    door: Running, description: BaseSchema, session: requests.Session, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the fields that are refused by name, of which nearly every request has one."""
    assert any(answers(door, description, session, path, {}))
    assert not caplog.records


def answers(
    door: Running, description: BaseSchema, session: requests.Session, path: str, more: dict[str, object]
) -> list[bool]:
    """Ask what the description allows, and judge each answer."""
    route, judged = door.gateway.routes[path]["POST"], list[bool]()

    @EXAMPLES
    @given(description[path]["POST"].as_strategy(generation_mode=GenerationMode.POSITIVE))
    def ask(case: Case) -> None:
        assert isinstance(case.body, dict)
        wishes = {name: value for name, value in case.body.items() if name in PASSED_ON}
        if len(judged) % 2:  # every second one says something that is no fault in any language
            wishes |= CALL[path].body
        body = {**CALL[path].body, **wishes, **more, "model": f"fake-{CALL[path].kind}"}
        got = session.post(door.url + path, json=body, timeout=LIMIT_S)
        answer = Answer(got.status_code, dict(got.headers.lower_items()), got.content)
        assert answer.status < 500, (body, answer)
        judged.append(judge(CALL[path], route, answer))

    ask()
    return judged


@pytest.fixture(scope="module")
def engine_door(portal: BlockingPortal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway with the real engine, whose models say anything."""
    home = tmp_path_factory.mktemp("engine")
    (home / "models").mkdir()
    chat_model(home / "models" / "fake-chat.gguf")
    embedding_model(home / "models" / "fake-embed.gguf")
    provider = EmbeddedProvider.create({"lmstudio_models": False}, ProviderContext(home, "embedded"))
    with portal.wrap_async_context_manager(running([provider], home)) as up:
        yield up


@pytest.mark.parametrize("path", SHORT)
def test_the_real_engine_survives_whatever_is_allowed(
    engine_door: Running, description: BaseSchema, session: requests.Session, path: str
) -> None:
    assert any(answers(engine_door, description, session, path, SHORT[path]))
