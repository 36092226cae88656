"""What becomes of the fields of `POST /v1/responses`, beside those that are honoured as they are."""

from __future__ import annotations

from typing import Final

from lmbridge.core.errors import UnsupportedParameter
from lmbridge.wire.fields import Ignored, Refused, Translated

_ACCOUNT = "It belongs to accounts and billing, which do not exist here."
_ELSEWHERE = "It steers a cache in OpenAI's data centres; the engine keeps its own."
_CUSTOMER = "It names the caller's customer; nothing here depends on it."
_NO_SUCH_ITEMS = "Items of that kind do not arise here."

IGNORED: Final = (
    Ignored("user", _CUSTOMER),
    Ignored("safety_identifier", _CUSTOMER),
    Ignored("client_metadata", "Codex tells about itself; nothing here depends on it."),
    Ignored("service_tier", _ACCOUNT),
    Ignored("prompt_cache_key", _ELSEWHERE),
    Ignored("prompt_cache_retention", _ELSEWHERE),
    Ignored("prompt_cache_options", _ELSEWHERE),
    Ignored("max_tool_calls", "It limits tools that OpenAI runs; those given here are run by the caller."),
    Ignored("stream_options.include_obfuscation", "It pads events against eavesdroppers on a network."),
    Ignored("reasoning.summary", "What the model thought is given whole, never summarised."),
    Ignored("reasoning.generate_summary", "The older name of `reasoning.summary`."),
    Ignored("include: reasoning.encrypted_content", "What the model thought is given in plain words."),
    Ignored("include: message.input_image.image_url", "Pictures are always among the input items."),
    Ignored("include: web_search_call.results", _NO_SUCH_ITEMS),
    Ignored("include: web_search_call.action.sources", _NO_SUCH_ITEMS),
    Ignored("include: file_search_call.results", _NO_SUCH_ITEMS),
    Ignored("include: code_interpreter_call.outputs", _NO_SUCH_ITEMS),
    Ignored("include: computer_call_output.output.image_url", _NO_SUCH_ITEMS),
    Ignored("input_image.detail", "The model's own picture encoder decides."),
    Ignored(
        "tools: web_search with external_web_access: false", "It asks for no access to the web (Codex's default)."
    ),
)
"""Accepted because OpenAI's clients, LM Studio's and Codex send these without being asked."""

TRANSLATED: Final = (
    Translated(
        "instructions", "The first system message, for this answer only; joined with those that follow it."
    ),
    Translated(
        "input", "Messages; reasoning, text and calls that belong together become one turn of the assistant."
    ),
    Translated("max_output_tokens", "`max_tokens`; an answer cut off by it has the status `incomplete`."),
    Translated("reasoning.effort", "`reasoning_effort`."),
    Translated("text.format", "The shape of the answer, kept by the engine's grammar."),
    Translated("tool_choice: allowed_tools", "The model is shown these tools alone."),
    Translated("truncation: auto", "The oldest turns are left out until the prompt fits the loaded context."),
    Translated("metadata", "Stored with the answer and given back with it."),
    Translated("ttl", "Seconds that the model may idle, if this request loads it (LM Studio's)."),
    Translated("store", "True by default: kept for `gateway.store_days`."),
    Translated("background", "The answer is made without a caller who waits: ask for it with its id."),
)

REFUSED: Final = (
    Refused(
        "conversation",
        "Conversations are not kept as objects here.",
        "Go on from an answer with `previous_response_id`.",
    ),
    Refused("prompt", "It names a template in OpenAI's dashboard.", "Send the text in `input`."),
    Refused("context_management", "Nothing is compacted here.", 'Send `truncation: "auto"`.'),
    Refused("moderation", "Nothing here judges texts."),
    Refused("image", "Pictures are read as they are."),
    Refused("access_programs", "It belongs to accounts at OpenAI."),
    Refused("personality", "Local models have no such control.", "Say it in `instructions`."),
    Refused("top_logprobs", "Probabilities of tokens are not given here.", "Use /v1/chat/completions.", (0,)),
)

HOSTED_TOOLS: Final = "Give the model a function with this purpose in `tools`."
"""The hint for a tool that OpenAI would run itself."""

LOGPROBS: Final = Refused(
    "include: message.output_text.logprobs",
    "Probabilities of tokens are not given here.",
    "Use /v1/chat/completions.",
)
VERBOSITY: Final = Refused(
    "text.verbosity", "Local models have no such control.", "Say it in `instructions`.", ("medium",)
)
CONTEXT: Final = Refused(
    "reasoning.context", "What a model's template does with earlier thoughts is fixed.", "", ("auto", "all_turns")
)
MODE: Final = Refused("reasoning.mode", "Local models have no such control.", "", ("standard",))

REFUSED_INSIDE: Final = (
    LOGPROBS,
    VERBOSITY,
    CONTEXT,
    MODE,
    Refused("tools: of other kinds than function and namespace", "They cannot be run here.", HOSTED_TOOLS),
    Refused("input: item_reference", "Items cannot be named by their id.", "Send the item itself."),
    Refused("input: input_file, and pictures by file_id", "Files are not stored here.", "Send their text."),
    Refused("input: pictures by address", "Addresses are not fetched.", "Send a `data:` URL."),
    Refused("stream with background", "An answer in the background is not streamed.", "Ask for it with its id."),
)
"""What is refused inside of fields that are honoured otherwise."""


def unsupported(field: Refused) -> UnsupportedParameter:
    """The error for it."""
    return UnsupportedParameter(field.name, field.reason, hint=field.hint)
