"""One question, one answer: streamed as it comes, or whole as JSON or by a schema."""

from __future__ import annotations

import json
import sys
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from pathlib import Path

import click
import msgspec

from lmbridge.cli import exits, render
from lmbridge.cli.chat import question
from lmbridge.cli.chat.figures import Stopwatch, figures, speed
from lmbridge.cli.chat.screens import Screen, screen, show
from lmbridge.cli.chat.tooling import Equipment
from lmbridge.cli.connect import THIS_PROCESS
from lmbridge.core.errors import BrokenAnswer
from lmbridge.core.events import (
    Answer,
    AnswerBuilder,
    Finished,
)
from lmbridge.core.hub import AnyHub
from lmbridge.core.json_schema import problems
from lmbridge.core.messages import Message, Part, TextPart
from lmbridge.core.pictures import picture
from lmbridge.core.requests import ChatRequest, Sampling, Schema


class Once:
    """What to ask and how to show the answer."""

    def __init__(
        self,
        asked: str,
        system: str,
        images: tuple[Path, ...],
        schema: Path | None,
        sampling: Sampling,
        tools: Equipment = Equipment(),
        *,
        as_json: bool,
        stats: bool,
    ) -> None:
        # Files are read before anything is loaded: a wrong one is told at once.
        self._pictures = tuple(picture(path) for path in images)
        self._schema = question.schema(schema) if schema else None
        self._asked, self._system, self._sampling = asked, system, sampling
        self._tools, self._as_json, self._stats = tools, as_json, stats
        self._cut_short = False

    async def run(self, hub: AnyHub, model: str) -> None:
        """Ask a model, and print the answer.

        Raises:
            BridgeError: whatever kept the answer from being given, whole and right.
            click.exceptions.Exit: the model used its rounds up before it came to one; that has been told.
        """
        if self._pictures:
            question.refuse_if_blind(await hub.resolve(model))
        whole = self._as_json or self._schema is not None
        watch = Stopwatch()
        if self._tools:
            answer = await self._act(hub, self._request(model), watch, whole=whole)
        else:
            answer = await stream(hub, self._request(model), nullcontext() if whole else screen(), watch)
        if hub.where != THIS_PROCESS and (self._as_json or self._stats):
            # To an OpenAI client the gateway is the one who answers; a person wants to know who it asked.
            asked = await hub.resolve(model)
            answer = msgspec.structs.replace(answer, provider=asked.provider)
        if self._schema is not None:
            value = checked(answer, self._schema)
            if not self._as_json and render.is_terminal(sys.stdout):
                render.json(value)
            elif not self._as_json:
                render.line(answer.text.strip())
        if self._as_json:
            render.json(as_json(answer, watch))
        if self._stats:
            render.note(f"{answer.model} ({answer.provider}): {figures(answer.finish, watch)}", "dim")
        if self._cut_short:
            raise click.exceptions.Exit(exits.BAD_ANSWER)

    async def _act(self, hub: AnyHub, request: ChatRequest, watch: Stopwatch, *, whole: bool) -> Answer:
        """The answer after all calls.

        Raises:
            BrokenAnswer: the model called wrongly again and again, or went round in circles.
        """
        from lmbridge.cli.chat.acting import Acting

        acting = Acting(self._tools, nullcontext if whole else screen, watch)
        # What tools print is no part of an answer that a program reads.
        with redirect_stdout(sys.stderr) if whole else nullcontext():
            result = await acting.run(hub, request)
        model = await hub.resolve(request.model)
        if result.stop in ("invalid_call", "invalid_answer", "loop"):
            raise BrokenAnswer(model.provider, result.detail.rstrip("."))
        self._cut_short = result.stop not in ("answered", "length", "filtered")
        return Answer(
            result.answer or Message("assistant", ""), acting.finish or Finished("stop"), model.provider, model.id
        )

    def _request(self, model: str) -> ChatRequest:
        content: str | tuple[Part, ...] = self._asked
        if self._pictures:
            content = (TextPart(self._asked), *self._pictures)
        before = (Message("system", self._system),) if self._system else ()
        return ChatRequest(
            model,
            (*before, Message("user", content)),
            schema=Schema(self._schema) if self._schema is not None else None,
            sampling=self._sampling,
            task="lmbridge chat",
        )


async def stream(
    hub: AnyHub, request: ChatRequest, where: AbstractContextManager[Screen | None], watch: Stopwatch
) -> Answer:
    """Ask, show the answer on a screen while it comes, and return it whole.

    Raises:
        BrokenAnswer: the events stopped before the answer was finished.
    """
    builder = AnswerBuilder()
    with where as shown:
        async with hub.chat(request) as events:
            async for event in events:
                builder.feed(event)
                watch.feed(event)
                if shown is not None:
                    show(event, shown)
        if not builder.finished:
            raise BrokenAnswer("", "it ended before it was finished")
        answer = builder.close()
        if shown is not None:
            for call in answer.tool_calls:
                shown.say(f"→ {call.name}({call.arguments})")
    return answer


def checked(answer: Answer, schema: dict[str, object]) -> object:
    """The answer as the JSON value it is.

    Raises:
        BrokenAnswer: it is not JSON, or does not follow the schema.
    """
    try:
        value: object = json.loads(answer.text)
    except json.JSONDecodeError as error:
        why = (
            "was cut off, as it was as long as it may be"
            if answer.finish.reason == "length"
            else f"is not JSON ({error})"
        )
        raise BrokenAnswer(answer.provider, f"the answer {why}: {answer.text[:200]!r}") from error
    if wrong := next(problems(value, schema), ""):
        raise BrokenAnswer(answer.provider, f"the answer does not follow the schema: {wrong}")
    return value


def as_json(answer: Answer, watch: Stopwatch) -> dict[str, object]:
    """What `--json` prints: the answer and what is known of it."""
    found: dict[str, object] = {"answer": answer.text, "model": answer.model, "provider": answer.provider}
    if answer.message.reasoning:
        found["reasoning"] = answer.message.reasoning
    if answer.tool_calls:
        found["tool_calls"] = [
            {"id": call.id, "name": call.name, "arguments": call.arguments} for call in answer.tool_calls
        ]
    return found | {
        "finish_reason": answer.finish.reason,
        "usage": msgspec.to_builtins(answer.finish.usage),
        "timings": {
            "first_word_s": watch.first_word_s,
            "total_s": watch.total_s,
            "tokens_per_s": speed(answer.finish),
        },
    }
