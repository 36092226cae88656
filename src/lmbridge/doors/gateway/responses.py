"""OpenAI's newer language, `/v1/responses`: answers that are stored, and conversations that go on from them."""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio import CancelledError, Task
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from lmbridge.core.errors import BridgeError, InvalidRequest, ModelBusy, UnsupportedParameter
from lmbridge.core.events import Answer, Finished
from lmbridge.core.messages import Message
from lmbridge.core.requests import ChatRequest
from lmbridge.core.turns import Facts
from lmbridge.doors.gateway.asgi import JSON, NOSNIFF, Request, Whose
from lmbridge.doors.gateway.heartbeat import comment
from lmbridge.doors.gateway.routes import Paths, Route
from lmbridge.doors.gateway.settings import GatewaySettings
from lmbridge.doors.gateway.translate import Ask, Keep, Translator
from lmbridge.hub.background import Background
from lmbridge.hub.hub import Hub
from lmbridge.hub.stored import History, Stored, Turn, new_id
from lmbridge.wire.openai.responding.encoder import ResponseEncoder
from lmbridge.wire.openai.responding.items import input_items
from lmbridge.wire.openai.responding.requests import (
    CountBody,
    Question,
    ResponseBody,
    decode_count_body,
    decode_response_body,
)
from lmbridge.wire.openai.responding.response import ResponseObject, begun
from lmbridge.wire.openai.responding.tools import Toolbox

MOST_AT_WORK: Final = 64
"""Answers that may be made in the background at the same time."""
MOST_ENDED: Final = 256
"""Answers in the background that failed or were cancelled, and are still told of."""
MOST_ITEMS: Final = 100
"""Items of a list."""

_Fields: TypeAlias = dict[str, object]

log = logging.getLogger("lmbridge.gateway")


class ResponseEvent(Struct, frozen=True):
    """An event of a streamed response; what else it holds depends on its type."""

    type: str
    sequence_number: int


class DeletedResponse(Struct, frozen=True):
    """That a response was deleted."""

    id: str
    object: Literal["response"] = "response"
    deleted: bool = True


class InputItems(Struct, frozen=True, kw_only=True):
    """A piece of a list of items."""

    object: Literal["list"] = "list"
    data: list[_Fields]
    first_id: str | None
    last_id: str | None
    has_more: bool


class InputTokens(Struct, frozen=True, kw_only=True):
    """How many tokens a prompt has."""

    object: Literal["response.input_tokens"] = "response.input_tokens"
    input_tokens: int


class _Job(Struct):
    """An answer that is made in the background.

    Attributes:
        caller: the name of the key that it is made with. body: the response object as it is now.
        task: None when it has ended without an answer.
    """

    caller: str
    body: bytes
    messages: tuple[Message, ...]
    encoder: ResponseEncoder
    task: Task[None] | None = None


class _Stored(Struct):
    background: bool = False


class RetrieveAsk(Struct, frozen=True):
    """How a stored answer is wanted, in the address."""

    stream: Annotated[bool, Meta(description="Must be false: an answer is streamed once.")] = False
    starting_after: Annotated[int | None, Meta(description="Refused: it is for streams.")] = None


class ItemsAsk(Struct, frozen=True):
    """Which piece of a list, in the address, as OpenAI cuts lists."""

    order: Annotated[Literal["asc", "desc"], Meta(description="Oldest or newest first.")] = "desc"
    after: Annotated[str | None, Meta(description="Id of the item before the first one.")] = None
    limit: Annotated[int, Meta(ge=1, le=MOST_ITEMS, description="Most items of the piece.")] = 20


_decode_stored: Final = msgspec.json.Decoder(_Stored).decode


class ResponsesRoutes:
    """The routes.

    Args:
        stored: the turns of conversations; shared with LM Studio's chat, whose ids mean the same.
        whose: whose turns a request may use.
    """

    def __init__(self, hub: Hub, settings: GatewaySettings, stored: Stored, whose: Whose) -> None:
        self._hub, self._settings, self._stored, self._whose = hub, settings, stored, whose
        self._translator = Translator(hub, settings.heartbeat_s)
        self._background = Background()
        self._jobs: dict[str, _Job] = {}

    def routes(self) -> Paths:
        """What is served here."""
        return {
            "/v1/responses": {
                "POST": Route(
                    self.create,
                    "Answer, whole, streamed or in the background, and store the answer.",
                    asks=ResponseBody,
                    answers=ResponseObject,
                    events=(ResponseEvent,),
                )
            },
            "/v1/responses/input_tokens": {
                "POST": Route(self.count, "Count the tokens of a prompt.", asks=CountBody, answers=InputTokens)
            },
            "/v1/responses/{id}": {
                "GET": Route(self.retrieve, "A stored answer.", answers=ResponseObject, query=RetrieveAsk),
                "DELETE": Route(self.delete, "Delete a stored answer.", answers=DeletedResponse),
            },
            "/v1/responses/{id}/cancel": {
                "POST": Route(self.cancel, "Stop an answer in the background.", answers=ResponseObject)
            },
            "/v1/responses/{id}/input_items": {
                "GET": Route(self.items, "What a stored answer was asked.", answers=InputItems, query=ItemsAsk)
            },
        }

    async def aclose(self) -> None:
        """Stop what is being made in the background."""
        await self._background.aclose()

    # ---- an answer

    async def create(self, request: Request) -> None:
        """`POST /v1/responses`"""
        body, question = decode_response_body(await request.body(self._settings.max_body))
        keeps = self._keeps(body)
        before = await self._before(request, body.previous_response_id)
        chat = question.after(before.messages, before.system)
        if keeps:
            await self._stored.check()
        id, created = new_id(), int(time.time())
        quirks = self._settings.lmstudio_quirks
        response = begun(body, question, id=id, created=created, stored=keeps, quirks=quirks)
        encoder = ResponseEncoder(response, comment, question.tools.names, quirks=quirks)
        ask = Ask(chat=chat, route="responses", stream=body.streamed, options=body.options)
        keep = self._keeping(response, question, encoder, request.caller) if keeps else None
        if body.background and keep is not None:
            job = _Job(request.caller, encoder.unfinished("in_progress"), question.messages, encoder)
            await self._begin(request, ask, encoder, keep, job, id)
            return
        request.family = replace(request.family, event=encoder.fail)
        await self._translator.answer(request, ask, encoder, keep)

    def _keeps(self, body: ResponseBody) -> bool:
        """Whether the answer is to be stored.

        Raises:
            UnsupportedParameter: the request insists on it, and nothing is stored here.
        """
        if body.stored and not self._stored.enabled and (body.store or body.background):
            raise UnsupportedParameter(
                "background" if body.background else "store",
                "Answers are not stored here (`gateway.store_days` is 0).",
            )
        return body.stored and self._stored.enabled

    async def _before(self, request: Request, id: str | None) -> History:
        if id is None:
            return History()
        whose = self._whose(request)
        if self._job(id, whose) is not None:
            raise InvalidRequest(
                f"The response {id!r} has no answer to go on from, or not yet.",
                hint=f"GET /v1/responses/{id} tells how it stands.",
                param="previous_response_id",
            )
        return await self._stored.history(id, whose)

    def _keeping(
        self, response: ResponseObject, question: Question, encoder: ResponseEncoder, caller: str
    ) -> Keep:
        async def keep(answer: Answer, facts: Facts) -> None:
            await self._stored.put(
                Turn(
                    id=response.id,
                    previous=response.previous_response_id,
                    model=answer.model,
                    provider=facts.model.provider,
                    created=response.created_at,
                    caller=caller,
                    messages=question.messages,
                    answer=answer.message,
                    body=encoder.whole(answer, facts),
                )
            )

        return keep

    async def count(self, request: Request) -> None:
        """`POST /v1/responses/input_tokens`"""
        body, question = decode_count_body(await request.body(self._settings.max_body))
        before = await self._before(request, body.previous_response_id)
        chat = question.after(before.messages, before.system)
        tokens = await self._hub.count(chat)
        if tokens is None:
            raise InvalidRequest(
                f"Nobody here can count the tokens of a prompt for {chat.model!r}.",
                hint="Use a model of the embedded engine.",
                param="model",
            )
        await request.reply_json(InputTokens(input_tokens=tokens))

    # ---- in the background

    async def _begin(
        self, request: Request, ask: Ask, encoder: ResponseEncoder, keep: Keep, job: _Job, id: str
    ) -> None:
        """Answer that it has begun, and begin."""
        at_work = sum(each.task is not None for each in self._jobs.values())
        if at_work >= MOST_AT_WORK:
            raise ModelBusy(ask.chat.model, at_work)
        self._jobs[id] = job
        job.task = self._background.start(self._work(request, ask, keep, job, id))
        await request.reply(200, (JSON, NOSNIFF), encoder.unfinished("queued"))

    async def _work(self, request: Request, ask: Ask, keep: Keep, job: _Job, id: str) -> None:
        try:
            await keep(*await self._translator.collect(request, ask))
        except CancelledError:
            self._end(job, job.encoder.unfinished("cancelled"))
            raise
        except BridgeError as error:
            self._end(job, job.encoder.unfinished("failed", error))
        except Exception as error:
            log.exception("A fault of lmbridge itself while answering in the background")
            fault = BridgeError(f"A fault of lmbridge itself ({type(error).__name__}).")
            self._end(job, job.encoder.unfinished("failed", fault))
        else:
            self._jobs.pop(id, None)  # from now on it is in the store

    async def _stop(self, job: _Job) -> None:
        """Stop it, if it is still at work, and the engine with it."""
        task = job.task
        if task is None:
            return
        task.cancel()
        await asyncio.wait([task])
        if task.cancelled() and job.task is not None:  # before it had begun
            self._end(job, job.encoder.unfinished("cancelled"))

    def _end(self, job: _Job, body: bytes) -> None:
        """It ended without an answer; the oldest of these are forgotten."""
        job.body, job.task = body, None
        ended = [id for id, each in self._jobs.items() if each.task is None]
        for id in ended[:-MOST_ENDED]:
            del self._jobs[id]

    # ---- stored answers

    async def retrieve(self, request: Request) -> None:
        """`GET /v1/responses/{id}`"""
        ask = request.asked(RetrieveAsk)
        if ask.stream or ask.starting_after is not None:
            raise UnsupportedParameter("stream", "Answers are streamed while they are made, and not again.")
        await request.reply(200, (JSON, NOSNIFF), await self._body(request.params["id"], self._whose(request)))

    def _job(self, id: str, whose: str | None) -> _Job | None:
        """An answer in the background that *whose* may use, as `Stored` has it of those that are stored."""
        job = self._jobs.get(id)
        return job if job is not None and (whose is None or job.caller in ("", whose)) else None

    async def _body(self, id: str, whose: str | None) -> bytes:
        job = self._job(id, whose)
        if job is not None:
            return job.body
        turn = await self._stored.get(id, whose)
        return turn.body or _in_this_language(turn)

    async def delete(self, request: Request) -> None:
        """`DELETE /v1/responses/{id}`"""
        id, whose = request.params["id"], self._whose(request)
        job = self._job(id, whose)
        if job is not None:
            await self._stop(job)
        if job is None or self._jobs.pop(id, None) is None:  # it may have ended well meanwhile
            await self._stored.delete(id, whose)
        await request.reply_json(DeletedResponse(id))

    async def cancel(self, request: Request) -> None:
        """`POST /v1/responses/{id}/cancel`"""
        id, whose = request.params["id"], self._whose(request)
        job = self._job(id, whose)
        if job is not None:
            await self._stop(job)
        body = await self._body(id, whose)
        if not _decode_stored(body).background:
            raise InvalidRequest(
                "Only an answer in the background can be cancelled.",
                hint="Close the connection of any other one: that stops it.",
                param="response_id",
            )
        await request.reply(200, (JSON, NOSNIFF), body)

    async def items(self, request: Request) -> None:
        """`GET /v1/responses/{id}/input_items`"""
        ask, id, whose = request.asked(ItemsAsk), request.params["id"], self._whose(request)
        job = self._job(id, whose)
        messages = (await self._stored.get(id, whose)).messages if job is None else job.messages
        await request.reply_json(_listed(input_items(id, messages), ask))


def _in_this_language(turn: Turn) -> bytes:
    """What was answered in another API."""
    body = ResponseBody(model=turn.model, previous_response_id=turn.previous)
    question = Question(turn.messages, None, Toolbox(), ChatRequest(turn.model, turn.messages))
    created = int(turn.created)
    response = begun(body, question, id=turn.id, created=created, stored=True)
    answer = Answer(turn.answer, Finished("stop"), turn.provider, turn.model)
    return ResponseEncoder(response, comment, clock=lambda: created).whole(answer)


def _listed(items: list[_Fields], ask: ItemsAsk) -> InputItems:
    """A piece of the list.

    Raises:
        InvalidRequest: it begins after an item that is not there.
    """
    if ask.order == "desc":
        items = items[::-1]
    if ask.after is not None:
        places = [place for place, item in enumerate(items) if item["id"] == ask.after]
        if not places:
            raise InvalidRequest(f"There is no item {ask.after[:100]!r}.", param="after")
        items = items[places[0] + 1 :]
    shown = items[: ask.limit]
    first, last = (str(shown[0]["id"]), str(shown[-1]["id"])) if shown else (None, None)
    return InputItems(data=shown, first_id=first, last_id=last, has_more=len(items) > len(shown))
