"""`lmbridge lmstudio log`: LM Studio's log as it is written."""

from __future__ import annotations

import asyncio
from typing import Literal

from lmbridge.cli import render
from lmbridge.cli.lmstudio import records
from lmbridge.core.errors import ProviderUnavailable, RuntimeMissing
from lmbridge.machine.lmstudio.install import find_installation
from lmbridge.providers.lmstudio.program import LMStudioProgram
from lmbridge.providers.lmstudio.status import START, no_command


async def follow(
    program: LMStudioProgram, source: Literal["server", "model", "runtime"], *, stats: bool, as_json: bool
) -> None:
    """Print what LM Studio logs until it ends, or the user has enough.

    Raises:
        RuntimeMissing: its command is not here. ProviderUnavailable: it does not run, and is not started for this.
    """
    await _refuse_to_wake(program)
    async with program.log(source, stats=stats) as lines:
        if not as_json:
            secret = "prompts and answers of everybody who uses it" if source == "model" else "it may show prompts"
            render.note(f"LM Studio's log ({source}; {secret}). Ctrl-C ends it.", "dim")
        async for line in lines:
            if as_json:
                render.line(line.decode("utf-8", "replace"))
                continue
            for text in records.lines(line):
                render.line(text)


async def _refuse_to_wake(program: LMStudioProgram) -> None:
    """Its command would start LM Studio for the sake of an empty log."""
    found = await asyncio.to_thread(find_installation, program.places)
    if found.lms is None:
        reason, hint = no_command(found)
        raise RuntimeMissing("LM Studio", reason, hint=hint)
    if found.sdk is None or found.sdk.alive is False:
        raise ProviderUnavailable(
            "lmstudio", "LM Studio does not run, so it logs nothing", hint=f"`{START}` starts it."
        )
