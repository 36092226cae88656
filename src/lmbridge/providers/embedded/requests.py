"""Requests in a form that makes the engine do what they say.

The engine takes OpenAI's requests, but not all of what they mean: it takes a named `tool_choice` for `auto`,
ignores much of a schema, fails on pictures it cannot see. Each rule here mends one such trap, found by trying
(llama.cpp b11549). A request that needs nothing comes back as the same object. Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.providers.embedded.schemas import fitted
from lmbridge.providers.embedded.traits import Traits

Body = Mapping[str, object]
Changes = dict[str, object]

RANDOM_SEED: Final = 2**32 - 1
"""The engine's own word for "any": a seed that is not one."""

MAX_BIASES: Final = 1024
"""Entries of `logit_bias`. The engine's effort grows with their square: 100,000 keep it busy for minutes."""
MAX_MESSAGES: Final = 4096
"""Turns of a conversation, for the same reason: most templates look at all of them for each of them."""

_LIMITS: Final = ("max_tokens", "max_completion_tokens")


def prepare(traits: Traits, body: Body) -> Body:
    """See `lmbridge.core.provider.Provider.prepare`.

    Raises:
        InvalidRequest: the engine would misunderstand or fail; `param` names the field.
    """
    if "messages" in body:
        return _chat(traits, body)
    if "input" in body:
        return _embedding(traits, body)
    changes: Changes = {}
    _check_common(traits, body, changes)
    return {**body, **changes} if changes else body


def _chat(traits: Traits, body: Body) -> Body:
    changes: Changes = {}
    messages = body["messages"]
    if isinstance(messages, list):
        if len(messages) > MAX_MESSAGES:
            raise InvalidRequest(
                f"{len(messages):,} messages are more than the engine can take ({MAX_MESSAGES:,}).",
                hint="Leave out the oldest ones.",
                param="messages",
            )
        _check_messages(traits, messages, changes)
    _check_common(traits, body, changes)
    if body.get("response_format"):
        _fit_response_format(body, changes)
    removed: set[str] = set()
    if body.get("tools"):
        removed = _direct_tools(traits, body, changes)
    elif body.get("tool_choice") == "none":
        removed = {"tool_choice"}
    if body.get("continue_final_message") and "add_generation_prompt" not in body:
        changes["add_generation_prompt"] = False  # the engine takes the two for a contradiction
    if not changes and not removed:
        return body
    return {key: value for key, value in {**body, **changes}.items() if key not in removed}


def _embedding(traits: Traits, body: Body) -> Body:
    """The engine ignores `dimensions` and returns the whole vectors."""
    wanted = body.get("dimensions")
    if wanted is None or wanted == traits.dimensions:
        return body
    raise UnsupportedParameter(
        "dimensions",
        f"The vectors of {traits.name!r} have {traits.dimensions} values, and the engine cannot shorten them.",
        hint="Leave it out, or cut the vectors and normalise them again.",
    )


# -- what chat and text completion have in common -------------------------------------------------


def _check_common(traits: Traits, body: Body, changes: Changes) -> None:
    for name in _LIMITS:
        if body.get(name) == 0:
            raise InvalidRequest(f"`{name}` must be at least 1.", hint="Leave it out for no limit.", param=name)
    wanted = body.get("n")
    if isinstance(wanted, int) and wanted > traits.slots:
        raise InvalidRequest(
            f"`n` is {wanted}, and {traits.name!r} is loaded for {traits.slots} answers at the same time.",
            hint="Ask for fewer, or load the model with a larger `--parallel`.",
            param="n",
        )
    biases = body.get("logit_bias")
    if isinstance(biases, dict | list) and len(biases) > MAX_BIASES:
        raise InvalidRequest(f"`logit_bias` has more than {MAX_BIASES:,} entries.", param="logit_bias")
    _steady_seed(body, changes)
    _drop_empty_stops(body, changes)
    if body.get("json_schema") is not None:
        ours = fitted(body["json_schema"], "json_schema", exact=True)
        if ours is not body["json_schema"]:
            changes["json_schema"] = ours


def _steady_seed(body: Body, changes: Changes) -> None:
    """Equal seeds give equal texts only if the prompt is read the same way each time, not from a cache."""
    seed = body.get("seed")
    if not isinstance(seed, int) or seed == -1:
        return
    if not 0 <= seed < RANDOM_SEED:
        changes["seed"] = seed % RANDOM_SEED
    if body.get("cache_prompt") is not False:
        changes["cache_prompt"] = False


def _drop_empty_stops(body: Body, changes: Changes) -> None:
    """The engine finds an empty text at once and stops before the first word."""
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop
    if isinstance(stops, list) and "" in stops:
        changes["stop"] = [each for each in stops if each != ""]


# -- messages -------------------------------------------------------------------------------------


def _check_messages(traits: Traits, messages: Sequence[object], changes: Changes) -> None:
    mended: list[object] | None = None
    for position, message in enumerate(messages):
        if not isinstance(message, dict):
            continue
        content = message.get("content")
        if isinstance(content, list):
            _check_parts(traits, content, f"messages[{position}].content")
        calls = message.get("tool_calls")
        kept = _without_nulls(message)
        if isinstance(calls, list):
            ours = _with_arguments(calls, f"messages[{position}].tool_calls")
            if ours is not calls:
                kept = {**kept, "tool_calls": ours}
        if kept is not message:
            mended = list(messages) if mended is None else mended
            mended[position] = kept
    if mended is not None:
        changes["messages"] = mended


def _without_nulls(message: dict[str, object]) -> dict[str, object]:
    """*message* less the fields that say nothing: clients send an answer back as they got it, nulls included,
    and the engine fails on a null `name`, `tool_call_id` or `reasoning_content`."""
    if None not in message.values():
        return message
    kept = {key: value for key, value in message.items() if value is not None or key == "content"}
    return message if len(kept) == len(message) else kept


def _check_parts(traits: Traits, parts: Sequence[object], param: str) -> None:
    for position, part in enumerate(parts):
        if not isinstance(part, dict) or part.get("type") in ("text", "refusal"):
            continue
        where = f"{param}[{position}]"
        if part.get("type") != "image_url":
            raise InvalidRequest(
                f"{traits.name!r} takes text and pictures, not {part.get('type')!r}.", param=where
            )
        if not traits.vision:
            raise InvalidRequest(
                f"{traits.name!r} cannot see pictures.",
                hint="Use a model that can (`lmbridge ls` shows which); its file needs an mmproj file beside it.",
                param=where,
            )
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        if not isinstance(url, str) or not url.startswith("data:"):
            # The engine would fetch it, and so a caller could make this machine ask any address.
            raise InvalidRequest(
                "Pictures must come as data URLs (`data:image/png;base64,...`); addresses are not fetched.",
                param=where,
            )


def _with_arguments(calls: list[object], param: str) -> list[object]:
    """*calls*, empty arguments and none at all made `{}`; the engine fails on what is not JSON."""
    ours = calls
    for position, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(call, dict) or not isinstance(function, dict):
            continue
        arguments = function.get("arguments")
        if not isinstance(arguments, str | None):
            continue
        if arguments is None or not arguments.strip():
            ours = list(ours)
            ours[position] = {**call, "function": {**function, "arguments": "{}"}}
            continue
        try:
            msgspec.json.decode(arguments)  # as strict as the engine, which takes no number without end
        except (ValueError, RecursionError) as error:
            where = f"{param}[{position}].function.arguments"
            raise InvalidRequest(f"`{where}` is not JSON: {error}.", param=where) from error
    return ours


# -- the shape of the answer ----------------------------------------------------------------------


def _fit_response_format(body: Body, changes: Changes) -> None:
    wanted = body["response_format"]
    if not isinstance(wanted, dict):
        return
    if body.get("grammar"):
        raise InvalidRequest("`grammar` and `response_format` exclude each other.", param="grammar")
    if wanted.get("type") == "json_object" and wanted.get("schema") is not None:
        ours = fitted(wanted["schema"], "response_format.schema", exact=True)
        if ours is not wanted["schema"]:
            changes["response_format"] = {**wanted, "schema": ours}
    named = wanted.get("json_schema")
    if wanted.get("type") == "json_schema" and isinstance(named, dict):
        if named.get("schema") is None:
            raise InvalidRequest("The schema is missing.", param="response_format.json_schema.schema")
        ours = fitted(named["schema"], "response_format.json_schema.schema", exact=True)
        if ours is not named["schema"]:
            changes["response_format"] = {**wanted, "json_schema": {**named, "schema": ours}}


# -- tools ----------------------------------------------------------------------------------------


def _direct_tools(traits: Traits, body: Body, changes: Changes) -> set[str]:
    """Make `tool_choice` and `parallel_tool_calls` mean what they say; returns the fields to leave out."""
    choice = body.get("tool_choice")
    if choice == "none":
        return {"tools", "tool_choice", "parallel_tool_calls"}  # shown to the model, they would tempt it
    tools = body["tools"]
    if not isinstance(tools, list):
        return set()
    if not traits.tools:
        raise UnsupportedParameter(
            "tools",
            f"The chat template of {traits.name!r} knows no tools.",
            hint="Use a model that was made for them.",
        )
    if body.get("grammar") or body.get("json_schema") is not None:
        raise InvalidRequest("`tools` exclude `grammar` and `json_schema`.", param="tools")
    kept = [_fitted_tool(tool, position) for position, tool in enumerate(tools)]
    named = _chosen_name(choice)
    if named is not None:
        kept = [tool for tool in kept if _name_of(tool) == named]
        if not kept:
            raise InvalidRequest(
                f"`tool_choice` names {named!r}, which is not among the tools.", param="tool_choice"
            )
    if len(kept) != len(tools) or any(ours is not theirs for ours, theirs in zip(kept, tools, strict=True)):
        changes["tools"] = kept
    if named is not None or body.get("parallel_tool_calls") is False:
        changes["parallel_tool_calls"] = False
        if traits.call_closing:
            changes["stop"] = [*_stops(changes.get("stop", body.get("stop"))), traits.call_closing]
    if named is not None or choice == "required":
        _force_call(traits, body, changes)
    elif _has_shape(body):
        # The hub makes a tool of the shape where it can, see `wire.tool_calls.answer_tool`.
        raise InvalidRequest(
            "With `response_format` the engine's grammar leaves no room for a tool call.",
            hint="Leave out `n` and `logprobs`, so that the answer may be either.",
            param="response_format",
        )
    return set()


def _force_call(traits: Traits, body: Body, changes: Changes) -> None:
    """Begin the answer with the opening of a call: after that the engine's grammar allows nothing else.

    The engine's own `required` still allows any amount of text first.
    """
    if _has_shape(body):
        raise InvalidRequest(
            "An answer cannot be both a tool call and of a given shape.",
            hint="Leave out `response_format`, or do not insist on a tool.",
            param="response_format",
        )
    changes["tool_choice"] = "required"
    if not traits.call_opening:
        return
    messages = changes.get("messages", body["messages"])
    opening = {"role": "assistant", "content": traits.call_opening}
    changes["messages"] = [*messages, opening] if isinstance(messages, list) else messages
    changes["continue_final_message"], changes["add_generation_prompt"] = True, False


def _has_shape(body: Body) -> bool:
    wanted = body.get("response_format")
    return isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema")


def _fitted_tool(tool: object, position: int) -> object:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(tool, dict) or not isinstance(function, dict) or function.get("parameters") is None:
        return tool
    param = f"tools[{position}].function.parameters"
    try:
        ours = fitted(function["parameters"], param, exact=function.get("strict") is True)
    except InvalidRequest as error:
        name = str(function.get("name"))[:64]
        raise InvalidRequest(
            f"The tool {name!r} cannot be used here. {error.message}", hint=error.hint, param=param
        ) from error
    return tool if ours is function["parameters"] else {**tool, "function": {**function, "parameters": ours}}


def _chosen_name(choice: object) -> str | None:
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None


def _name_of(tool: object) -> object:
    function = tool.get("function") if isinstance(tool, dict) else None
    return function.get("name") if isinstance(function, dict) else None


def _stops(stop: object) -> list[object]:
    if isinstance(stop, str):
        return [stop]
    return list(stop) if isinstance(stop, list) else []
