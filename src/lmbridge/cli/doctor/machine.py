"""This computer: processor, memory, graphics, disks, and whether a model would fit."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from lmbridge.cli import render
from lmbridge.cli.doctor.checks import Checklist, Found
from lmbridge.cli.provider import LMSTUDIO
from lmbridge.clients.lmstudio import LMStudioSettings
from lmbridge.config import Config
from lmbridge.core.errors import BadModelFile, BridgeError, ModelNotFound
from lmbridge.core.models import ModelInfo
from lmbridge.core.provider import Provider
from lmbridge.hub.hub import Hub
from lmbridge.machine.hardware import Card, Fit, Hardware, fits, hardware, rule_of_thumb
from lmbridge.machine.home import models_folder
from lmbridge.machine.lmstudio.home import models_folder as lmstudio_models_folder
from lmbridge.providers.lmstudio.look import is_here

PART = "computer"
LITTLE = 10**9
"""Bytes of disk into which no model worth having fits."""
CONTEXT = 4096
"""Tokens of context that a model is taken to have where nobody says otherwise."""


async def look(checks: Checklist, config: Config) -> Hardware:
    """Look at it; returns what it is made of."""
    found = await asyncio.to_thread(hardware)
    cpu, room = found.processor, found.memory
    checks.add(PART, "processor", Found(f"{cpu.name}, {cpu.cores} cores, {cpu.threads} threads"))
    free = f"{render.size(room.available)} of {render.size(room.total)} free"
    checks.add(PART, "memory", Found(free) if room.total else Found("this system does not tell", "skipped"))
    cards = "; ".join(map(_card, found.cards))
    checks.add(PART, "graphics", Found(cards) if cards else Found("none; models run on the processor", "skipped"))
    try:
        for disk in _disks(_models_folders(config)):
            checks.add(PART, "disk", disk)
    except OSError as error:
        checks.add(PART, "disk", Found(str(error), "failed"))
    return found


def _card(card: Card) -> str:
    if card.memory_total is None:
        return card.name
    shared = "of the main memory" if card.unified else "of memory"
    free = f", {render.size(card.memory_free)} free" if card.memory_free is not None else ""
    return f"{card.name}, {render.size(card.memory_total)} {shared}{free}"


def _models_folders(config: Config) -> Iterator[Path]:
    """Where models are downloaded to: lmbridge's folder, or the one of the settings, and LM Studio's."""
    named = config.providers.get("embedded", {}).get("download_folder")
    yield Path(named).expanduser() if isinstance(named, str) and named else models_folder(config.home)
    if (theirs := lmstudio_models_folder()) is not None:
        yield theirs


def _disks(folders: Iterable[Path]) -> Iterator[Found]:
    """The room on each disk that holds one of the folders, which need not be there yet."""
    disks: dict[int, list[Path]] = {}
    for folder in folders:
        disks.setdefault(_there(folder).stat().st_dev, []).append(folder)
    for held in disks.values():
        names = " and ".join(map(str, dict.fromkeys(held)))
        free = shutil.disk_usage(_there(held[0])).free
        said = f"{render.size(free)} free for {names}"
        if free >= LITTLE:
            yield Found(said)
        else:
            yield Found(said, "failed", "Free some space before a model is downloaded.")


def _there(folder: Path) -> Path:
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


class Fitting(Struct, frozen=True):
    """A model that was named, and whether it would fit.

    Attributes:
        model: None where nobody has it.
        fit: None where it is in memory already, or takes none of this computer's.
        code: of the error that loading it would meet; "" for none.
    """

    name: str
    found: Found
    model: ModelInfo | None = None
    fit: Fit | None = None
    code: str = ""


async def fitting(checks: Checklist, config: Config, hub: Hub, name: str, found: Hardware) -> Fitting:
    """Look whether a model fits into this computer."""
    try:
        model = await hub.find(name)
        if model.problem:
            raise BadModelFile(model.path or model.id, model.problem)
        told = await _fitting(config, hub, model, found)
    except ModelNotFound as error:
        hint = f"{error.hint} `lmbridge get {name}` downloads it, if it is the name of one."
        told = Fitting(name, Found(error.message, "failed", hint, f"lmbridge get {name}"), code=error.code)
    except BridgeError as error:
        told = Fitting(name, Found(error.message, "failed", error.hint), code=error.code)
    checks.add("model", "fit", told.found)
    return told


async def _fitting(config: Config, hub: Hub, model: ModelInfo, found: Hardware) -> Fitting:
    who = f"{model.id} ({model.provider})"
    if any((s.provider, s.model) == (model.provider, model.id) for s in await hub.instances()):
        return Fitting(model.id, Found(f"{who} is in memory already"), model)
    provider = next(each for each in hub.providers if each.id == model.provider)
    needed = await provider.estimate(model, config.load)
    if not needed and (_elsewhere(config, provider) or not model.size_bytes):
        told = "takes none of this computer's memory" if _elsewhere(config, provider) else "does not tell its size"
        return Fitting(model.id, Found(f"{who} {told}", "skipped"), model)
    context = config.load.context_length or min(CONTEXT, model.context_length or CONTEXT)
    rule = rule_of_thumb(model.size_bytes or 0, context)
    fit = fits(found, needed or rule, rough=not needed)
    if fit.verdict in ("fits", "unknown") or fit.card:
        return Fitting(model.id, Found(f"{who} {fit.sentence}"), model, fit)
    hint = _TIGHT if fit.verdict == "tight" else "Take a smaller model, or one with stronger quantization."
    return Fitting(model.id, Found(f"{who} {fit.sentence}", "failed", hint), model, fit, "not_enough_memory")


def _elsewhere(config: Config, provider: Provider) -> bool:
    """Whether a provider's models are in the memory of whatever computer its server is on."""
    if provider.id == LMSTUDIO:
        url = LMStudioSettings.read(config.providers.get(LMSTUDIO, {})).url
        return bool(url) and not is_here(url)
    return provider.manifest.runs == "server"


_TIGHT = "`lmbridge unload --all` gives memory back; so does ending other programs."
