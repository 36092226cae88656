"""The whole errand: look, choose, fetch, check, put in place. Blocks; runs in a process of its own."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Final

from lmbridge.core.errors import BadModelFile, DownloadFailed, ModelNotFound, ProviderUnavailable
from lmbridge.machine.downloads.choice import Choice, NotChosen, RemoteFile, choose
from lmbridge.machine.downloads.huggingface import HuggingFace, Repository, suggestion
from lmbridge.machine.downloads.names import FORMS, Wanted, parse
from lmbridge.machine.downloads.order import Moved, Order, Ready
from lmbridge.machine.downloads.shelf import Shelf
from lmbridge.machine.downloads.transfer import Transfer
from lmbridge.machine.file_names import SUFFIX
from lmbridge.machine.gguf import read_header
from lmbridge.machine.model_folders import unsuitable

TELL_EVERY: Final = 0.2
"""Seconds between two pieces of news."""
WINDOW: Final = 5.0
"""Seconds over which the speed is measured."""


def work(order: Order, tell: Callable[[Moved], None]) -> Ready:
    """Get the model that *order* names.

    Raises:
        ModelNotFound: the hub has no such repository, or not for us. ProviderUnavailable: it cannot be asked.
        DownloadFailed, NoSpace, BadModelFile, ConfigInvalid.
    """
    wanted = parse(order.name, order.account.endpoint)
    here = _here(wanted, order)
    if here is not None and not (wanted.file or wanted.quantization):
        return here
    hub = HuggingFace(order.account, order.limits, order.name)
    try:
        if order.account.offline:
            raise ProviderUnavailable(hub.host, "HF_HUB_OFFLINE is set", hint="Unset it to download models.")
        repository, choice = _chosen(hub, wanted, order)
    except ProviderUnavailable:
        if here is None:
            raise
        return here
    return _elsewhere(repository, choice, order) or _Errand(hub, repository, choice, order, tell).run()


def _chosen(hub: HuggingFace, wanted: Wanted, order: Order) -> tuple[Repository, Choice]:
    """What the repository holds, and what of it is to be had."""
    if not wanted.repository:
        raise hub.missing(hub.search(wanted.words), hint=FORMS)
    try:
        repository = hub.repository(wanted.repository, wanted.revision)
    except ModelNotFound as error:
        raise hub.missing(hub.search(wanted.words)) from error
    try:
        return repository, choose(repository.files, wanted, order.capacity)
    except NotChosen as error:
        hint = error.hint or suggestion(hub.search(wanted.words))
        raise DownloadFailed(order.name, error.reason, hint=hint) from error


# -- what is here already -------------------------------------------------------------------------


def _here(wanted: Wanted, order: Order) -> Ready | None:
    """A model of the repository that is on the disk and answers the wish, without asking anybody."""
    if not wanted.repository or wanted.revision != "main" or wanted.folder:
        return None
    for folder in (order.folder, *order.elsewhere):
        place = Path(folder, *wanted.repository.split("/"))
        local = Wanted(
            wanted.repository, os.path.basename(wanted.file), "", wanted.quantization, words=wanted.words
        )
        try:
            choice = choose(_local_files(place), local)
        except (NotChosen, OSError):
            continue
        return _found(place, choice)
    return None


def _local_files(place: Path) -> Iterator[RemoteFile]:
    for entry in os.scandir(place):
        if entry.name.lower().endswith(SUFFIX) and entry.is_file():
            yield RemoteFile(entry.name, entry.stat().st_size)


def _found(place: Path, choice: Choice) -> Ready:
    return Ready(str(place / choice.files[0].name), fetched=False, size=choice.size)


def _elsewhere(repository: Repository, choice: Choice, order: Order) -> Ready | None:
    """The very files of the choice in another program's folder, which is read and never written."""
    for folder in order.elsewhere:
        shelf = Shelf(Path(folder), repository.id, order.name)
        if all(shelf.is_here(file) for file in choice.files):
            return _found(shelf.folder, choice)
    return None


# -- fetching -------------------------------------------------------------------------------------


class _Errand:
    """Fetches the files of one choice."""

    def __init__(
        self, hub: HuggingFace, repository: Repository, choice: Choice, order: Order, tell: Callable[[Moved], None]
    ) -> None:
        self._hub, self._repository, self._choice, self._order = hub, repository, choice, order
        self._shelf = Shelf(Path(order.folder), repository.id, order.name)
        self._meter = _Meter(choice.size, tell)

    def run(self) -> Ready:
        """Download what is missing, one repository at a time."""
        with self._shelf.turn(self._watch_another):
            missing = [file for file in self._choice.everything if not self._shelf.is_here(file)]
            if not missing:
                return _found(self._shelf.folder, self._choice)
            self._shelf.make_room(missing)
            self._meter.feed(self._done(), 0)
            for file in missing:
                if not self._shelf.whole(file).exists():
                    self._fetch(file)
            for file in missing:
                self._check(file)
            path = self._shelf.put(self._choice)
        return Ready(str(path), fetched=True, size=self._choice.size)

    def _done(self) -> int:
        return sum(self._shelf.already(file) for file in self._choice.everything)

    def _watch_another(self) -> None:
        """Somebody else downloads from this repository, likely the same: his progress is ours."""
        self._meter.feed(self._done(), 0)

    def _fetch(self, file: RemoteFile) -> None:
        others = self._done() - self._shelf.already(file)
        part = self._shelf.part(file)
        transfer = Transfer(
            self._hub,
            self._repository,
            self._order.name,
            self._order.limits,
            lambda at, came: self._meter.feed(others + at, came),
        )
        transfer.fetch(file, part)
        part.replace(self._shelf.whole(file))

    def _check(self, file: RemoteFile) -> None:
        """Whether it is what the engine understands, as far as its header tells; if not it is thrown away."""
        path = self._shelf.whole(file)
        shown = f"{self._repository.id}/{file.path}"
        try:
            header = read_header(path)
        except BadModelFile as error:
            path.unlink()
            raise BadModelFile(shown, error.reason) from error
        problem = unsuitable(header) if file == self._choice.files[0] else ""
        if problem:
            path.unlink()
            raise BadModelFile(shown, problem)


class _Meter:
    """Tells how far it is and how fast it goes, but not too often."""

    def __init__(self, total: int, tell: Callable[[Moved], None]) -> None:
        self._total, self._tell = total, tell
        self._came = 0
        self._samples: deque[tuple[float, int]] = deque([(monotonic(), 0)])
        self._told_at = float("-inf")

    def feed(self, done: int, came: int) -> None:
        """*done* bytes are here, of which *came* have just come over the network."""
        self._came += came
        now = monotonic()
        if not came:  # nothing was transferred since: what was here is being read, or somebody else is at work
            self._samples = deque([(now, self._came)])
        if now - self._told_at < TELL_EVERY and done < self._total:
            return
        self._told_at = now
        self._samples.append((now, self._came))
        while len(self._samples) > 2 and now - self._samples[0][0] > WINDOW:
            self._samples.popleft()
        then, before = self._samples[0]
        speed = (self._came - before) / (now - then) if now > then and self._came > before else None
        self._tell(Moved(done, self._total, speed))
