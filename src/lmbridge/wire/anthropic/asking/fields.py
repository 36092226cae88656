"""What becomes of core's wishes, and of what core has no word for, in a request to Anthropic's API."""

from __future__ import annotations

from typing import Final

from lmbridge.wire.fields import Ignored, Refused, Translated

_CHOICE: Final = "The models have no such control."

CARRIED: Final = ("cache_control", "inference_geo", "metadata", "service_tier", "speed", "thinking")
"""Fields of Anthropic's own, in `ChatRequest.extra`: carried as they are."""

REFUSED: Final = (
    Refused("seed", "Anthropic's models do not repeat an answer."),
    Refused("min_p", _CHOICE, "Use `top_p`.", (0, 0.0)),
    Refused("frequency_penalty", _CHOICE, unless=(0, 0.0)),
    Refused("presence_penalty", _CHOICE, unless=(0, 0.0)),
    Refused("repeat_penalty", _CHOICE, unless=(1, 1.0)),
    Refused("logprobs", "Anthropic's API tells none."),
)
"""Of `core.requests.Sampling`."""

BIAS: Final = Refused("logit_bias", "Anthropic's API does not tell its tokens.")
TEMPERATURE: Final = Refused("temperature", "Above 1: the API takes 0 to 1.", "Send at most 1.")
THOUGHTS_INSIDE: Final = Refused("reasoning_format", "The value `none`: thoughts are always told apart.")

REFUSED_INSIDE: Final = (BIAS, TEMPERATURE, THOUGHTS_INSIDE)
"""Refused for some values alone."""

IGNORED: Final = (
    Ignored("name", "Of a message: the API has no field for who of several users speaks."),
    Ignored(
        "reasoning", "Of an earlier answer: the API takes back only what it signed, and core has no signature."
    ),
    Ignored("continue_final_message", "The API goes on with a last turn of the assistant by itself."),
    Ignored("add_generation_prompt", "The same."),
    Ignored("top_k: 0", "All candidates are kept, which is what the API does."),
)

TRANSLATED: Final = (
    Translated("messages: system, developer", "The first ones become `system`, later ones words of the user's."),
    Translated("messages: tool", "Blocks `tool_result` of the user's turn, before its words."),
    Translated("tool_calls[].arguments", "An object; text that is none goes as the field `arguments` of one."),
    Translated("max_tokens", "The setting `max_tokens` where the request has none, as the API insists on one."),
    Translated("stop", "`stop_sequences`."),
    Translated("tool_choice", "`required` becomes `any`, a named tool `tool`."),
    Translated("parallel_tool_calls", "`disable_parallel_tool_use`, the other way round."),
    Translated(
        "response_format",
        "`output_config.format`, its objects closed (`additionalProperties: false`) where that is left open; for "
        "models without it, and for any JSON object, a tool that has to be called.",
    ),
    Translated(
        "reasoning_effort",
        "`output_config.effort` with adaptive thinking, or a budget of thinking for older models; `none` switches "
        "thinking off, `minimal` is `low`.",
    ),
)
