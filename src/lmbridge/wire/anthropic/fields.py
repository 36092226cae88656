"""What becomes of each field of an Anthropic request; see `lmbridge.wire.fields`.

The names are those of Anthropic's API reference and of its Python package (anthropic 2.14), beta fields included.
"""

from __future__ import annotations

from typing import Final

from lmbridge.wire.fields import Ignored, Refused, Translated

_ACCOUNT: Final = "It belongs to accounts and billing, which do not exist here."

IGNORED: Final = (
    Ignored("metadata", "It names the caller's customer; nothing here depends on it."),
    Ignored("service_tier", _ACCOUNT),
    Ignored("billing_policy", _ACCOUNT),
    Ignored("fallback_credit_token", _ACCOUNT),
    Ignored(
        "x-anthropic-billing-header",
        "Claude Code's first block of `system`, for Anthropic's accounts alone. As it differs in every request, "
        "the engine would have to read the whole prompt anew each time.",
    ),
    Ignored("speed", "The engine is always as fast as it can be."),
    Ignored(
        "diagnostics", "It asks why a cache in Anthropic's data centres was missed; the engine keeps its own."
    ),
    Ignored(
        "cache_control", "It marks what Anthropic is to cache; the engine keeps its own cache of every prompt."
    ),
    Ignored(
        "context_management",
        "It makes room by leaving out old parts; here a prompt that does not fit is refused with both numbers.",
    ),
    Ignored(
        "anthropic-beta", "The header, `betas` in the package: what it switches on is on, or is refused by name."
    ),
    Ignored("anthropic-version", "The header: there is one version."),
    Ignored("tools[].cache_control", "As everywhere else."),
    Ignored("tools[].defer_loading", "Every tool is shown to the model at once."),
    Ignored("tools[].eager_input_streaming", "Input is always streamed as it is made."),
    Ignored("citations", "Nothing here cites; in blocks that are sent back the text counts."),
)
"""Accepted because Anthropic's clients, Claude Code first, send these without being asked."""

TRANSLATED: Final = (
    Translated("system", "The first message; blocks become one text, an empty line between them."),
    Translated(
        "messages",
        "Turns of the same role in a row become one. Results of tools become messages of their own, before the "
        "words of their turn; pictures in results follow them, as everywhere only users can show pictures. Blocks "
        "of text are joined with an empty line.",
    ),
    Translated(
        "messages[-1]",
        "A last turn of the assistant is continued where the engine can (llama.cpp, vLLM), elsewhere refused. The "
        "answer holds what is new.",
    ),
    Translated(
        "role: system",
        "Accepted inside `messages`: the first ones join `system`, later ones become words of the user's in their "
        "place, between `<system-reminder>` and `</system-reminder>`, as most templates know instructions at the "
        "beginning only.",
    ),
    Translated(
        "thinking blocks", "What the model thought in earlier turns; signatures are neither made nor checked."
    ),
    Translated("redacted_thinking blocks", "Left out: only Anthropic can read them."),
    Translated(
        "document blocks", "Plain text and blocks of text become text, the title first; other sources are refused."
    ),
    Translated("search_result blocks", "They become text, title and source first."),
    Translated("tool_reference blocks", "They become text; every tool is shown to the model anyway."),
    Translated("tool_result.is_error", "The result begins with `Error:`."),
    Translated(
        "stop_sequences", "`stop`. Engines do not tell which text ended an answer, so its reason is `end_turn`."
    ),
    Translated("tools[].input_schema", "The schema of the tool's parameters."),
    Translated("tools[].input_examples", "They are added to its description."),
    Translated("tool_choice", "`any` becomes `required`, `tool` the named one; enforced where the engine can."),
    Translated("tool_choice.disable_parallel_tool_use", "`parallel_tool_calls`, the other way round."),
    Translated(
        "thinking",
        "An effort: `disabled` is `none`, a budget up to 4,096 tokens `low`, up to 16,384 `medium`, above `high`; "
        "`adaptive` and `between_tools` leave it to the model. With `disabled`, and with `display: omitted`, no "
        "thinking is shown.",
    ),
    Translated("output_config.effort", "The effort, and stronger than a budget; `xhigh` and `max` are `high`."),
    Translated("output_config.format", "The answer follows the schema, by the engine's grammar where it has one."),
    Translated("output_format", "The older name of `output_config.format`."),
)
"""Honoured in other words."""

REFUSED: Final = (
    Refused("container", "No code is run here.", "Give the model a tool of your own in `tools`."),
    Refused("mcp_servers", "No MCP servers are asked here.", "Connect them in your program and send their tools."),
    Refused(
        "fallbacks", "A model is never replaced by another one.", "Ask again with another `model`.", ("default",)
    ),
    Refused("inference_geo", "Nobody here can promise in which region a provider computes."),
    # Anthropic's package does so by itself: see `errors.REFUSALS`.
    Refused("thread", "Conversations are not kept on this route.", "Send all of the messages."),
    Refused("compaction", "Nothing here summarises conversations.", "Ask for a summary in a message."),
)

FOREIGN_TOOL: Final = Refused(
    "tools: of Anthropic's own",
    "Anthropic runs such tools, or describes them itself; nothing here does.",
    "Describe one of your own: `name`, `description` and `input_schema`.",
)
CALLERS: Final = Refused(
    "tools[].allowed_callers",
    "Tools are called by the model itself here, as no code is run.",
    "Leave it out, or add `direct`.",
)
IMAGE_ADDRESS: Final = Refused(
    "image sources: `url`",
    "It must be a `data:image/…;base64,…` URL; addresses are not fetched.",
    "Send the picture itself: a source of type `base64`.",
)
IMAGE_FILE: Final = Refused(
    "image sources: `file`", "Files are not kept here.", "Send the picture itself: a source of type `base64`."
)
DOCUMENT: Final = Refused(
    "document sources: `base64`, `url`, `file`",
    "PDFs, addresses and files are not read here.",
    "Send the text of the document: a source of type `text`.",
)

REFUSED_INSIDE: Final = (FOREIGN_TOOL, CALLERS, IMAGE_ADDRESS, IMAGE_FILE, DOCUMENT)
"""What is refused inside of fields that are honoured otherwise."""
