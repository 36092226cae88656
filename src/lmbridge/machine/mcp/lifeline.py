"""A small process that starts an MCP server and ends it surely, even if we were killed.

It holds one end of a pipe and we hold the other, so it notices our end at once, whatever the server does. It
leads no group itself: the server does, and is killed with everything that is in its group before it is waited
for, so the number of the group is never somebody else's. Started as a file, with `-I -S`: nothing is imported
that need not be. POSIX only.

Arguments: the number of the open pipe, the seconds a server may take to leave, the command.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress


def main() -> None:
    """Start the server; end with it, or with the pipe."""
    pipe, grace, command = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started us
    try:
        server = subprocess.Popen(
            command,
            start_new_session=True,
            # Safe although it runs between fork and exec: this process has no second thread yet.
            preexec_fn=die_with_this_process if sys.platform == "linux" else own_signals,
        )
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error.strerror}\n")
        sys.exit(127)
    let_go_of_the_pipes()
    threading.Thread(target=watch, args=(pipe, server.pid, grace), daemon=True).start()
    # Without reaping it: until then nobody else can have its number.
    os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
    end(server.pid, signal.SIGKILL)
    status = server.wait()
    os._exit(status if status >= 0 else 128 - status)


def own_signals() -> None:
    """Runs in the server's process before the server does."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def die_with_this_process() -> None:
    """The same, and the kernel ends the server if this process is killed. Linux only."""
    import ctypes

    own_signals()
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


def let_go_of_the_pipes() -> None:
    """Standard input and output are the server's alone, else neither side would notice that the other closed."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)


def watch(pipe: int, group: int, grace: float) -> None:
    """When the pipe ends, ask the server's group to leave, then make it."""
    while os.read(pipe, 1):
        pass
    end(group, signal.SIGTERM)
    killer = threading.Timer(grace, end, (group, signal.SIGKILL))
    killer.daemon = True
    killer.start()


def end(group: int, number: signal.Signals) -> None:
    """Send a signal to whoever is left of a group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    main()
