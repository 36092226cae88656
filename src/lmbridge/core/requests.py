"""What is asked: chat, text completion and embeddings, in no particular protocol's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from lmbridge.core.messages import Message, Tool

ToolChoice: TypeAlias = Literal["auto", "none", "required"]


class NamedTool(Struct, frozen=True, tag="named"):
    """A tool choice that insists on one tool."""

    name: str


class Schema(Struct, frozen=True):
    """The shape an answer must have.

    Attributes:
        schema: a JSON schema; None asks for any JSON object.
        name: a label some protocols require.
        strict: follow the schema exactly (the engine's grammar always does).
    """

    schema: dict[str, object] | None = None
    name: str = "answer"
    strict: bool = True


class Sampling(Struct, frozen=True, omit_defaults=True):
    """How the next words are chosen. None everywhere means: as the provider does by default.

    Attributes:
        temperature: 0 is greedy; 0 to 2.
        top_p, min_p: probability mass and floor, 0 to 1. top_k: candidates kept, 0 keeps all.
        max_tokens: most tokens of the answer.
        stop: texts that end the answer and are not part of it.
        seed: equal seeds give equal answers; such a request has the model for itself.
        frequency_penalty, presence_penalty: -2 to 2. repeat_penalty: 1 is none.
        logprobs: how many alternatives to report for each token, 0 for the chosen ones only.
        logit_bias: token id to -100..100.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repeat_penalty: float | None = None
    logprobs: int | None = None
    logit_bias: dict[str, float] | None = None


class ChatRequest(Struct, frozen=True):
    """A conversation that wants its next turn.

    Attributes:
        model: name as `lmbridge ls` shows it; "" takes the default model.
        messages: the conversation; a plain string is one user turn.
        tool_choice: may the model call tools, must it, or must it call this one.
        schema: the shape the answer must have.
        extra: fields this vocabulary has no word for; carried to the provider as they are.
        progress: also tell how far the prompt has been read (`PromptProgress`), where the provider can.
        truncate: trim the oldest turns if the prompt does not fit the loaded context, instead of refusing it.
        task: what it is for, in `lmbridge usage`; a short name of your own. The model does not see it.
    """

    model: str
    messages: str | tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | NamedTool = "auto"
    parallel_tool_calls: bool | None = None
    schema: Schema | None = None
    sampling: Sampling = Sampling()
    reasoning_effort: str | None = None
    extra: dict[str, object] = {}
    progress: bool = False
    truncate: bool = False
    task: str = ""

    @property
    def turns(self) -> tuple[Message, ...]:
        """The messages, a plain string made one user turn."""
        return (Message("user", self.messages),) if isinstance(self.messages, str) else self.messages

    def with_messages(self, messages: Sequence[Message]) -> ChatRequest:
        """The same request over another conversation."""
        return msgspec.structs.replace(self, messages=tuple(messages))


class EmbedRequest(Struct, frozen=True):
    """Texts that want vectors.

    Attributes:
        model: as in `ChatRequest`; "" takes the default embedding model.
        inputs: one vector is returned for each, in this order.
        dimensions: keep only so many leading values, where the provider can.
        task: as in `ChatRequest`.
    """

    model: str
    inputs: tuple[str, ...]
    dimensions: int | None = None
    task: str = ""
