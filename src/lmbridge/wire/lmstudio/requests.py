"""OpenAI bodies such that LM Studio does what they say, or a refusal that names what it would not do.

LM Studio skips every field that it does not know and answers with status 200, so a caller would never
learn that `n` or a grammar counted for nothing. And it refuses forms that OpenAI's clients send every
day. All functions return the very object they were given when nothing needs changing, so that whoever
relays can pass the bytes on untouched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter

_IGNORED: Final = "LM Studio would ignore it without a word."

# What llama.cpp's own server understands and LM Studio does not, where ignoring it changes the answer.
_SAMPLERS: Final = (
    "typical_p",
    "top_n_sigma",
    "xtc_probability",
    "xtc_threshold",
    "dynatemp_range",
    "dynatemp_exponent",
    "repeat_last_n",
    "dry_multiplier",
    "dry_base",
    "dry_allowed_length",
    "dry_penalty_last_n",
    "dry_sequence_breakers",
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
    "adaptive_target",
    "adaptive_decay",
    "samplers",
    "min_keep",
    "ignore_eos",
    "grammar",
    "lora",
    "n_indent",
    "n_keep",
    "n_discard",
    "t_max_predict_ms",
    "n_probs",
    "post_sampling_probs",
    "return_tokens",
    "add_generation_prompt",
    "continue_final_message",
    "parse_tool_calls",
    "reasoning_format",
    "reasoning_budget_tokens",
    "thinking_budget_tokens",
)
_HINTS: Final = {
    "grammar": "Ask for a JSON schema in `response_format`.",
    "chat_template_kwargs": 'Leave it out; `reasoning_effort: "none"` stops the thinking of many models.',
    "n": "Send the request once for each answer.",
    "logprobs": "Leave it out, or use a provider that has them (`lmbridge ls` lists the models of each).",
}
_PLAIN: Final[dict[str, object]] = {
    "n": 1,
    "best_of": 1,
    "typical_p": 1,
    "add_generation_prompt": True,
    "parse_tool_calls": True,
    "reasoning_format": "auto",
}
"""Values that ask for nothing special; of the other fields, those that are false, zero or empty."""
_EMPTY_SCHEMA: Final = {"type": "object", "properties": {}}


def prepare_chat(body: Mapping[str, object]) -> Mapping[str, object]:
    """A chat completion's body as LM Studio needs it; *body* itself where it is so already.

    Changed are forms without a loss: `max_completion_tokens`, a named tool (it becomes `required` with that
    tool alone), `json_object` (a schema that says object), messages without `content`, the role `developer`.

    Raises:
        UnsupportedParameter: a field that LM Studio would ignore although the answer depends on it.
        InvalidRequest: a picture that is not in the request itself, a tool choice without its tool.
    """
    changed: dict[str, object] = {}
    _refuse_ignored(body, ("n", "logprobs", "top_logprobs", "chat_template_kwargs", *_SAMPLERS))
    _limit(body, changed)
    _messages(body, changed)
    _tools(body, changed)
    _format(body, changed)
    _common(body, changed)
    return _with(body, changed)


def prepare_completion(body: Mapping[str, object]) -> Mapping[str, object]:
    """A text completion's body as LM Studio needs it; *body* itself where it is so already.

    Raises:
        UnsupportedParameter: a field that LM Studio would ignore although the answer depends on it.
        InvalidRequest: a prompt of tokens, or several of them.
    """
    changed: dict[str, object] = {}
    _refuse_ignored(body, ("n", "logprobs", "json_schema", "suffix", "echo", "best_of", *_SAMPLERS))
    _limit(body, changed)
    prompt = body.get("prompt")
    if isinstance(prompt, Sequence) and not isinstance(prompt, str):
        if len(prompt) != 1 or not isinstance(prompt[0], str):
            raise InvalidRequest(
                "LM Studio takes one text as a prompt, no tokens and no list of texts.",
                hint="Send one request for each text.",
                param="prompt",
            )
        changed["prompt"] = prompt[0]
    _common(body, changed)
    return _with(body, changed)


def prepare_embed(body: Mapping[str, object]) -> Mapping[str, object]:
    """An embeddings request's body as LM Studio needs it; *body* itself where it is so already.

    `encoding_format` is taken out where it is not `float`: LM Studio always sends numbers.

    Raises:
        UnsupportedParameter: `dimensions`, which LM Studio ignores.
        InvalidRequest: tokens instead of texts.
    """
    _refuse_ignored(body, ("dimensions", "embd_normalize"))
    given = body.get("input")
    if (
        isinstance(given, Sequence)
        and not isinstance(given, str)
        and any(not isinstance(text, str) for text in given)
    ):
        raise InvalidRequest("LM Studio embeds texts, not tokens.", hint="Send the texts.", param="input")
    changed: dict[str, object] = {}
    if body.get("encoding_format") not in (None, "float"):
        changed["encoding_format"] = None
    return _with(body, changed)


def _with(body: Mapping[str, object], changed: Mapping[str, object]) -> Mapping[str, object]:
    """*body* with what *changed* holds; None there takes a field out."""
    if not changed:
        return body
    return {name: value for name, value in {**body, **changed}.items() if changed.get(name, value) is not None}


def _refuse_ignored(body: Mapping[str, object], names: Sequence[str]) -> None:
    for name in names:
        value = body.get(name)
        if value is None or (name in _PLAIN and value == _PLAIN[name]):
            continue
        if value or name in _PLAIN or (name == "logprobs" and value is not False):
            raise UnsupportedParameter(name, _IGNORED, hint=_HINTS.get(name, ""))


def _limit(body: Mapping[str, object], changed: dict[str, object]) -> None:
    """One limit under the only name that LM Studio knows."""
    given = [
        body[name] for name in ("max_tokens", "max_completion_tokens", "n_predict") if body.get(name) is not None
    ]
    for name in ("max_completion_tokens", "n_predict"):
        if name in body:
            changed[name] = None
    if given and len(changed):
        limits = [value for value in given if isinstance(value, int) and value >= 0]
        changed["max_tokens"] = min(limits) if limits else given[0]


def _common(body: Mapping[str, object], changed: dict[str, object]) -> None:
    seed = body.get("seed")
    if isinstance(seed, int) and seed < 0:  # llama.cpp's word for a random one
        changed["seed"] = None
    bias = body.get("logit_bias")
    if bias is not None and not isinstance(bias, Mapping):
        raise UnsupportedParameter("logit_bias", "LM Studio takes an object of token numbers, no list.")


# ---- messages


def _messages(body: Mapping[str, object], changed: dict[str, object]) -> None:
    messages = body.get("messages")
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        return  # LM Studio says it better
    mended = [_message(position, message) for position, message in enumerate(messages)]
    if any(new is not old for new, old in zip(mended, messages, strict=True)):
        changed["messages"] = mended


def _message(position: int, message: object) -> object:
    if not isinstance(message, Mapping):
        return message
    new: dict[str, object] = {}
    content = message.get("content")
    if content is None:
        new["content"] = ""  # it insists on one, even beside tool calls
    elif isinstance(content, Sequence) and not isinstance(content, str):
        parts = [_part(f"messages[{position}].content[{n}]", part) for n, part in enumerate(content)]
        if any(part is not given for part, given in zip(parts, content, strict=True)):
            new["content"] = parts
    if message.get("role") == "developer":
        new["role"] = "system"
    _check_calls(position, message.get("tool_calls"))
    return {**message, **new} if new else message


def _part(where: str, part: object) -> object:
    if not isinstance(part, Mapping):
        return part
    kind = part.get("type")
    if kind == "image_url":
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, Mapping) else image
        head = url[:100].lower() if isinstance(url, str) else ""
        if not head.startswith("data:image/") or ";base64," not in head:
            raise InvalidRequest(
                f"`{where}.image_url.url` must be a `data:image/…;base64,…` URL; LM Studio fetches no addresses.",
                hint="Send the picture itself, in base64.",
                param=f"{where}.image_url.url",
            )
        return part if isinstance(image, Mapping) else {**part, "image_url": {"url": url}}
    if kind == "refusal":
        return {"type": "text", "text": part.get("refusal") or ""}
    if kind in ("input_audio", "file"):
        raise UnsupportedParameter(f"{where}.{kind}", "LM Studio reads texts and pictures only.")
    return part


def _check_calls(position: int, calls: object) -> None:
    for number, call in enumerate(calls if isinstance(calls, list) else ()):
        if isinstance(call, Mapping) and not call.get("id"):
            where = f"messages[{position}].tool_calls[{number}].id"
            raise InvalidRequest(
                f"`{where}` is missing.", hint="Repeat the id that the call came with.", param=where
            )


# ---- tools and formats


def _tools(body: Mapping[str, object], changed: dict[str, object]) -> None:
    given = body.get("tools")
    tools = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else []
    choice = body.get("tool_choice")
    if isinstance(choice, Mapping):
        # It knows words only: insisting on one tool is insisting on a tool, and there being no other.
        name = _chosen(choice)
        tools = [tool for tool in tools if _name_of(tool) == name]
        if not tools:
            raise InvalidRequest(
                f"`tool_choice` names {name!r}, which is not among the tools.", param="tool_choice.function.name"
            )
        changed["tool_choice"] = "required"
        changed["tools"] = tools
    mended = [_tool(tool) for tool in tools]
    if any(new is not old for new, old in zip(mended, tools, strict=True)):
        changed["tools"] = mended


def _chosen(choice: Mapping[str, object]) -> str:
    function = choice.get("function")
    name = function.get("name") if isinstance(function, Mapping) else choice.get("name")
    if choice.get("type") != "function" or not isinstance(name, str):
        raise UnsupportedParameter(
            "tool_choice", "LM Studio knows `none`, `auto`, `required`, and here one function by name."
        )
    return name


def _name_of(tool: object) -> object:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    return function.get("name") if isinstance(function, Mapping) else None


def _tool(tool: object) -> object:
    """A function without parameters says so: some of its checks refuse an empty schema."""
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(tool, Mapping) or not isinstance(function, Mapping) or function.get("parameters"):
        return tool
    return {**tool, "function": {**function, "parameters": _EMPTY_SCHEMA}}


def _format(body: Mapping[str, object], changed: dict[str, object]) -> None:
    """The shape of the answer: LM Studio wants a schema with a name, or plain text."""
    shape, bare = body.get("response_format"), body.get("json_schema")
    if isinstance(bare, Mapping):  # llama.cpp's own field
        changed["json_schema"] = None
        changed["response_format"] = _schema({"schema": bare})
    elif isinstance(shape, Mapping) and shape.get("type") == "json_object":
        changed["response_format"] = _schema({"schema": shape.get("schema") or {"type": "object"}})
    elif isinstance(shape, Mapping) and shape.get("type") == "json_schema":
        inner = shape.get("json_schema")
        if isinstance(inner, Mapping) and not (inner.get("schema") and inner.get("name")):
            changed["response_format"] = _schema(inner)


def _schema(inner: Mapping[str, object]) -> dict[str, object]:
    return {
        "type": "json_schema",
        "json_schema": {
            **inner,
            "name": inner.get("name") or "answer",
            "strict": inner.get("strict", True),
            "schema": inner.get("schema") or {"type": "object"},
        },
    }
