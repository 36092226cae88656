"""A conversation on disk: JSON that `Chat.save` and `/save` write, and `Chat.load` and `/load` read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from lmbridge.core.errors import InvalidRequest, NoSpace
from lmbridge.core.messages import Message


class Conversation(Struct, frozen=True):
    """What is kept.

    Attributes:
        format: tells the file from any other JSON, with the number of its layout.
        model: who answered, as `provider:name`.
        messages: all turns, a system message first if there was one.
    """

    model: str
    messages: tuple[Message, ...]
    format: Literal["lmbridge conversation 1"] = "lmbridge conversation 1"


def save(path: Path, conversation: Conversation, *, overwrite: bool) -> None:
    """Write it, readable for its owner only.

    Raises:
        FileExistsError: there is a file, and *overwrite* is not set.
        NoSpace, OSError: it cannot be written.
    """
    data = msgspec.json.format(msgspec.json.encode(conversation), indent=2) + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    # Aside first: a full disk must not cost the file that was there.
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        if overwrite:
            beside.replace(path)
        elif hasattr(os, "link"):
            os.link(beside, path)  # fails where there is a file, in one step
            beside.unlink()
        else:
            beside.rename(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        if error.errno == 28:  # ENOSPC
            raise NoSpace(str(path)) from error
        raise


def load(path: Path) -> Conversation:
    """Read one.

    Raises:
        InvalidRequest: the file is missing or is no saved conversation.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Conversation)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error
    except msgspec.DecodeError as error:
        raise InvalidRequest(
            f"{path} is not a saved conversation: {error}.", hint="`/save FILE` writes one."
        ) from error
