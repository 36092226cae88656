"""Core requests into OpenAI's request bodies."""

from __future__ import annotations

from lmbridge.core.messages import Tool
from lmbridge.core.openai_messages import to_openai
from lmbridge.core.requests import ChatRequest, EmbedRequest, NamedTool, Sampling, Schema

_CARRIED = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "max_tokens",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "repeat_penalty",
    "logit_bias",
)


def encode_chat(request: ChatRequest, model: str, *, stream: bool = True) -> dict[str, object]:
    """The body of `POST /chat/completions`.

    Fields of `request.extra` come last and win: they are what this vocabulary has no word for.

    Args:
        model: the runtime's own name of the model.
        stream: whether to ask for events, and then for the token counts as well.
    """
    body: dict[str, object] = {"model": model, "messages": to_openai(request.turns)}
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    add_sampling(body, request.sampling)
    if request.tools:
        body["tools"] = [encode_tool(tool) for tool in request.tools]
        choice = request.tool_choice
        if isinstance(choice, NamedTool):
            body["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
        elif choice != "auto":
            body["tool_choice"] = choice
        if request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    if request.schema is not None:
        body["response_format"] = _response_format(request.schema)
    if request.reasoning_effort is not None:
        body["reasoning_effort"] = request.reasoning_effort
    body.update(request.extra)
    return body


def add_sampling(body: dict[str, object], sampling: Sampling) -> None:
    """Put the ways of sampling that are set into a body."""
    for name in _CARRIED:
        value = getattr(sampling, name)
        if value is not None:
            body[name] = value
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.logprobs is not None:
        body["logprobs"] = True
        if sampling.logprobs:
            body["top_logprobs"] = sampling.logprobs


def encode_tool(tool: Tool) -> dict[str, object]:
    """A function that may be called."""
    function: dict[str, object] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    # Some servers refuse a function without parameters, and some an empty schema.
    function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _response_format(schema: Schema) -> dict[str, object]:
    if schema.schema is None:
        return {"type": "json_object"}
    return {
        "type": "json_schema",
        "json_schema": {"name": schema.name, "schema": schema.schema, "strict": schema.strict},
    }


def encode_embed(request: EmbedRequest, model: str) -> dict[str, object]:
    """The body of `POST /embeddings`.

    Args:
        model: the runtime's own name of the model.
    """
    # OpenAI's default; said aloud because some servers have another, and base64 would save nothing here.
    body: dict[str, object] = {"model": model, "input": list(request.inputs), "encoding_format": "float"}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    return body
