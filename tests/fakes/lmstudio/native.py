"""`/api/v1/*`: models, loading and unloading them, downloads, and the chat that remembers.

Bodies are checked strictly: a key it does not know is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tests.fakes.lmstudio import refusals
from tests.fakes.lmstudio.chat import is_picture, overflow
from tests.fakes.lmstudio.http import OTHER_MODEL, Frame, Out, Request, Stream, Whole
from tests.fakes.lmstudio.models import Body, FakeModel, native_model
from tests.fakes.lmstudio.runtime import FakeDownload, FakeInstance, iso
from tests.fakes.lmstudio.words import Ask, Said, response_id

if TYPE_CHECKING:
    from tests.fakes.lmstudio.server import FakeLMStudio

LOAD_KEYS: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "context_length": int,
    "eval_batch_size": int,
    "flash_attention": bool,
    "num_experts": int,
    "offload_kv_cache_to_gpu": bool,
    "echo_load_config": bool,
    "parallel": int,
}
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


def check(body: Any, keys: dict[str, type | tuple[type, ...]], required: Sequence[str]) -> Body:
    """The body, if it is one that the route takes.

    Raises:
        Refusal: naming what is wrong.
    """
    if not isinstance(body, dict):
        raise refusals.native(400, "invalid_request", "The body must be a JSON object.", "invalid_type")
    for name in required:
        if name not in body:
            raise refusals.native(
                400, "invalid_request", f'"{name}" is required', "missing_required_parameter", name
            )
    strange = [name for name in body if name not in keys]
    if strange:
        named = ", ".join(f"'{name}'" for name in strange)
        message = f"Unrecognized key(s) in object: {named}"
        raise refusals.native(400, "invalid_request", message, "unrecognized_keys")
    for name, value in body.items():
        wanted = keys[name]
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            message = f"Invalid type for '{name}'."
            raise refusals.native(400, "invalid_request", message, "invalid_type", name)
    return body


def models(fake: FakeLMStudio, fault: str = "") -> Whole:
    """`GET /api/v1/models`: every model on disk, with what is loaded of it."""
    listed = [] if fault == "vanishes" else fake.runtime.models
    bodies = []
    for model in listed:
        loaded = [{"id": each.id, "config": each.config()} for each in fake.runtime.instances_of(model)]
        bodies.append(native_model(model, loaded))
    return Whole(200, {"models": bodies})


async def load(fake: FakeLMStudio, request: Request) -> Whole:
    """`POST /api/v1/models/load`: one more instance each time; answers when it is ready."""
    body = check(request.body, LOAD_KEYS, ["model"])
    model = fake.runtime.on_disk(body["model"])
    if model is None:
        message = f"Model '{body['model']}' was not found."
        raise refusals.native(404, "model_not_found", message, "model_not_found", "model")
    if request.fault == "load-fails":
        reason = (
            "Failed to load model. error loading model: tensor 'blk.0.attn_q.weight' data is not within bounds"
        )
        raise refusals.native(500, "model_load_failed", reason)
    if request.fault == "not-loaded":
        return Whole(200, _loaded(model, model.key))
    instance = await fake.runtime.load(model, body)
    answer = _loaded(model, OTHER_MODEL if request.fault == "loads-other" else instance.id)
    if body.get("echo_load_config"):
        answer["load_config"] = {"context_length": instance.context_length, **instance.extra}
    return Whole(200, answer)


def _loaded(model: FakeModel, id: str) -> Body:
    return {"type": model.kind, "instance_id": id, "load_time_seconds": 0.42, "status": "loaded"}


def unload(fake: FakeLMStudio, request: Request) -> Whole:
    """`POST /api/v1/models/unload`: by instance, not by key."""
    id = check(request.body, {"instance_id": str}, ["instance_id"])["instance_id"]
    if not fake.runtime.unload(id):
        raise refusals.native(404, "model_not_found", f"No model instance '{id}' is loaded.", "model_not_found")
    return Whole(200, {"instance_id": id})


def download(fake: FakeLMStudio, request: Request) -> Whole:
    """`POST /api/v1/models/download`: starts a job, or says that nothing is to be done."""
    body = check(request.body, {"model": str, "quantization": str}, ["model"])
    if "quantization" in body and not body["model"].startswith("https://huggingface.co/"):
        message = "'quantization' is only supported for Hugging Face links."
        raise refusals.native(400, "invalid_request", message, "invalid_value", "quantization")
    found = fake.runtime.download(body["model"])
    if isinstance(found, FakeModel):
        return Whole(200, {"status": "already_downloaded"})
    _apply(found, request.fault)
    answer: Body = {"job_id": found.id, "status": found.status}
    if found.sized:
        answer["total_size_bytes"] = found.model.size_bytes
    return Whole(200, answer | {"started_at": iso(found.started)})


def download_status(fake: FakeLMStudio, request: Request) -> Whole:
    """`GET /api/v1/models/download/status/{job_id}`: a step further each time somebody asks."""
    job = fake.runtime.downloads.get(request.path.rpartition("/")[2])
    if job is None or request.fault == "job-lost":
        raise refusals.native(404, "job_not_found", "No download job of that id is known.", "job_not_found")
    _apply(job, request.fault)
    fake.runtime.step(job)
    return Whole(200, job.body())


def _apply(job: FakeDownload, fault: str) -> None:
    outcomes = {"download-fails": "failed", "download-pauses": "paused", "download-vanishes": "vanished"}
    job.outcome = outcomes.get(fault, job.outcome)
    job.sized = job.sized and fault != "download-unsized"


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
        self._check_integrations()

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

    def _check_integrations(self) -> None:
        for each in self.body.get("integrations") or []:
            name = each if isinstance(each, str) else each.get("id", each.get("server_label", ""))
            if self.fake.token and not self.fake.plugins:
                message = f"Permission denied to use plugin '{name}'. Change the permissions of the API token."
                raise refusals.native(403, "invalid_request", message, None, "integrations")

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
            await out.frame(frame("prompt_processing.start"))
            for part in (0, 0.5, 1):
                await out.frame(frame("prompt_processing.progress", progress=part))
            await out.frame(frame("prompt_processing.end"))
            for kind, words in (("reasoning", said.thoughts), ("message", said.words)):
                if not words:
                    continue
                await out.frame(frame(f"{kind}.start"))
                for word in words:
                    await out.frame(Frame({"type": f"{kind}.delta", "content": word}, f"{kind}.delta", said=True))
                await out.frame(frame(f"{kind}.end"))
            await out.frame(Frame({"type": "chat.end", "result": self._result(said)}, "chat.end", final=True))

    def _result(self, said: Said) -> Body:
        output = [
            {"type": kind, "content": text}
            for kind, text in (("reasoning", said.thought), ("message", said.text))
            if text
        ]
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
