"""Where the program is that `lms` talks to, how it is woken, and how it is asked."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, NoReturn

WAKE_S = 60


class Failure(Exception):
    """What is told on standard error; the exit status is 1."""


def say(text: str) -> None:
    """A line for a person: on standard error, and none with `--quiet`."""
    if os.environ.get("FAKE_LMS_QUIET") != "1":
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def out(text: str) -> None:
    """A line on standard output."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def fail(text: str) -> NoReturn:
    """End with an error."""
    raise Failure(text)


def home() -> str:
    """LM Studio's folder. Writes the pointer file where it is missing, as the real one does."""
    user = os.path.realpath(os.path.expanduser("~"))
    pointer = f"{user}/.lmstudio-home-pointer"
    try:
        with open(pointer, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        pass
    old = f"{user}/.cache/lm-studio"
    found = old if os.path.isdir(old) else f"{user}/.lmstudio"
    with open(pointer, "w", encoding="utf-8") as file:
        file.write(found)
    return found


def read(name: str) -> dict[str, Any]:
    """A JSON file below the home folder, {} without one."""
    try:
        with open(f"{home()}/{name}", encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def ask(port: int, method: str, path: str, body: object = None, *, host: str = "127.0.0.1", limit_s: float) -> Any:
    """What the server on that port answers; None for nothing that is JSON.

    Raises:
        OSError: nobody is there, or he is silent for *limit_s* seconds.
    """
    data = b"".join(_bodies(_send(port, method, path, body, host, limit_s)))
    try:
        return json.loads(data)
    except ValueError:
        return None


def lines(port: int, path: str, body: object) -> Iterator[dict[str, Any]]:
    """The JSON lines of an answer, as they come."""
    left = b""
    for data in _bodies(_send(port, "POST", path, body, "127.0.0.1", None)):
        *whole, left = (left + data).split(b"\n")
        yield from (json.loads(line) for line in whole)


def _send(port: int, method: str, path: str, body: object, host: str, limit_s: float | None) -> Any:
    data = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {host}:{port}",
        "Connection: close",
        f"Content-Length: {len(data)}",
    ]
    head = "\r\n".join(lines) + "\r\n\r\n"
    connection = socket.create_connection((host, port), limit_s)
    connection.sendall(head.encode() + data)
    return connection.makefile("rb")


def _bodies(file: Any) -> Iterator[bytes]:
    """The body of an answer, in the pieces it comes in."""
    with file:
        length, chunked = 0, False
        while (line := file.readline().lower()).strip():
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
            chunked = chunked or line.startswith(b"transfer-encoding: chunked")
        if not chunked:
            yield file.read(length)
        while chunked and (size := int(file.readline() or b"0", 16)):
            yield file.read(size)
            file.readline()


def find() -> int | None:
    """The port of the running program; None when none runs.

    The well-known ports are not asked: on them is a real LM Studio, if anything.
    """
    named = os.environ.get("LMS_API_SERVER_INFO_PATH")
    if named:
        with open(named, encoding="utf-8") as file:
            port = json.load(file).get("port")
    else:
        port = read(".internal/http-server.json").get("port")
    if not isinstance(port, int):
        return None
    try:
        answer = ask(port, "GET", "/lms-status", limit_s=3)
    except OSError:
        return None
    known = isinstance(answer, dict) and isinstance(answer.get("package"), str)
    return port if known else None


def wake(note: str = "") -> int:
    """The port of the program, started if none runs. *note*: which of the two to start; "" for either.

    Raises:
        Failure: there is none to start, or it does not come up.
    """
    if (port := find()) is not None:
        return port
    if os.environ.get("LMS_API_SERVER_INFO_PATH"):
        fail("Failed to connect to LM Studio at the given port.")
    names = [note] if note else ["llmster-install-location", "app-install-location"]
    noted = [found for name in names if (found := read(f".internal/{name}.json"))]
    place = next((each for each in noted if os.path.exists(each["path"])), None)
    if place is None:
        fail("LM Studio is not installed, or was moved. Start LM Studio once, and try again.")
    say("Waking up LM Studio service...")
    service = ["--run-as-service"] if place["path"].endswith(".AppImage") else []
    subprocess.Popen(
        [place["path"], *place["argv"], *service],
        cwd=place["cwd"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for _ in range(WAKE_S * 20):
        if (port := find()) is not None:
            return port
        time.sleep(0.05)
    fail("Failed to start or connect to local LM Studio API server.")


def rest_answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether the REST server on that port greets as LM Studio does."""
    try:
        answer = ask(port, "GET", "/lmstudio-greeting", host=host, limit_s=0.5)
    except OSError:
        return False
    return isinstance(answer, dict) and answer.get("lmstudio") is True
