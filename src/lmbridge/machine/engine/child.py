"""The program that runs in an engine's own process: loads one model and serves it on a private loopback port.

It is started as a file, not as a module of the package, so that nothing of lmbridge is imported here: start-up
is the interpreter and the engine alone. Its contract with `supervisor`:

- one JSON line of settings comes on standard input, so that neither key nor paths are in the process list;
- one JSON line goes out on standard output: the address, or an error;
- standard input reaching its end means that the parent is gone or wants no more: the process ends at once.

Loading a model holds the interpreter's lock for its whole duration, so no thread here could notice the end of
standard input meanwhile. On Linux the kernel is asked to kill this process when its parent dies; elsewhere the
supervisor puts `lifeline` in between, whose threads are always free to notice.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from typing import Any

Settings = dict[str, Any]
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until standard input ends."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever native code prints must not be taken for the answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the parent to deal with
    settings = read_settings()
    die_with_parent(settings["parent"])
    be_the_first_to_go()
    server = None
    try:
        server = start_server(settings)
        report: Settings = {"url": server.listening_address}
    except ImportError as error:
        report = {"error": str(error), "kind": "missing"}
    except Exception as error:  # noqa: BLE001  # native code raises what it likes; the parent must hear of it
        report = {"error": str(error), "kind": "load"}
    if server is None:
        flush_log()
    answer.write(json.dumps(report) + "\n")
    answer.close()
    if server is None:
        os._exit(3)
    while os.read(0, 4096):
        pass
    # Without tidying up: the system takes memory back faster and more surely than destructors do.
    os._exit(0)


def flush_log() -> None:
    """Wait until the engine's log is written: it has a thread of its own, and its last lines are the reason."""
    engine = sys.modules.get("xllamacpp.xllamacpp")
    if engine is None:
        return
    try:
        library = ctypes.CDLL(engine.__file__)
        log, flush = library._Z15common_log_mainv, library._Z16common_log_flushP10common_log
    except (AttributeError, OSError):  # a build that names its functions otherwise
        time.sleep(0.3)
        return
    log.restype, flush.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    flush(log())


def read_settings() -> Settings:
    """The line of settings; an empty one means that the parent died before it could write."""
    line = bytearray()
    while not line.endswith(b"\n"):
        piece = os.read(0, 65536)
        if not piece:
            os._exit(0)
        line += piece
    settings: Settings = json.loads(line)
    sys.path[:] = settings["python_path"]
    return settings


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies, on Linux."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(0)


def be_the_first_to_go() -> None:
    """When memory runs out the engine is to be killed, not the bridge; and no prompt ends in a core file."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")
    except OSError:
        pass


def start_server(settings: Settings) -> Any:
    """Load the model and open the port. Returns when both are done.

    The names of the parameters change between releases of the engine; this is the one place that knows them.
    """
    import xllamacpp as engine

    if settings["gpu_layers"] > 0 and not any("GPU" in device["type"].name for device in engine.get_device_info()):
        raise ValueError("layers were asked to be on a GPU, and this build of the engine knows none")
    params = engine.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {settings["alias"]}
    if settings["mmproj"]:
        params.mmproj.path = settings["mmproj"]
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [settings["key"]]
    params.ui = params.endpoint_slots = params.endpoint_metrics = False
    params.cors_origins = ""
    # A final assistant message is history like any other. Its continuation can be asked for
    # (`continue_final_message`), which is how tool calls are forced.
    params.prefill_assistant = False
    params.warmup = params.fit_params = params.use_color = False
    params.verbosity = 1
    params.cache_ram_mib = settings["cache_mib"]
    params.n_parallel = settings["parallel"]
    params.n_ctx = settings["context_length"] * settings["parallel"]  # the engine divides it among the slots
    # Both: prompts are read with one setting and answers generated with the other.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["threads"]
    params.n_gpu_layers = settings["gpu_layers"]
    params.cache_type_k = params.cache_type_v = engine.ggml_type[f"GGML_TYPE_{settings['kv_type'].upper()}"]
    # A caller who goes away, and the answers beside it, wait for the end of a batch. The default is four of
    # the steps in which a prompt is computed anyway: nothing is gained by it here, and seconds are lost.
    params.n_batch = params.n_ubatch
    if settings["embedding"]:
        params.embedding = True
        # A text must fit into one batch as a whole. The engine rounds its context up to multiples of 256.
        params.n_batch = params.n_ubatch = -(-settings["context_length"] // 256) * 256
    return engine.Server(params)


if __name__ == "__main__":
    main()
