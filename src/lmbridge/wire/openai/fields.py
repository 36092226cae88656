"""Which fields of OpenAI's requests are accepted and ignored, and which are refused by name.

Honoured is what the body structs of `requests` declare; whatever is in neither is refused by its name as well.
"""

from __future__ import annotations

from typing import Final

from lmbridge.wire.fields import Ignored, Refused, Translated

_ACCOUNT = "It belongs to accounts and billing, which do not exist here."
_ELSEWHERE = "It steers a cache in OpenAI's data centres; the engine keeps its own."

IGNORED: Final = (
    Ignored("user", "It names the caller's customer; nothing here depends on it."),
    Ignored("metadata", "It labels stored answers, and none are stored."),
    Ignored("service_tier", _ACCOUNT),
    Ignored("safety_identifier", "It names the caller's customer; nothing here depends on it."),
    Ignored("prompt_cache_key", _ELSEWHERE),
    Ignored("prompt_cache_retention", _ELSEWHERE),
    Ignored("prompt_cache_options", _ELSEWHERE),
    Ignored("stream_options.include_obfuscation", "It pads events against eavesdroppers on a network."),
    Ignored("image_url.detail", "The model's own picture encoder decides."),
)
"""Accepted because OpenAI's clients and the frameworks upon them send these without being asked."""

TRANSLATED: Final = (
    Translated("ttl", "Seconds that the model may stay idle in memory, if this request loads it; 0 for ever."),
    Translated(
        "truncation", "`auto` drops the oldest turns that do not fit; `x-lmbridge-dropped-turns` counts them."
    ),
    Translated(
        "tool_choice", "To servers that only know words, one named tool is `required` with that tool alone."
    ),
)
"""Honoured by the bridge itself; the provider does not see them, or sees them in other words."""

OURS: Final = ("ttl", "truncation")
"""What is for the bridge alone, and no business of the provider."""

CHAT_REFUSED: Final = (
    Refused("store", "Answers are not stored here.", "Leave it out, or send false.", (False,)),
    Refused("audio", "No provider here can speak."),
    Refused("web_search_options", "Nothing here searches the web.", "Give the model a search tool in `tools`."),
    Refused("prediction", "Predicted output is not supported."),
    Refused("moderation", "Nothing here judges texts."),
    Refused("functions", "The form before `tools`, retired by OpenAI in 2023.", "Use `tools`."),
    Refused("function_call", "The form before `tool_choice`, retired by OpenAI in 2023.", "Use `tool_choice`."),
    Refused("verbosity", "Local models have no such control.", "Say it in the system message.", ("medium",)),
    Refused("id_slot", "Slots are given out by the queue, so that callers do not wait for ever."),
    Refused("draft_model", "Models are loaded without another one that drafts for them."),
    Refused("preset", "Presets are files of LM Studio's app.", "Send the fields that it would set."),
)

COMPLETION_REFUSED: Final = (
    Refused("suffix", "The engine ignores it outside of its fill-in-the-middle route."),
    Refused("echo", "The engine cannot repeat the prompt.", "Put the prompt before the answer.", (False,)),
    Refused("best_of", "The engine returns every answer it makes.", "Use `n` and choose.", (1,)),
    Refused("id_slot", "Slots are given out by the queue, so that callers do not wait for ever."),
    Refused("draft_model", "Models are loaded without another one that drafts for them."),
    Refused("preset", "Presets are files of LM Studio's app.", "Send the fields that it would set."),
)

EMBEDDING_REFUSED: Final[tuple[Refused, ...]] = ()
