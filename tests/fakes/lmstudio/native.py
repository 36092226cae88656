"""`/api/v1/*`: models, loading and unloading them, downloads. The chat has a file of its own.

Bodies are checked strictly: a key it does not know is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tests.fakes.lmstudio import refusals
from tests.fakes.lmstudio.http import OTHER_MODEL, Request, Whole
from tests.fakes.lmstudio.models import Body, FakeModel, native_model
from tests.fakes.lmstudio.runtime import FakeDownload, iso

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
    outcomes["download-verifies"] = "verified"
    job.outcome = outcomes.get(fault, job.outcome)
    job.sized = job.sized and fault != "download-unsized"
