"""Who listens on a port of this machine, as far as the system tells it to this user."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from lmbridge.machine.processes import PLATFORM, name_of

LISTEN = "0A"  # the state of a listening socket in /proc/net/tcp, as the kernel numbers it (TCP_LISTEN)


def holder(port: int) -> str:
    """Who listens on a TCP port, as `name (pid 123)`; "" when nobody does or the system will not say.

    Other users' processes are visible to root only, so "" does not mean that the port is free.
    """
    pid = holder_pid(port)
    if pid is None:
        return ""
    name = name_of(pid)
    return f"{name} (pid {pid})" if name else f"pid {pid}"


def holder_pid(port: int) -> int | None:
    """The process that listens on a TCP port; None when none does or the system will not say."""
    return _pid_on_linux(port) if PLATFORM == "linux" else _pid_by_command(port)


def _pid_on_linux(port: int) -> int | None:
    inodes: set[str] = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            inodes.update(listening_inodes(table.read_text().splitlines(), port))
        except OSError:
            continue  # a machine without IPv6 has no tcp6
    wanted = {f"socket:[{inode}]" for inode in inodes}
    return next((pid for pid, link in _open_files() if link in wanted), None) if wanted else None


def listening_inodes(lines: Iterable[str], port: int) -> Iterator[str]:
    """The inodes of the sockets that listen on *port*, from the lines of /proc/net/tcp (proc_net(5))."""
    suffix = f":{port:04X}"
    for line in lines:
        fields = line.split()
        if len(fields) > 9 and fields[3] == LISTEN and fields[1].endswith(suffix):
            yield fields[9]


def _open_files() -> Iterator[tuple[int, str]]:
    """Every open file of every process we may look into: process id and what its descriptor points to."""
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            descriptors = list((process / "fd").iterdir())
        except OSError:
            continue  # somebody else's, or just gone
        for descriptor in descriptors:
            try:
                yield int(process.name), os.readlink(descriptor)
            except OSError:
                continue


def _pid_by_command(port: int) -> int | None:
    """By `lsof` where there is one (macOS, BSD), else by `netstat` (Windows)."""
    if shutil.which("lsof"):
        text = _run("lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fp")
        return next((int(line[1:]) for line in text.splitlines() if line[:1] == "p" and line[1:].isdigit()), None)
    return pid_in_netstat(_run("netstat", "-ano", "-p", "TCP"), port)


def pid_in_netstat(text: str, port: int) -> int | None:
    """The process that listens on *port*, from what Windows' `netstat -ano` prints.

    Its words are translated, its columns are not: protocol, own address, other address, state, process. A
    listening socket is one whose other address has port 0.
    """
    for line in text.splitlines():
        fields = line.split()
        if (
            len(fields) == 5
            and fields[1].endswith(f":{port}")
            and fields[2].endswith(":0")
            and fields[4].isdigit()
        ):
            return int(fields[4])
    return None


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
