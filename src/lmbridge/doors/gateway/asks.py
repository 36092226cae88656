"""Checked bodies of OpenAI requests as what the relay is asked."""

from __future__ import annotations

from typing import Final

from lmbridge.core.models import LoadOptions
from lmbridge.doors.gateway.relay import Ask
from lmbridge.wire.openai.asked import asked
from lmbridge.wire.openai.fields import OURS
from lmbridge.wire.openai.requests import ChatBody, CompletionBody, EmbeddingBody

_NO_OPTIONS: Final = LoadOptions()


def ask_chat(raw: bytes, body: ChatBody, *, truncates: bool) -> Ask:
    """A chat.

    Args:
        truncates: conversations that do not fit are trimmed although nobody asked for that.
    """
    each = body.n or 1
    calls = bool(body.tools) and body.tool_choice != "none"
    return Ask(
        raw,
        body.model,
        body.streamed,
        body.seeded,
        each,
        each,
        body.wants_usage,
        # In core's words only where something depends on it: most chats are none of our business.
        chat=asked(body) if calls or truncates or body.truncation == "auto" else None,
        in_form=calls and each == 1 and not body.logprobs,
        apart=body.reasoning_format != "none",
        ours=_ours(body),
        options=_options(body),
    )


def ask_completion(raw: bytes, body: CompletionBody) -> Ask:
    """A text completion."""
    each, prompt = body.n or 1, body.prompt
    prompts = len(prompt) if isinstance(prompt, list) and not isinstance(prompt[0], int) else 1
    return Ask(
        raw,
        body.model,
        body.streamed,
        body.seeded,
        each,
        each * prompts,
        body.wants_usage,
        ours=_ours(body),
        options=_options(body),
    )


def ask_embedding(raw: bytes, body: EmbeddingBody) -> Ask:
    """Vectors."""
    return Ask(raw, body.model, base64=body.encoding_format == "base64", ours=_ours(body), options=_options(body))


def _ours(body: ChatBody | CompletionBody | EmbeddingBody) -> tuple[str, ...]:
    """The fields of a body that are for the bridge alone."""
    if body.ttl is None and getattr(body, "truncation", None) is None:
        return ()
    return OURS


def _options(body: ChatBody | CompletionBody | EmbeddingBody) -> LoadOptions:
    """How the model is loaded, if this request does that."""
    return _NO_OPTIONS if body.ttl is None else LoadOptions(ttl=body.ttl)
