"""`/api/v1/chat`: a chat that remembers, loads what is not loaded, and uses tools of the server's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.fakes.lmstudio import refusals
from tests.fakes.lmstudio.chat import is_picture, overflow
from tests.fakes.lmstudio.http import Frame, Out, Request, Stream, Whole
from tests.fakes.lmstudio.models import Body, FakeModel
from tests.fakes.lmstudio.native import check
from tests.fakes.lmstudio.runtime import FakeInstance
from tests.fakes.lmstudio.words import Ask, Said, response_id

if TYPE_CHECKING:
    from tests.fakes.lmstudio.server import FakeLMStudio

CHAT_KEYS: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "input": (str, list),
    "system_prompt": str,
    "integrations": list,
    "stream": bool,
    "temperature": (int, float),
    "top_p": (int, float),
    "min_p": (int, float),
    "top_k": int,
    "repeat_penalty": (int, float),
    "max_output_tokens": int,
    "reasoning": str,
    "context_length": int,
    "store": bool,
    "previous_response_id": str,
}


async def chat(fake: FakeLMStudio, request: Request) -> Whole | Stream:
    """`POST /api/v1/chat`: remembers, loads what is not loaded, and tells how far it is with both."""
    body = check(request.body, CHAT_KEYS, ["model", "input"])
    turn = _Turn(fake, request, body)
    found = await fake.runtime.strictly(body["model"])
    if isinstance(found, FakeInstance):
        turn.check(found)
    if body.get("stream") and request.fault != "unstreamed":
        return Stream(lambda out: turn.stream(found, out), turn.errors)
    return Whole(200, await turn.whole(found))


class _Turn:
    """One exchange of a remembered conversation."""

    def __init__(self, fake: FakeLMStudio, request: Request, body: Body) -> None:
        self.fake, self.body, self.fault = fake, body, request.fault
        self.id = response_id()
        self.load_s: float | None = None
        self.model = ""
        self.earlier = self._earlier()
        self.ask = self._ask()
        self.tools = self._tools()

    def _earlier(self) -> list[str]:
        """What was said before."""
        id = self.body.get("previous_response_id")
        if id is None:
            return []
        if id not in self.fake.stored:
            message = f"No response of id '{id}' is known. Responses older than 30 days are deleted."
            raise refusals.native(400, "invalid_request", message, "invalid_value", "previous_response_id")
        return self.fake.stored[id]

    def _ask(self) -> Ask:
        given = self.body["input"]
        texts, images = ([given], 0) if isinstance(given, str) else self._parts(given)
        text = " ".join(texts)
        words = len(" ".join([*self.earlier, self.body.get("system_prompt", ""), text]).split())
        ask = Ask(text, words + 256 * images, images=images, limit=self.body.get("max_output_tokens"))
        ask.mute = self.fault == "no-content"
        return ask

    def _parts(self, parts: list[Any]) -> tuple[list[str], int]:
        texts, images = [], 0
        for part in parts:
            match part:
                case {"type": "message" | "text", "content": str(text)}:
                    texts.append(text)
                case {"type": "image", "data_url": str(url)} if is_picture(url):
                    images += 1
                case _:
                    raise refusals.native(400, "invalid_request", "Invalid input", "invalid_union", "input")
        return texts, images

    def _tools(self) -> list[Body]:
        """What the server's own tools did before the answer: one call of each that may be used.

        Words that begin with `bad tool` are taken for a call of something else.
        """
        items: list[Body] = []
        for each in self.body.get("integrations") or []:
            fields = {"type": "plugin", "id": each} if isinstance(each, str) else each
            if not self.fake.plugins:
                name = fields.get("id", fields.get("server_label", ""))
                message = f"Permission denied to use plugin '{name}'. Change the permissions of the API token."
                raise refusals.native(403, "invalid_request", message, None, "integrations")
            provider = {"type": "plugin", "plugin_id": fields.get("id")}
            if fields["type"] == "ephemeral_mcp":
                provider = {"type": "ephemeral_mcp", "server_label": fields["server_label"]}
            items.append(self._tool(provider))
        return items

    def _tool(self, provider: Body) -> Body:
        given = {"text": self.ask.text}
        if self.ask.text.startswith("bad tool"):
            about = {
                "type": "invalid_name",
                "tool_name": "no_such_tool",
                "arguments": given,
                "provider_info": provider,
            }
            return {"type": "invalid_tool_call", "reason": "Cannot find a tool of that name.", "metadata": about}
        told = json.dumps([{"type": "text", "text": f"echo {self.ask.text}"}], ensure_ascii=False)
        return {"type": "tool_call", "tool": "echo", "arguments": given, "output": told, "provider_info": provider}

    def check(self, instance: FakeInstance) -> None:
        """Whether the model can answer that at all.

        Raises:
            Refusal: it cannot.
        """
        wanted = self.body.get("reasoning")
        if wanted is not None and wanted not in instance.model.reasoning:
            known = ", ".join(instance.model.reasoning) or "none"
            message = f"Invalid value for 'reasoning': '{wanted}'. Supported by this model: {known}"
            raise refusals.native(400, "invalid_request", message, "invalid_value", "reasoning")
        if (message := overflow(self.ask, instance)) is not None:
            raise refusals.native(500, "internal_error", message, "unknown")

    def errors(self, message: str, plain: bool) -> list[Frame]:
        """An error in the midst of the stream, and its end."""
        error: Any = message if plain else {"type": "internal_error", "message": message, "code": "unknown"}
        nothing = Said([], [], [], "stop", 0)
        end = {"type": "chat.end", "result": self._result(nothing)}
        return [Frame({"type": "error", "error": error}, event="error"), Frame(end, event="chat.end")]

    async def _ready(self, found: FakeInstance | FakeModel, out: Out | None = None) -> FakeInstance:
        """The instance, loaded now if there was none."""
        if isinstance(found, FakeInstance):
            return found

        async def told(part: float) -> None:
            if out is not None:
                fields = {"model_instance_id": found.key, "progress": part}
                await out.frame(frame("model_load.progress", **fields))

        if out is not None:
            await out.frame(frame("model_load.start", model_instance_id=found.key))
        options = {name: self.body[name] for name in ("context_length",) if name in self.body}
        instance = await self.fake.runtime.load_just_in_time(found, None, options, told)
        self.load_s = 0.42
        if out is not None:
            await out.frame(frame("model_load.end", model_instance_id=instance.id, load_time_seconds=0.42))
        self.check(instance)
        return instance

    def _think(self, instance: FakeInstance) -> None:
        wanted = self.body.get("reasoning", instance.model.reasoning_default)
        self.ask.think = bool(instance.model.reasoning) and wanted != "off"

    async def whole(self, found: FakeInstance | FakeModel) -> Body:
        """The answer in one object."""
        instance = await self._ready(found)
        self.model = instance.id
        self._think(instance)
        said = self.fake.answer(self.ask, instance)
        async with instance.place():
            await self.fake.think_over(said)
        return self._result(said)

    async def stream(self, found: FakeInstance | FakeModel, out: Out) -> None:
        """The answer in events."""
        self.model = found.id if isinstance(found, FakeInstance) else found.key
        await out.frame(frame("chat.start", model_instance_id=self.model))
        try:
            instance = await self._ready(found, out)
        except refusals.Refusal as refusal:
            nothing = Said([], [], [], "stop", 0)
            await out.frame(frame("error", error=refusal.body["error"]))
            await out.frame(Frame({"type": "chat.end", "result": self._result(nothing)}, "chat.end", final=True))
            return
        self._think(instance)
        said = self.fake.answer(self.ask, instance)
        async with instance.place():
            await self._prompt(out)
            await self._words(out, "reasoning", said.thoughts)
            for item in self.tools:
                await self._call(out, item)
                await self._prompt(out)
            await self._words(out, "message", said.words)
            await out.frame(Frame({"type": "chat.end", "result": self._result(said)}, "chat.end", final=True))

    async def _prompt(self, out: Out) -> None:
        await out.frame(frame("prompt_processing.start"))
        for part in (0, 0.5, 1):
            await out.frame(frame("prompt_processing.progress", progress=part))
        await out.frame(frame("prompt_processing.end"))

    async def _words(self, out: Out, kind: str, words: list[str]) -> None:
        if words:
            await out.frame(frame(f"{kind}.start"))
            for word in words:
                await out.frame(Frame({"type": f"{kind}.delta", "content": word}, f"{kind}.delta", said=True))
            await out.frame(frame(f"{kind}.end"))

    async def _call(self, out: Out, item: Body) -> None:
        about = item.get("metadata", item)
        given = {"arguments": about["arguments"]}
        name = {"tool": item.get("tool") or about["tool_name"], "provider_info": about["provider_info"]}
        await out.frame(frame("tool_call.start", **name))
        await out.frame(frame("tool_call.arguments", **given, **name))
        if item["type"] == "tool_call":
            await out.frame(frame("tool_call.success", **given, output=item["output"], **name))
        else:
            await out.frame(frame("tool_call.failure", reason=item["reason"], metadata=item["metadata"]))

    def _result(self, said: Said) -> Body:
        parts = [("reasoning", said.thought), ("message", said.text)]
        output: list[Body] = [{"type": kind, "content": text} for kind, text in parts if text]
        output[bool(said.thoughts) : 0] = self.tools
        stats: Body = {"input_tokens": said.prompt_tokens, "total_output_tokens": said.tokens}
        stats |= {"reasoning_output_tokens": len(said.thoughts), "tokens_per_second": 51.4}
        stats["time_to_first_token_seconds"] = 0.11
        if self.load_s is not None:
            stats["model_load_time_seconds"] = self.load_s
        result: Body = {"model_instance_id": self.model, "output": output, "stats": stats}
        if self.body.get("store", True):
            self.fake.stored[self.id] = [*self.earlier, self.ask.text, said.text]
            result["response_id"] = self.id
        return result


def frame(event: str, **fields: Any) -> Frame:
    """An event, which repeats its type in its JSON."""
    return Frame({"type": event, **fields}, event)
