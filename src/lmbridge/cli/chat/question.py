"""What is asked when nobody sits at the keyboard: the prompt, what comes through the pipe, pictures, a schema."""

from __future__ import annotations

import json
import os
import select
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from lmbridge.cli import render
from lmbridge.core.errors import InvalidRequest
from lmbridge.core.json_schema import SchemaInvalid, check_schema
from lmbridge.core.models import ModelInfo

SILENCE_S = 3.0
"""Seconds a pipe may be empty before we say that we wait for it."""


def question_from(prompt: str | None, stdin: TextIO | None) -> str | None:
    """The question: *prompt*, and after an empty line what is piped in. None when somebody is to be talked with.

    Raises:
        InvalidRequest: the prompt and the pipe are empty, or the pipe does not hold text.
    """
    piped = _piped(stdin)
    if prompt is None and piped is None:
        return None
    question = "\n\n".join(part for part in (prompt, piped) if part and part.strip())
    if not question:
        raise InvalidRequest("The question is empty.", hint='Ask something: `lmbridge chat -p "…"`.')
    return question


def _piped(stdin: TextIO | None) -> str | None:
    """What is piped in; None when standard input is a terminal, closed, or a device like /dev/null."""
    try:
        if stdin is None or stdin.isatty() or stat.S_ISCHR(os.fstat(stdin.fileno()).st_mode):
            return None
        _tell_if_it_waits(stdin)
        return stdin.buffer.read().decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"What is piped in is not text: byte {error.start} is not UTF-8.",
            hint="Pipe text; a picture is given with `--image FILE`.",
        ) from error
    except (OSError, ValueError):
        return None


def _tell_if_it_waits(stdin: TextIO) -> None:
    """Say what is waited for when a pipe stays empty: programs often leave one open without meaning it."""
    if sys.platform != "win32" and not select.select([stdin], [], [], SILENCE_S)[0]:
        render.note("Waiting for standard input to end; give `</dev/null` if there is none.", "dim")


def refuse_if_blind(model: ModelInfo) -> None:
    """Refuse pictures for a model that is known not to see. Where nobody knows, its provider decides.

    Raises:
        InvalidRequest.
    """
    if model.vision is False:
        raise InvalidRequest(
            f"{model.id!r} cannot see pictures.",
            hint="`lmbridge ls` marks the models that can with `vision`.",
            param="image",
        )


def schema(path: Path) -> dict[str, object]:
    """A JSON schema from a file.

    Raises:
        InvalidRequest: the file is not JSON, not a schema, or uses keywords that cannot be checked.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path} is not a text file in UTF-8.", param="schema") from error
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"{path} is not JSON: {error.msg} (line {error.lineno}, column {error.colno}).",
            hint='A schema looks like {"type": "object", "properties": {"name": {"type": "string"}}}.',
            param="schema",
        ) from error
    try:
        check_schema(found)
    except SchemaInvalid as error:
        raise InvalidRequest(f"{path} is not a usable JSON schema: {error}.", param="schema") from error
    assert isinstance(found, Mapping)  # noqa: S101 - check_schema saw to it
    return dict(found)
