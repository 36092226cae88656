"""What Anthropic's API refuses, in its words: the rules of its published protocol that our requests touch.

(https://platform.claude.com/docs/en/api/messages, …/build-with-claude/structured-outputs, …/extended-thinking)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

Body = dict[str, object]

COUNTED = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"}
)
FIELDS = COUNTED | {
    *("max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences"),
    *("metadata", "service_tier", "inference_geo", "speed"),
}
_ID = re.compile(r"[a-zA-Z0-9_-]+")


def refusal(body: Body, *, counting: bool = False) -> str:
    """Why the API would not take this body; "" if it would."""
    return next(_reasons(body, COUNTED if counting else FIELDS, counting), "")


def _reasons(body: Body, known: frozenset[str], counting: bool) -> Iterator[str]:
    for name in body.keys() - known:
        yield f"{name}: Extra inputs are not permitted"
    limit = body.get("max_tokens")
    if not counting and (not isinstance(limit, int) or limit < 1):
        yield "max_tokens: Field required"
    if isinstance(body.get("temperature"), float | int) and not 0 <= cast("float", body["temperature"]) <= 1:
        yield "temperature: range: 0..1"
    yield from _of_messages(cast("list[Body]", body["messages"]))
    yield from _of_tools(body)
    yield from _of_thinking(body)
    output = cast("Body", body.get("output_config") or {})
    wanted = cast("Body", output.get("format") or {})
    if wanted:
        yield from _of_schema(wanted["schema"], "output_config.format.schema")


def _of_messages(messages: list[Body]) -> Iterator[str]:
    if not messages:
        yield "messages: at least one message is required"
    elif messages[0]["role"] != "user":
        yield 'messages: first message must use the "user" role'
    called: set[object] = set()
    for position, message in enumerate(messages):
        if message["role"] not in ("user", "assistant"):
            yield f"messages.{position}.role: Unexpected role {message['role']!r}"
        content = message["content"]
        blocks = cast("list[Body]", [{"type": "text", "text": content}] if isinstance(content, str) else content)
        yield from _of_blocks(position, blocks, called)
        called = {block["id"] for block in blocks if block["type"] == "tool_use"}


def _of_blocks(position: int, blocks: list[Body], called: set[object]) -> Iterator[str]:
    if not blocks:
        yield f"messages.{position}: all messages must have non-empty content"
    answered = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
    if called - answered:
        yield f"messages.{position}: `tool_use` ids were found without `tool_result` blocks immediately after"
    if answered - called:
        yield f"messages.{position}: unexpected `tool_use_id` found in `tool_result` blocks"
    words = False
    for block in blocks:
        kind = block["type"]
        if kind == "text" and not cast("str", block["text"]).strip():
            yield f"messages.{position}: text content blocks must contain non-whitespace text"
        if kind == "tool_result" and words:
            yield f"messages.{position}: `tool_result` blocks must come first"
        if kind == "thinking" and block.get("signature") != "signed":
            yield f"messages.{position}: Invalid `signature` in `thinking` block"
        if kind == "tool_use" and not (
            _ID.fullmatch(cast("str", block["id"])) and isinstance(block["input"], dict)
        ):
            yield f"messages.{position}.tool_use: String should match pattern '^[a-zA-Z0-9_-]+$'"
        words = words or kind != "tool_result"


def _of_tools(body: Body) -> Iterator[str]:
    tools = cast("list[Body]", body.get("tools") or [])
    choice = cast("Body", body.get("tool_choice") or {})
    if choice and not tools:
        yield "tool_choice: requires tools"
    if choice.get("type") == "tool" and choice.get("name") not in [tool["name"] for tool in tools]:
        yield f"Tool '{choice.get('name')}' not found in provided tools"
    for number, tool in enumerate(tools):
        schema = cast("Body", tool["input_schema"])
        if schema.get("type") != "object":
            yield f"tools.{number}.custom.input_schema.type: Field required"
        if tool.get("strict"):
            yield from _of_schema(schema, f"tools.{number}.custom.input_schema")


def _of_schema(schema: object, where: str) -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        yield f"{where}: For 'object' type, 'additionalProperties' must be explicitly set to false"
    for inner in schema.values():
        for each in inner.values() if isinstance(inner, dict) else inner if isinstance(inner, list) else ():
            yield from _of_schema(each, where)


def _of_thinking(body: Body) -> Iterator[str]:
    thinking = cast("Body", body.get("thinking") or {})
    on = thinking.get("type") in ("enabled", "adaptive")
    if on and cast("Body", body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        yield "Thinking may not be enabled when tool_choice forces tool use."
    if thinking.get("type") != "enabled":
        return
    budget = cast("int", thinking["budget_tokens"])
    if budget < 1024:
        yield "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
    if budget >= cast("int", body.get("max_tokens", budget + 1)):
        yield "`max_tokens` must be greater than `thinking.budget_tokens`"
    last = cast("list[Body]", body["messages"])[-1]["content"]
    if isinstance(last, list) and any(block["type"] == "tool_result" for block in last):
        before = cast("list[Body]", cast("list[Body]", body["messages"])[-2]["content"])
        if before[0]["type"] not in ("thinking", "redacted_thinking"):
            yield "Expected `thinking` or `redacted_thinking`, but found `tool_use`"
