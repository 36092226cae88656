"""Starts LM Studio itself, so that it outlives us: needed once, before it has put its command into place.

A helper of ours starts the program in a session of its own and ends at once, so that nobody here has to wait for
the program's end. Later starts are the business of `lms`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lmbridge.core.errors import CommandFailed
from lmbridge.machine.lmstudio.child import Unending, run
from lmbridge.machine.lmstudio.output import last_words

AS_SERVICE: Final = "--run-as-service"
"""Starts the app without its window, as `lms` does it."""
LIMIT: Final = 20.0
"""Seconds for starting the program, not for its being ready."""

_HELPER: Final = """
import os, subprocess, sys
detached = {"creationflags": 0x208} if os.name == "nt" else {"start_new_session": True}
null = subprocess.DEVNULL
try:
    folder = os.path.dirname(sys.argv[1])
    subprocess.Popen(sys.argv[1:], stdin=null, stdout=null, stderr=null, cwd=folder, **detached)
except OSError as error:
    sys.exit(error.strerror)
os._exit(0)
"""


async def launch(program: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> None:
    """Start a program that lives on without us. Returns when it was started, not when it is ready.

    Args:
        environ: what its environment is made from, secrets left out; default this process's.

    Raises:
        CommandFailed: it cannot be started.
    """
    mine = os.environ if environ is None else environ
    # As `lms` does: without a screen's name the app does not start at all.
    screen = {"DISPLAY": ":0"} if sys.platform == "linux" and not mine.get("DISPLAY") else {}
    helper = [sys.executable, "-I", "-S", "-c", _HELPER, str(program), *arguments]
    name = " ".join([program.name, *arguments])
    try:
        done = await run(helper, environ={**mine, **screen}, limit=LIMIT)
    except Unending as error:
        raise CommandFailed(name, error.reason) from error
    if done.status:
        raise CommandFailed(name, last_words(done.err) or f"exit status {done.status}")
