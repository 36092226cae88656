"""What can go wrong with the fake's `lms`, whatever was asked of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

LMS_FAULTS = {
    "fails": "ends with status 1 and says why on standard error",
    "fails-mutely": "ends with status 1 without a word",
    "fails-on-stdout": "ends with status 1 and says why on standard output",
    "killed": "is killed by a signal",
    "garbage": "prints what is no text, with status 0",
    "half-json": "prints the beginning of some JSON, with status 0",
    "wrong-shape": "prints JSON of another shape, with status 0",
    "prints-nothing": "prints nothing and does nothing, with status 0",
    "asks": "asks a question and waits for the answer on standard input",
    "never-ends": "never ends",
    "never-ends-whatever": "never ends, even when it is told to",
    "prints-forever": "prints without end",
    "leaves-a-child": "leaves a process behind that holds its output open; all else is right",
    "slow": "takes a while and says meanwhile that it does; all else is right",
    "noisy": "prints warnings in colours on standard error; all else is right",
    "believes": "says that the server runs although another program holds the port; all else is right",
    "unknown-option": "knows none of its options",
    "unknown-command": "knows none of its commands",
}
HARMLESS = {"leaves-a-child", "slow", "noisy", "believes"}
"""With these it does what it was asked all the same."""


def strike(fault: str, arguments: list[str], slow_s: float) -> None:
    """Let it happen; returns when the rest is to go on as usual."""
    match fault:
        case "fails":
            end(1, err="Error: The engine room is on fire. Please try again later.\n")
        case "fails-mutely":
            end(1)
        case "fails-on-stdout":
            end(1, out="Something went wrong.\n")
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "garbage":
            sys.stdout.buffer.write(b"\x00\xff\xfe\x1b[31m<html>\n")
            end(0)
        case "half-json":
            end(0, out='[{"type":"llm","modelKey":"qwen/qw')
        case "wrong-shape":
            end(0, out='[[7], "x", {"modelKey": 7, "running": "maybe"}, null]\n')
        case "prints-nothing":
            end(0)
        case "asks":
            sys.stderr.write("? LM Studio is not running. Do you want to start it? (Y/n) ")
            sys.stderr.flush()
            answer = sys.stdin.readline() if sys.stdin else ""
            end(0 if answer else 1, err="" if answer else "\nError: Aborted: no answer.\n")
        case "never-ends" | "never-ends-whatever":
            if fault == "never-ends-whatever":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
            end(1)
        case "prints-forever":
            while True:
                sys.stdout.write("[" + "1," * 2**15)
        case "leaves-a-child":
            subprocess.Popen(["sleep", "5"], stdin=subprocess.DEVNULL)
        case "slow":
            for _ in range(3):
                sys.stderr.write("Waking up LM Studio service...\n")
                sys.stderr.flush()
                time.sleep(slow_s / 3)
        case "noisy":
            sys.stderr.write("\x1b[33mWarning: a newer version of LM Studio is available.\x1b[0m\n\n")
        case "unknown-option":
            bad = next((each for each in arguments if each.startswith("-")), "--json")
            end(1, err=f"error: unknown option '{bad}'\n")
        case "unknown-command":
            end(1, err=f"error: unknown command '{arguments[0] if arguments else ''}'\n")


def end(status: int, *, out: str = "", err: str = "") -> None:
    """End at once with that said."""
    sys.stdout.write(out)
    sys.stdout.flush()
    sys.stderr.write(err)
    sys.stderr.flush()
    os._exit(status)
