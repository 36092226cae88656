"""A small process between the supervisor and an engine that cannot notice the end of its parent by itself.

An engine that holds the interpreter's lock while it loads, on a system whose kernel does not end a child with
its parent; and a `llama-server`, which does not watch its standard input at all. This process does nothing but
wait, so it notices at once: standard input ends, it kills the engine and leaves. It waits for the engine itself,
so the process id it kills is never somebody else's.

Started as a file like `child`, with the same contract on standard input and output.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import IO, Any, cast

Settings = dict[str, Any]

# Options that a `llama-server` may be too old to know: variables it does not know do no harm, arguments would.
OPTIONAL = {"LLAMA_ARG_CACHE_RAM": "64", "LLAMA_ARG_UI": "0", "LLAMA_ARG_WEBUI": "0"}

LISTENING = re.compile(rb"listening.*?(?:https?://[^\s:/]+:|port: *)(\d+)")


def main() -> None:
    """Start the engine, and end with it or with standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = read_line()
    settings: Settings = json.loads(line)
    limit_core_files()
    if isinstance(settings["engine"], list):
        end_like(run_child(settings, line))
    else:
        end_like(run_llama_server(settings))


def read_line() -> bytes:
    """The line of settings; an empty one means that the parent died before it could write."""
    line = bytearray()
    while not line.endswith(b"\n"):
        piece = os.read(0, 65536)
        if not piece:
            os._exit(0)
        line += piece
    return bytes(line)


def limit_core_files() -> None:
    """No prompt ends in a core file. Inherited by the engine."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def watch_standard_input(engine: subprocess.Popen[bytes], leave: Callable[[], None]) -> None:
    """Call *leave* as soon as standard input ends, in a thread; kill the engine if that takes it too long."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        leave()
        try:
            engine.wait(1)
        except subprocess.TimeoutExpired:
            engine.kill()

    threading.Thread(target=watch, daemon=True).start()


def die_with_this_process() -> None:
    """Runs in the engine's process before the engine does; the kernel keeps the wish across exec. Linux only."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


def start(command: list[str], output: int | None) -> subprocess.Popen[bytes]:
    """Start an engine that hears nothing of this process's standard input."""
    return subprocess.Popen(
        command,
        env={**os.environ, **OPTIONAL},
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        # Safe although it runs between fork and exec: this process has no second thread yet.
        preexec_fn=die_with_this_process if sys.platform == "linux" else None,
    )


def run_child(settings: Settings, line: bytes) -> int:
    """The engine's Python package: it answers on the standard output that it inherits."""
    engine = start(settings["engine"], None)
    stdin = cast("IO[bytes]", engine.stdin)
    stdin.write(line.replace(b'"parent":%d' % settings["parent"], b'"parent":%d' % os.getpid(), 1))
    stdin.flush()
    watch_standard_input(engine, engine.kill)
    return engine.wait()


def run_llama_server(settings: Settings) -> int:
    """A `llama-server`: started on a port of its choice, watched until it is ready, its address told."""
    with tempfile.TemporaryDirectory(prefix="lmbridge-") as folder:  # mode 0700
        key_file = os.path.join(folder, "key")
        with open(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(settings["key"])
        engine = start(server_command(settings, key_file), subprocess.PIPE)
        watch_standard_input(engine, engine.terminate)
        port = Port(engine)
        report = wait_until_ready(engine, port, settings["key"])
    if report:
        sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.close()
    return engine.wait()


def server_command(settings: Settings, key_file: str) -> list[str]:
    """The options that `child` sets as parameters. The key is in a file: other users can read a command line."""
    context, parallel, threads = settings["context_length"], settings["parallel"], str(settings["threads"])
    command = [settings["engine"], "--model", settings["model"], "--alias", settings["alias"]]
    command += ["--host", "127.0.0.1", "--port", "0", "--api-key-file", key_file, "--jinja"]
    command += ["--ctx-size", str(context * parallel), "--parallel", str(parallel)]
    command += ["--threads", threads, "--threads-batch", threads, "--no-warmup", "--no-prefill-assistant"]
    command += ["--cache-type-k", settings["kv_type"], "--cache-type-v", settings["kv_type"]]
    if settings["gpu_layers"] >= 0:
        command += ["--n-gpu-layers", str(settings["gpu_layers"])]
    if settings["mmproj"]:
        command += ["--mmproj", settings["mmproj"]]
    if settings["embedding"]:
        command += ["--embeddings", "--batch-size", str(context), "--ubatch-size", str(context)]
    return command


class Port:
    """Reads what the server says, passes it on, and picks the port from it."""

    def __init__(self, engine: subprocess.Popen[bytes]) -> None:
        self.number: int | None = None
        self._engine = engine
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in cast("IO[bytes]", self._engine.stdout):
            os.write(2, line)
            found = LISTENING.search(line)
            if found and int(found[1]):
                self.number = int(found[1])


def wait_until_ready(engine: subprocess.Popen[bytes], port: Port, key: str) -> Settings | None:
    """What the supervisor wants to know, once the server answers; None when it ended instead."""
    while engine.poll() is None:
        if port.number is not None and get(port.number, "/health", key) is not None:
            return {"url": f"http://127.0.0.1:{port.number}"}
        time.sleep(0.02)
    return None


def get(port: int, path: str, key: str) -> Any | None:
    """The JSON under *path*; None while the server does not answer or is not ready."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        body = answer.read()
        return json.loads(body) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def end_like(code: int) -> None:
    """Leave the way the engine left, so that the supervisor sees its exit status or signal."""
    if code < 0 and sys.platform != "win32":
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main()
