"""`lmbridge get`: a model that is not here yet."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, json_option
from lmbridge.cli.provider import check_provider, provider_option

if TYPE_CHECKING:
    from lmbridge.core.hub import AnyHub
    from lmbridge.core.models import Download, ModelInfo


@click.command(
    "get",
    cls=BridgeCommand,
    examples=[
        ("lmbridge get openai/gpt-oss-20b", "by LM Studio, or here where there is none"),
        ("lmbridge get ggml-org/Qwen3-0.6B-GGUF@q8_0", "one of several quantizations"),
        ("lmbridge get qwen/qwen3-8b --provider lmstudio", "only by LM Studio"),
        ("lmbridge get qwen/qwen3-8b --json", "the outcome for programs"),
    ],
)
@click.argument("name")
@provider_option("Who downloads and keeps it.  [default: lmstudio if it is there, else embedded]")
@click.option("-q", "--quantization", metavar="Q", default="", help="Which of several; the same as NAME@Q.")
@json_option
def command(name: str, provider: str, quantization: str, as_json: bool) -> None:
    """Download the model NAME: of LM Studio's catalogue, or OWNER/REPOSITORY of Hugging Face.

    What is here already is not downloaded again, and one that was stopped goes on where it was.
    Progress is told on standard error.
    """
    from lmbridge.cli.connect import with_hub

    if not name.strip() or name.startswith((".", "/", "~")):
        raise click.UsageError(
            "NAME is a model of a catalogue or OWNER/REPOSITORY; files are used where they are."
        )
    if quantization and "@" in name:
        raise click.UsageError(f"{name} names a quantization already; leave --quantization out.")
    wanted = f"{name}@{quantization}" if quantization else name
    started = monotonic()
    model, last = with_hub(lambda hub: _get(hub, wanted, provider), gateway=False)
    _tell(model, last, monotonic() - started, as_json=as_json)


async def _get(hub: AnyHub, name: str, provider: str) -> tuple[ModelInfo, Download | None]:
    from lmbridge.cli.download import fetch
    from lmbridge.core.models import Download

    await check_provider(hub, provider)
    if own := next((m for m in await hub.models() if m.builtin and name in (m.id, m.qualified)), None):
        return own, Download("already_downloaded")
    return await fetch(hub, name, provider)


def _tell(model: ModelInfo, last: Download | None, seconds: float, *, as_json: bool) -> None:
    import msgspec

    there = last is not None and last.state == "already_downloaded"
    if as_json:
        state = "already_downloaded" if there else "completed"
        render.json({"model": msgspec.structs.asdict(model), "state": state, "seconds": round(seconds, 3)})
        return
    size = f", {render.size(model.size_bytes)}" if model.size_bytes else ""
    how = "was here already" if there else f"is here{size}, after {render.duration(seconds)}"
    render.sentence(f"{render.printable(model.id)} ({model.provider}) {how}.")
    use = "chat" if model.kind == "chat" else "load"
    render.line(render.paint(f"`lmbridge {use} {render.printable(model.qualified)}` uses it.", "dim"))
