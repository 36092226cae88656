"""What a person writes to say which model is to be downloaded. Pure: no I/O."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from msgspec import Struct

from lmbridge.core.errors import DownloadFailed
from lmbridge.machine.file_names import SUFFIX

FORMS: Final = (
    "Names look like `owner/repository`, `owner/repository@q4_k_m`, `owner/repository/file.gguf` "
    "or `https://huggingface.co/owner/repository`."
)
MAX_NAME: Final = 1000

_HOSTS: Final = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
# https://huggingface.co/docs/hub/repositories: letters, digits, `-`, `_` and `.`, no longer than 96.
_WORD: Final = re.compile(r"(?!.*(?:\.\.|--))[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
_QUANTIZATION: Final = re.compile(r"[@:](?P<quant>[A-Za-z0-9_.-]{1,40})$")
_REVISION: Final = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][\w.+/-]{0,200}", re.ASCII)
_OTHER_THINGS: Final = {"datasets": "a data set", "spaces": "a Space", "collections": "a collection"}


class Wanted(Struct, frozen=True):
    """Which model is wanted.

    Attributes:
        repository: `owner/repository`; "" for a name that is none, in `words`.
        file: path of a GGUF file in it. folder: only what lies in there; "" for all.
        quantization: in lower case, "" to leave the choice to us.
        words: to search for.
    """

    repository: str
    file: str = ""
    folder: str = ""
    quantization: str = ""
    revision: str = "main"
    words: str = ""


def is_repository(name: str) -> bool:
    """Whether it is `owner/repository`, of letters that can do no harm in a path."""
    parts = name.split("/")
    return len(parts) == 2 and all(_WORD.fullmatch(part) for part in parts)


def parse(name: str, endpoint: str = "") -> Wanted:
    """Understand *name*.

    Arguments:
        endpoint: URL of the hub that is asked; addresses there are understood besides those of the public hub.

    Raises:
        DownloadFailed: it cannot be the name of a model on the hub.
    """
    text = name.strip()
    if not text or len(text) > MAX_NAME or any(ord(c) < 33 or ord(c) == 127 for c in text):
        raise DownloadFailed(name[:80], "that is no name of a model", hint=FORMS)
    path, file = _path(name, text, endpoint)
    found = _QUANTIZATION.search(path)
    if found:
        path = path[: found.start()]
    quantization = found["quant"].lower().replace("-", "_").replace("ud_", "ud-") if found else ""
    parts = [unquote(part) for part in path.split("/") if part]
    if parts and parts[0] in _OTHER_THINGS:
        raise DownloadFailed(name, f"it is the address of {_OTHER_THINGS[parts[0]]}", hint=FORMS)
    if len(parts) == 1 and _WORD.fullmatch(parts[0]):
        return Wanted("", quantization=quantization, words=parts[0])
    if len(parts) < 2 or not all(_WORD.fullmatch(part) for part in parts[:2]):
        raise DownloadFailed(name, "that is no name of a repository", hint=FORMS)
    wanted = _within(name, parts[2:] or file.split("/") if file else parts[2:])
    return Wanted("/".join(parts[:2]), wanted.file, wanted.folder, quantization, wanted.revision, parts[1])


def _path(name: str, text: str, endpoint: str) -> tuple[str, str]:
    """The path of an address below its hub, and the file that its query shows; a plain name is its own path."""
    if text.startswith("hf://"):
        return text.removeprefix("hf://").removeprefix("models/"), ""
    here = urlsplit(endpoint)
    scheme, _, rest = text.rpartition("://")
    if not scheme:
        host = text.partition("/")[0].lower()
        if host not in _HOSTS and (not here.netloc or host != here.netloc.lower()):
            return text, ""
        rest = text
    elif scheme.lower() not in ("http", "https"):
        raise DownloadFailed(name, "only the Hugging Face hub is asked for models", hint=FORMS)
    try:
        parts = urlsplit(f"//{rest}")
        host, path = parts.netloc.lower(), parts.path
    except ValueError as error:
        raise DownloadFailed(name, "that is no address", hint=FORMS) from error
    if host == here.netloc.lower() and here.netloc:
        path = path.removeprefix(here.path.rstrip("/"))
    elif host not in _HOSTS:
        raise DownloadFailed(name, "only the Hugging Face hub is asked for models", hint=FORMS)
    return path, parse_qs(parts.query).get("show_file_info", [""])[0]


def _within(name: str, parts: list[str]) -> Wanted:
    """File, folder and revision, from what comes after the repository in a name or an address."""
    revision = "main"
    if parts and parts[0] in ("blob", "resolve", "raw", "tree"):
        if len(parts) > 1:
            revision = parts[1]
        parts = parts[2:]
    for part in parts:
        if part in (".", "..") or "/" in part or "\\" in part or not part.isprintable():
            raise DownloadFailed(name, f"{part[:40]!r} cannot be part of a file's name", hint=FORMS)
    if not _REVISION.fullmatch(revision):
        raise DownloadFailed(name, f"{revision[:40]!r} cannot be a revision", hint=FORMS)
    path = "/".join(parts)
    if path.lower().endswith(SUFFIX):
        return Wanted("", file=path, revision=revision)
    if path and "." in parts[-1]:
        raise DownloadFailed(name, f"{parts[-1][:80]!r} is not a GGUF file", hint=FORMS)
    return Wanted("", folder=path, revision=revision)
