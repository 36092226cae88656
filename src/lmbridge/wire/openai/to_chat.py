"""A chat's body wholly in core's words: for endpoints that speak another language than OpenAI's.

What core has no word for goes along under its own name (`ChatRequest.extra`), so that the provider can honour it
or refuse it by that name.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import replace

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.core.requests import ChatRequest, EmbedRequest, Sampling
from lmbridge.wire.openai.asked import asked
from lmbridge.wire.openai.fields import CHAT_REFUSED, IGNORED, OURS
from lmbridge.wire.openai.requests import ChatBody, EmbeddingBody

_SAMPLED: Final = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "repeat_penalty",
)
_SAID: Final = frozenset(
    {
        *_SAMPLED,
        *OURS,
        *(field.name for field in IGNORED),
        *(field.name for field in CHAT_REFUSED),  # checked already: what is left of them asks for nothing
        *("model", "messages", "stream", "stream_options", "n", "stop", "seed", "logit_bias", "modalities"),
        *("max_tokens", "max_completion_tokens", "n_predict", "logprobs", "top_logprobs", "reasoning_effort"),
        *("tools", "tool_choice", "parallel_tool_calls", "response_format"),
    }
)
"""Fields that are translated here or by `asked`, or that ask for nothing."""


def to_chat(body: ChatBody) -> ChatRequest:
    """The request in core's words.

    Raises:
        UnsupportedParameter: several choices.
    """
    if (body.n or 1) > 1:
        raise UnsupportedParameter("n", "This provider gives one answer.", hint="Ask several times.")
    chat = asked(body)
    fields = msgspec.structs.asdict(body)
    extra = {name: value for name, value in fields.items() if value is not None and name not in _SAID}
    strict = [tool.function.strict is True for tool in body.tools or ()]
    return replace(
        chat,
        tools=tuple(replace(tool, strict=strict[number]) for number, tool in enumerate(chat.tools)),
        sampling=_sampling(body, chat.sampling.max_tokens),
        extra=extra,
    )


def _sampling(body: ChatBody, limit: int | None) -> Sampling:
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    return Sampling(
        **{name: getattr(body, name) for name in _SAMPLED},
        max_tokens=limit,
        stop=stop,
        seed=body.seed if body.seeded else None,
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        logit_bias=_bias(body),
    )


def _bias(body: ChatBody) -> dict[str, float] | None:
    """Biases in OpenAI's form; the pairs of llama.cpp name texts, for which core has no word."""
    given = body.logit_bias
    if not given:
        return None
    if not isinstance(given, dict):
        raise UnsupportedParameter("logit_bias", "This provider takes no pairs.", hint="Send an object.")
    return {token: float(bias) for token, bias in given.items()}


def to_embed(body: EmbeddingBody) -> EmbedRequest:
    """A request for vectors in core's words.

    Raises:
        InvalidRequest: tokens instead of texts. UnsupportedParameter: a way of llama.cpp's to scale vectors.
    """
    if body.embd_normalize is not None:
        raise UnsupportedParameter("embd_normalize", "This provider scales vectors in its own way.")
    given = [body.input] if isinstance(body.input, str) else body.input
    texts = tuple(text for text in given if isinstance(text, str))
    if len(texts) < len(given):
        raise InvalidRequest("`input`: this provider takes texts, and no tokens.", param="input")
    return EmbedRequest(body.model, texts, body.dimensions)
