"""What a chat's body asks for, in core's words, as far as the bridge itself has to know it.

The body goes on to the provider as it is; from this prompts are counted, and answers held to what was asked.
"""

from __future__ import annotations

from lmbridge.core.messages import ImagePart, Message, Part, TextPart, Tool, ToolCall
from lmbridge.core.requests import ChatRequest, NamedTool, Sampling, Schema, ToolChoice
from lmbridge.wire.openai.requests import (
    ChatBody,
    ChatMessage,
    ChosenTool,
    Content,
    ImageContent,
    JSONObjectFormat,
    JSONSchemaFormat,
    RefusalContent,
    TextContent,
)

_CARRIED = ("reasoning_format", "chat_template_kwargs")
"""Fields that core has no word for, and on which the prompt or the form of the answer depends."""


def asked(body: ChatBody) -> ChatRequest:
    """The conversation, the tools, the shape of the answer and its limit; other ways of sampling are left out."""
    return ChatRequest(
        body.model,
        tuple(map(_message, body.messages)),
        tools=tuple(
            Tool(each.function.name, each.function.description or "", each.function.parameters or {})
            for each in body.tools or ()
        ),
        tool_choice=_choice(body),
        parallel_tool_calls=body.parallel_tool_calls,
        schema=_schema(body),
        sampling=Sampling(max_tokens=_limit(body)),
        reasoning_effort=body.reasoning_effort,
        extra={name: value for name in _CARRIED if (value := getattr(body, name)) is not None},
        truncate=body.truncation == "auto",
    )


def _message(message: ChatMessage) -> Message:
    content = message.content
    return Message(
        message.role,
        tuple(map(_part, content)) if isinstance(content, list) else content,
        message.name,
        message.reasoning_content,
        tuple(ToolCall(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()),
        message.tool_call_id,
    )


def _part(part: Content) -> Part:
    match part:
        case TextContent(text) | RefusalContent(text):
            return TextPart(text)
        case ImageContent(image):
            return ImagePart(image.url)
        case _:  # refused when the body was decoded
            raise TypeError(part)


def _choice(body: ChatBody) -> ToolChoice | NamedTool:
    choice = body.tool_choice
    return NamedTool(choice.function.name) if isinstance(choice, ChosenTool) else choice or "auto"


def _schema(body: ChatBody) -> Schema | None:
    match body.response_format:
        case JSONObjectFormat(schema):
            return Schema(schema)
        case JSONSchemaFormat(named):
            return Schema(named.schema, named.name)
        case _:
            return None


def _limit(body: ChatBody) -> int | None:
    given = (body.max_completion_tokens, body.max_tokens, body.n_predict)
    return next((limit for limit in given if limit is not None and limit > 0), None)
