"""The commands about the program itself: `server`, `daemon`, `status`, `log`, `bootstrap`, `version`."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

from tests.fakes.lms import core
from tests.fakes.lms.core import fail, out, say
from tests.fakes.lms.models import compact, size
from tests.fakes.lms.options import Options, UsageError

COMMIT = "fa4e1b5"
SETTINGS = ".internal/http-server-config.json"


def server(given: list[str], fault: str) -> None:
    """`lms server start | stop | status`."""
    match given[:1]:
        case ["start"]:
            _start(given[1:], fault)
        case ["stop"]:
            Options({}, 0, given[1:])
            _stop()
        case ["status"]:
            _status("--json" in Options({"--json": ""}, 0, given[1:]))
        case _:
            raise UsageError(f"unknown command '{' '.join(given)}'")


def _host(settings: dict[str, Any]) -> str:
    host = settings.get("networkInterface") or "127.0.0.1"
    return "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 - what it means to ask there


def _runs(settings: dict[str, Any]) -> bool:
    return core.rest_answers(settings.get("port", 1234), _host(settings))


def _start(given: list[str], fault: str) -> None:
    """Resets CORS and the address to their defaults; checks afterwards that its own server answers."""
    options = Options({"-p, --port": "port", "--bind": "address", "--cors": ""}, 0, given)
    asked = options.number("--port", 1, 65535)
    bind = options.text("--bind") or os.environ.get("LMS_SERVER_HOST") or "127.0.0.1"
    core_port = core.wake()
    port = asked or core.read(SETTINGS).get("port", 1234)
    say(f"Attempting to start the server on port {port}...")
    body = {"port": port, "bind": bind, "cors": "--cors" in options}
    answer = core.ask(core_port, "POST", "/fake/start", body, limit_s=10)
    say("Requested the server to be started. Verifying the server is running...")
    for _ in range(5):
        if fault == "believes" or (
            "problem" not in answer and core.rest_answers(port, _host({"networkInterface": bind}))
        ):
            say(f"Success! Server is now running on port {port}")
            return
        time.sleep(0.05)
    fail(f"Failed to verify the server is running on port {port}. Please try to use another port.")


def _stop() -> None:
    port = core.find()
    if port is None or not _runs(core.read(SETTINGS)):
        fail("The server is not running.")
    core.ask(port, "POST", "/fake/stop", {}, limit_s=10)
    say(f"Stopped the server on port {core.read(SETTINGS).get('port', 1234)}.")


def _status(as_json: bool) -> None:
    settings = core.read(SETTINGS)
    runs = _runs(settings)
    if as_json:
        out(compact({"running": runs} | ({"port": settings["port"]} if "port" in settings else {})))
    elif runs:
        say(f"The server is running on port {settings.get('port', 1234)}.")
    else:
        say("The server is not running.")


def daemon(given: list[str]) -> None:
    """`lms daemon up | status | down`."""
    if given[:1] not in (["up"], ["status"], ["down"]):
        raise UsageError(f"unknown command '{' '.join(given)}'")
    as_json = "--json" in Options({"--json": ""} if given[0] != "down" else {}, 0, given[1:])
    if given[0] == "down":
        _down()
        return
    port = core.find() if given[0] == "status" else core.wake()
    if port is None:
        out(compact({"status": "not-running"}) if as_json else "LM Studio is not running")
        return
    state = {"status": "running", **core.ask(port, "GET", "/fake/core", limit_s=5)}
    if given[0] == "up":
        state["version"] = core.ask(port, "GET", "/lms-status", limit_s=5)["version"]
    name = "llmster" if state["isDaemon"] else "LM Studio"
    out(compact(state) if as_json else f"{name} is running (PID: {state['pid']})")


def _down() -> None:
    port = core.find()
    if port is None:
        fail("llmster is not running.")
    if not core.ask(port, "GET", "/fake/core", limit_s=5)["isDaemon"]:
        fail("The running daemon is part of LM Studio. Quit LM Studio to stop it.")
    core.ask(port, "POST", "/fake/shutdown", {}, limit_s=5)
    while core.find() is not None:
        time.sleep(0.02)
    say("Stopped llmster.")


def status(given: list[str]) -> None:
    """`lms status`: text only."""
    Options({}, 0, given)
    settings = core.read(SETTINGS)
    if not _runs(settings):
        out("\n   Server:  OFF\n\n   (i) To start the server, run:\n\n       lms server start\n")
        return
    out(f"\n   Server:  ON (port: {settings.get('port', 1234)})\n\n   Loaded Models")
    port = core.find()
    for each in core.ask(port, "GET", "/fake/instances", limit_s=10) if port else []:
        out(f"     · {each['identifier']} - {size(each['sizeBytes'])}")
    out("")


def version(given: list[str]) -> None:
    """`lms version`: a commit and no number."""
    options = Options({"--json": ""}, 0, given)
    out(compact({"version": COMMIT}) if "--json" in options else f"CLI commit: {COMMIT}")


def log(given: list[str]) -> None:
    """`lms log stream`."""
    if given[:1] != ["stream"]:
        raise UsageError(f"unknown command '{' '.join(given)}'")
    known = {"-s, --source": "source", "--filter": "kinds", "--stats": "", "--json": ""}
    options = Options(known, 0, given[1:])
    source = options.text("--source", "model")
    if source not in ("model", "server", "runtime"):
        fail(f"Invalid source '{source}'.")
    if source != "model" and ("--filter" in options or "--stats" in options):
        fail("--filter and --stats can only be used with --source model.")
    wanted = options.text("--filter", "input,output").split(",")
    port = core.wake()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    kinds = {"model": "llm.prediction.", "server": "server.log", "runtime": "runtime.log"}
    for record in core.lines(port, "/fake/log", {"kind": kinds[source]}):
        if "data" not in record:
            say("Streaming logs from LM Studio\n")
        elif source != "model" or record["data"]["type"].rpartition(".")[2] in wanted:
            if "--stats" not in options:
                record["data"].pop("stats", None)
            out(compact(record) if "--json" in options else json.dumps(record["data"], indent=2))


def bootstrap(given: list[str]) -> None:
    """`lms bootstrap`: puts the folder of `lms` on PATH."""
    options = Options({"-y, --yes": ""}, 0, given)
    folder = f"{core.home()}/bin"
    if "--yes" not in options:
        sys.stderr.write(f"? Add {folder} to PATH in your shell's files? (y/N) ")
        sys.stderr.flush()
        if not sys.stdin.readline().lower().startswith("y"):
            fail("Aborted: nothing was changed.")
    user = os.path.expanduser("~")
    for name in (".profile", ".bashrc"):
        with open(f"{user}/{name}", "a", encoding="utf-8") as file:
            file.write(f'\n# Added by LM Studio CLI (lms)\nexport PATH="$PATH:{folder}"\n')
    out("(i) LM Studio CLI tool is now on PATH. Open a new terminal to use it.")
