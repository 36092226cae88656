"""Downloading: by LM Studio's own jobs where it has them, else by its command.

There is no route that cancels a job: who stops waiting stops waiting, and LM Studio goes on. Its command
ends with whoever waits for it, and keeps what is there.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from time import monotonic
from typing import Final, TypeAlias
from urllib.parse import quote, urlsplit

from msgspec import Struct

from lmbridge.clients.lmstudio.catalogue import Catalogue
from lmbridge.clients.lmstudio.command import LmsCommand, needed
from lmbridge.clients.lmstudio.link import Link, stumbled
from lmbridge.clients.lmstudio.names import find
from lmbridge.core.errors import (
    BridgeError,
    BrokenAnswer,
    DownloadFailed,
    InvalidRequest,
    JobNotFound,
    ModelNotFound,
    NoSpace,
    ProviderTimeout,
    ProviderUnavailable,
    RouteNotFound,
)
from lmbridge.core.models import Download
from lmbridge.core.provider import DownloadProgress
from lmbridge.wire.lmstudio.errors import with_hint
from lmbridge.wire.lmstudio.management import (
    DOWNLOAD,
    DOWNLOAD_STATUS,
    DownloadJob,
    decode_download,
    encode_download,
)
from lmbridge.wire.lmstudio.models import LMStudioModel

GOES_ON: Final = "LM Studio itself goes on with it: see Downloads in its window."
WINDOW_HINT: Final = (
    "See Downloads in LM Studio's window, then run it again: what is here is not downloaded twice."
)
UNKNOWN_HINT: Final = (
    "https://lmstudio.ai/models lists what LM Studio can download; owner/repository of Hugging Face works as well."
)
HUB: Final = "https://huggingface.co/"
NAMES_HINT: Final = "Names are such as `openai/gpt-oss-20b`."

_HOSTS: Final = ("huggingface.co", "lmstudio.ai")
# Put behind an address, anything else would lead elsewhere.
_NAME: Final = re.compile(r"\w[\w.+-]{0,99}(?:/\w[\w.+-]{0,99})?")
_ENDINGS: Final = ("-gguf", "-mlx", "-4bit", "-8bit")
_Tell: TypeAlias = Callable[[Download], None]


class Wanted(Struct, frozen=True):
    """What is to be downloaded.

    Attributes:
        name: `owner/name`, or one word. quantization: "" takes LM Studio's choice.
        link: whether it was given as an address at Hugging Face.
    """

    name: str
    quantization: str = ""
    link: bool = False

    @property
    def label(self) -> str:
        """The name as a person writes it."""
        return f"{self.name}@{self.quantization}" if self.quantization else self.name

    @property
    def address(self) -> str:
        """Its page at Hugging Face, which LM Studio takes for a repository."""
        return HUB + self.name


def understand(name: str, quantization: str = "") -> Wanted:
    """What a name as people give it means.

    Args:
        name: `owner/name`, `owner/name@quantization`, or an address at huggingface.co or lmstudio.ai.
        quantization: wins over one in the name.

    Raises:
        InvalidRequest: it is none of these.
    """
    name = name.strip()
    if not name or not name.isprintable() or any(c.isspace() for c in name):
        raise InvalidRequest("That is no name of a model to download.", hint=NAMES_HINT)
    bare, _, inside = name.partition("@")
    wanted = quantization or inside
    head, _, _ = bare.partition("/")
    if "://" not in bare and head.lower() not in _HOSTS:
        if not _NAME.fullmatch(bare):
            raise InvalidRequest(f"{bare[:80]!r} is no name of a model to download.", hint=NAMES_HINT)
        return Wanted(bare, wanted)
    return _at(bare if "://" in bare else f"https://{bare}", wanted)


def _at(address: str, quantization: str) -> Wanted:
    """What is at an address."""
    parts = urlsplit(address)
    path = [part for part in parts.path.split("/") if part]
    host = (parts.hostname or "").removeprefix("www.")
    if host == "lmstudio.ai":
        path = path[1:] if path[:1] == ["models"] else path
    if host not in _HOSTS or not _NAME.fullmatch("/".join(path[:2])) or len(path) < 2:
        raise InvalidRequest(
            "Models are downloaded from huggingface.co or from LM Studio's catalogue.",
            hint=f"An address is such as `{HUB}owner/repository`.",
        )
    if path[2:] not in ([], ["tree", "main"]):  # to be cut off, it would be another model than was asked for
        raise InvalidRequest(
            "LM Studio downloads one quantization of a repository, and no file by its name.",
            hint=f"Name the quantization: `{HUB}{'/'.join(path[:2])}@q4_k_m`.",
        )
    return Wanted("/".join(path[:2]), quantization, link=host == "huggingface.co")


class Downloader:
    """Downloads models into one LM Studio.

    Args:
        lms: its command, where it is on this computer.
        folder: where its models go, so that the room there can be looked at; None where nobody knows.
    """

    def __init__(self, link: Link, catalogue: Catalogue, lms: LmsCommand | None, folder: Path | None) -> None:
        self._link, self._catalogue, self._lms, self._folder = link, catalogue, lms, folder

    async def download(
        self, name: str, quantization: str = "", on_progress: DownloadProgress | None = None
    ) -> tuple[Download, LMStudioModel]:
        """Download a model and wait for it; how it ended, and the model as LM Studio lists it now.

        Raises:
            InvalidRequest: no name. ModelNotFound: nobody has it. NoSpace: it would not fit.
            DownloadFailed: it failed, was paused, or stands still. RuntimeMissing, CommandFailed.
        """
        wanted = understand(name, quantization)
        before = {model.key for model in await self._catalogue.fetch()}
        tell = self._teller(on_progress)
        generation = await self._catalogue.ready_generation()
        # A quantization of its catalogue is known to its command alone.
        by_command = generation != "v1" or (wanted.quantization and not wanted.link and self._lms is not None)
        if by_command:
            final = await self._by_command(wanted, tell)
        else:
            final = await self._natively(wanted, tell)
        return final, await self._arrived(wanted, before)

    def _teller(self, on_progress: DownloadProgress | None) -> _Tell:
        """Tells the caller, and looks at the room on the disk as soon as the size is known."""
        checked = False

        def tell(download: Download) -> None:
            nonlocal checked
            if not checked and download.state == "downloading" and download.total_bytes is not None:
                checked = True
                self._check_room(download.total_bytes - (download.done_bytes or 0))
            if on_progress is not None:
                on_progress(download)

        return tell

    def _check_room(self, needed: int) -> None:
        if self._folder is None:
            return
        place = next((p for p in (self._folder, *self._folder.parents) if p.exists()), None)
        if place is not None and (free := shutil.disk_usage(place).free) < needed:
            raise NoSpace(str(self._folder), needed, free)

    # -- the roads --------------------------------------------------------------------------------

    async def _natively(self, wanted: Wanted, tell: _Tell) -> Download:
        job = await self._begin(wanted)
        try:
            tell(job.download)
            return await self._follow(job, wanted, tell)
        except NoSpace as error:
            with_hint(error, f"{error.hint} {GOES_ON}")
            raise

    async def _begin(self, wanted: Wanted) -> DownloadJob:
        """Its catalogue knows names; whatever it does not know may be a repository."""
        address, name = encode_download(wanted.address, wanted.quantization), encode_download(wanted.name)
        bodies = [address] if wanted.link or wanted.quantization else [name]
        bodies += [address] if bodies == [name] and "/" in wanted.name else []
        for body in bodies:
            try:
                return await self._post(body, wanted)
            except ModelNotFound as error:
                unknown = error
        unknown.message = f"LM Studio finds no model {wanted.label!r} to download."
        raise with_hint(unknown, UNKNOWN_HINT)

    async def _post(self, body: dict[str, object], wanted: Wanted) -> DownloadJob:
        link = self._link
        with link.explained(wanted.label):
            data = await link.send("POST", DOWNLOAD, body, limit=link.settings.ask_timeout, model=wanted.label)
            return decode_download(data, link.provider, wanted.label)

    async def _follow(self, job: DownloadJob, wanted: Wanted, tell: _Tell) -> Download:
        """Ask how far it is until it is over, less and less often."""
        habits = self._link.habits
        pause, moved, failures = habits.poll, monotonic(), 0
        while job.download.state == "downloading":
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, habits.slowest_poll)
            try:
                now = await self._ask(job.id, wanted)
            except BridgeError as error:
                failures += 1
                if failures >= habits.tries or not _may_pass(error):
                    raise
                continue
            failures = 0
            if now.download.done_bytes is None or now.download.done_bytes != job.download.done_bytes:
                moved = monotonic()  # or nobody can tell
            elif monotonic() - moved > habits.stall:
                raise DownloadFailed(wanted.label, f"no byte came for {habits.stall:g} s", hint=GOES_ON)
            job = DownloadJob(job.id, now.download)
            tell(job.download)
        return _succeeded(job.download, wanted)

    async def _ask(self, job: str, wanted: Wanted) -> DownloadJob:
        link = self._link
        if not job:
            raise BrokenAnswer(link.provider, "it downloads, and does not tell by which job")
        route = DOWNLOAD_STATUS + quote(job, safe="")
        try:
            with link.explained(wanted.label):
                data = await link.send("GET", route, limit=link.settings.ask_timeout, model=wanted.label)
                return decode_download(data, link.provider, wanted.label)
        except (JobNotFound, RouteNotFound) as error:
            reason = "LM Studio knows nothing of it any more"
            raise DownloadFailed(wanted.label, reason, hint=WINDOW_HINT) from error

    async def _by_command(self, wanted: Wanted, tell: _Tell) -> Download:
        last: list[Download] = []

        def listen(download: Download) -> None:
            last[:] = [download]
            tell(download)

        name = wanted.address if wanted.link else wanted.name
        label = f"{name}@{wanted.quantization}" if wanted.quantization else name
        await needed(self._lms, "download").get(label, progress=listen)
        final = last[0] if last and last[0].state != "downloading" else Download("completed")
        return _succeeded(final, wanted)

    # -- afterwards -------------------------------------------------------------------------------

    async def _arrived(self, wanted: Wanted, before: Collection[str]) -> LMStudioModel:
        """The model as it is listed now: the name under which it is may be another.

        Raises:
            DownloadFailed: it is not there.
        """
        habits = self._link.habits
        ends = monotonic() + habits.settle
        while True:
            models = await self._catalogue.fetch()
            model = named(wanted, models, before)
            if model is not None:
                return model
            if monotonic() >= ends:
                break
            await asyncio.sleep(habits.look_again)
        if self._lms is not None:
            # Without just-in-time loading the older lists show what is in memory alone.
            on_disk = [LMStudioModel(listed.key, knows_loaded=False) for listed in await self._lms.ls()]
            if (model := named(wanted, on_disk, before)) is not None:
                return model
        raise DownloadFailed(
            wanted.label, "LM Studio says that it is complete, and lists no such model", hint=WINDOW_HINT
        )


def named(wanted: Wanted, models: Sequence[LMStudioModel], before: Collection[str]) -> LMStudioModel | None:
    """The model that a download brought, or found to be there already; None when it cannot be told.

    Args:
        before: the keys that were listed before it.
    """
    for name in (wanted.label, wanted.name):
        try:
            return find(name, models, None).model
        except ModelNotFound:
            continue
    new = [model for model in models if model.key not in before]
    stem = _stem(wanted.name)
    for few in ([model for model in new or models if _stem(model.key) == stem], new):
        if len(few) == 1:
            return few[0]
    return None


def _stem(name: str) -> str:
    """The last part of a name without what tells its format: models of repositories are listed under it."""
    stem = name.rpartition("/")[2].casefold()
    for ending in _ENDINGS:
        stem = stem.removesuffix(ending)
    return stem


def _may_pass(error: BridgeError) -> bool:
    """Whether an error while waiting may be over the next time: LM Studio goes on meanwhile."""
    return stumbled(error) or isinstance(error, ProviderUnavailable | ProviderTimeout)


def _succeeded(download: Download, wanted: Wanted) -> Download:
    match download.state:
        case "failed":
            raise DownloadFailed(wanted.label, "LM Studio gave it up", hint=WINDOW_HINT)
        case "paused":
            raise DownloadFailed(wanted.label, "it is paused in LM Studio", hint=WINDOW_HINT)
        case _:
            return download
