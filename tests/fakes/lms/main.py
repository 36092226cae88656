"""Which command was meant, what is wrong with it today, and how it ends."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, NoReturn

from tests.fakes.lms import core, models, program
from tests.fakes.lms.core import Failure
from tests.fakes.lms.faults import end, strike
from tests.fakes.lms.options import UsageError

HELP = """
lms is the command of LM Studio. This is a fake one, for tests.

   get, load, unload, ls, ps, server, daemon, log, bootstrap, status, version
"""


def main() -> NoReturn:
    """Run the command that the process was started with, and end the process."""
    given = sys.argv[1:]
    if "--quiet" in given or "--log-level=none" in given:
        os.environ["FAKE_LMS_QUIET"] = "1"
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
    try:
        _run(given)
    except UsageError as error:
        end(1, err=f"error: {error}\n")
    except Failure as error:
        end(1, err="" if os.environ.get("FAKE_LMS_QUIET") else f"Error: {error}\n")
    except KeyboardInterrupt:
        end(1)
    end(0)


def _run(given: list[str]) -> None:
    wishes = core.read(".internal/fake.json")
    fault = _fault(wishes, given)
    if fault:
        strike(fault, given, wishes["slow_s"])
    if "-v" in given or "--version" in given:
        program.version([])
        return
    old = wishes.get("version", "0.4").startswith("0.3")
    name, rest = (given[0], given[1:]) if given else ("help", [])
    match name:
        case "ls" | "list":
            models.ls(rest)
        case "ps":
            models.ps(rest)
        case "load":
            models.load(rest)
        case "unload":
            models.unload(rest)
        case "get":
            models.get(rest)
        case "server":
            program.server(rest, fault)
        case "daemon" if not old:
            program.daemon(rest)
        case "status":
            program.status(rest)
        case "log":
            program.log(rest)
        case "bootstrap":
            program.bootstrap(rest)
        case "version":
            program.version(rest)
        case "help" | "--help" | "-h":
            core.out(HELP)
        case _:
            kind = "option" if name.startswith("-") else "command"
            raise UsageError(f"unknown {kind} '{name}'")


def _fault(wishes: dict[str, Any], given: list[str]) -> str:
    """What is wrong with this command; counted where it strikes so many times only."""
    asked = " ".join(given)
    for each in wishes.get("lms_faults", ()):
        if each["times"] != 0 and asked.startswith(each["route"]):
            if each["times"] is not None:
                each["times"] -= 1
                path = f"{core.home()}/.internal/fake.json"
                with open(f"{path}.{os.getpid()}", "w", encoding="utf-8") as file:
                    json.dump(wishes, file)
                os.replace(f"{path}.{os.getpid()}", path)
            return str(each["fault"])
    return ""
