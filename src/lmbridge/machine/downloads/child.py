"""The program that runs in a download's own process. Its contract with `errand` is told in `order`.

Started as a file, so that it works wherever the parent got its modules from; standard input reaching its end means
that the parent is gone or wants no more: the process ends at once, and what was written stays for the next time.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading


def main() -> None:
    """Do what the first line of standard input says."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the parent to deal with
    line = read_line()
    threading.Thread(target=leave_with_parent, daemon=True).start()
    sys.path[:] = json.loads(line)["python_path"]

    import msgspec

    from lmbridge.core.errors import BridgeError
    from lmbridge.machine.downloads.order import News, Order, failed
    from lmbridge.machine.downloads.work import work

    def say(news: News) -> None:
        try:
            os.write(1, msgspec.json.encode(news) + b"\n")
        except OSError:
            os._exit(0)  # nobody listens

    try:
        say(work(msgspec.json.decode(line, type=Order), say))
    except BridgeError as error:
        say(failed(error))


def read_line() -> bytes:
    """The first line of standard input; an empty one means that the parent died before it could write."""
    line = bytearray()
    while not line.endswith(b"\n"):
        piece = os.read(0, 65536)
        if not piece:
            os._exit(0)
        line += piece
    return bytes(line)


def leave_with_parent() -> None:
    """Wait for the end of standard input. Nothing that blocks here holds the interpreter's lock."""
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
