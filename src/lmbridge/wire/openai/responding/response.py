"""The response object: what was asked, in the words in which OpenAI repeats it, and the answer."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

from lmbridge.core.errors import BridgeError
from lmbridge.core.events import Usage
from lmbridge.core.requests import NamedTool
from lmbridge.wire.openai.responding.requests import JSONObjectFormat, JSONSchemaFormat, Question, ResponseBody

_Object: TypeAlias = dict[str, object]  # within `ResponseObject`, "object" is a field
Status: TypeAlias = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]


class Details(Struct, frozen=True):
    """`incomplete_details`: why an answer is not whole."""

    reason: str


class Failure(Struct, frozen=True):
    """`error`: why there is no answer."""

    code: str
    message: str


class Cached(Struct, frozen=True):
    """Of the tokens that were read, those remembered from before. The second field is about a price."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class Thought(Struct, frozen=True):
    """Of the tokens that were written. Engines do not count those of thinking apart: then it is 0."""

    reasoning_tokens: int = 0


class Spent(Struct, frozen=True):
    """`usage`."""

    input_tokens: int
    input_tokens_details: Cached
    output_tokens: int
    output_tokens_details: Thought
    total_tokens: int


class ResponseObject(Struct, frozen=True, kw_only=True):
    """The response object, every field of it.

    Attributes:
        top_p, temperature: null where the request says nothing, as the model's own default is used then. LM Studio
            writes false for the first.
    """

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: Status
    background: bool
    error: Failure | None = None
    incomplete_details: Details | None = None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    model: str
    output: list[Raw]
    parallel_tool_calls: bool
    presence_penalty: float
    frequency_penalty: float
    previous_response_id: str | None
    prompt_cache_key: str | None
    reasoning: dict[str, str | None]
    safety_identifier: str | None
    service_tier: str = "default"
    store: bool
    temperature: float | None
    text: _Object
    tool_choice: str | _Object
    tools: list[_Object]
    top_logprobs: int = 0
    top_p: float | bool | None
    truncation: str
    usage: Spent | None = None
    user: str | None
    metadata: dict[str, str]


_encode: Final = msgspec.json.Encoder().encode


def begun(
    body: ResponseBody, question: Question, *, id: str, created: int, stored: bool, quirks: bool = False
) -> ResponseObject:
    """The object as it is before there is an answer.

    Args:
        stored: whether it will be. quirks: as LM Studio writes it, see `ResponseObject`.
    """
    request = question.request
    return ResponseObject(
        id=id,
        created_at=created,
        status="queued" if body.background else "in_progress",
        background=body.background is True,
        instructions=body.instructions,
        max_output_tokens=body.max_output_tokens,
        max_tool_calls=body.max_tool_calls,
        model=request.model,
        output=[],
        parallel_tool_calls=body.parallel_tool_calls is not False,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        previous_response_id=body.previous_response_id,
        prompt_cache_key=body.prompt_cache_key,
        reasoning={"effort": request.reasoning_effort, "summary": None},
        safety_identifier=body.safety_identifier,
        store=stored,
        temperature=body.temperature,
        text={"format": _format(body), "verbosity": "medium"},
        tool_choice=_choice(question),
        tools=_tools(question),
        top_p=False if quirks and body.top_p is None else body.top_p,
        truncation=body.truncation or "disabled",
        user=body.user,
        metadata=body.metadata or {},
    )


def encode_response(response: ResponseObject) -> bytes:
    """As JSON."""
    return _encode(response)


def spent(usage: Usage | None) -> Spent | None:
    """The tokens in this language's words; None where nobody counted."""
    if usage is None:
        return None
    return Spent(
        usage.prompt_tokens,
        Cached(usage.cached_tokens),
        usage.completion_tokens,
        Thought(usage.reasoning_tokens),
        usage.total_tokens,
    )


def failure(error: BridgeError) -> Failure:
    """An error as a response tells it; the message ends with the hint, since clients show nothing else."""
    return Failure(error.code, str(error))


def _format(body: ResponseBody) -> _Object:
    match body.text.format if body.text is not None else None:
        case JSONObjectFormat():
            return {"type": "json_object"}
        case JSONSchemaFormat(schema, name, description, strict):
            shape = {"type": "json_schema", "name": name, "schema": schema, "strict": strict is not False}
            return shape if description is None else {**shape, "description": description}
        case _:
            return {"type": "text"}


def _choice(question: Question) -> str | _Object:
    choice = question.tools.choice
    if not isinstance(choice, NamedTool):
        return choice
    space, name = question.tools.names.get(choice.name, ("", choice.name))
    named: _Object = {"type": "function", "name": name}
    return {**named, "namespace": space} if space else named


def _tools(question: Question) -> list[_Object]:
    """As the model is shown them."""
    return [
        {
            "type": "function",
            "name": tool.name,
            "description": tool.description or None,
            "parameters": tool.parameters or {"type": "object", "properties": {}},
            "strict": tool.strict,
        }
        for tool in question.tools.tools
    ]
