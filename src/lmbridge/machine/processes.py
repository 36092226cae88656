"""Other processes on this machine: whether one lives, and whether it is still the one that was meant.

A process id alone says little: it is given to somebody else sooner or later. Together with the
moment the process was born it names one process for ever.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PLATFORM: str = sys.platform  # typed wider than the constant, so that every branch is checked everywhere


def birth(pid: int) -> str:
    """A text that only this process has had under this id; "" when it is gone or the system will not tell.

    On Linux the start time in clock ticks since boot with the id of the boot, elsewhere what the system prints.
    """
    if PLATFORM == "linux":
        return _birth_on_linux(pid)
    if PLATFORM == "win32":
        return _birth_on_windows(pid)
    return _output_of("ps", "-o", "lstart=", "-p", str(pid))


def exists(pid: int) -> bool:
    """Whether a process with this id lives, whoever owns it. One that has ended but was not waited for is gone."""
    if pid <= 0:
        return False
    if PLATFORM == "win32":
        # os.kill(pid, 0) would end the process there.
        return bool(_birth_on_windows(pid))
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # no system has ids as large as that
        return False
    except PermissionError:
        return True
    return not (PLATFORM == "linux" and _state_on_linux(pid) in ("Z", "X"))


def name_of(pid: int) -> str:
    """What people call the process: the name of its program; "" when the system will not tell."""
    if PLATFORM == "linux":
        try:
            return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
        except OSError:
            return ""
    if PLATFORM == "win32":
        row = _output_of("tasklist", "/FI", f"PID eq {pid}", "/FO", "CSV", "/NH")
        return row.split('","')[0].lstrip('"') if row.startswith('"') else ""
    return Path(_output_of("ps", "-o", "comm=", "-p", str(pid))).name


def _stat_on_linux(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the program's name (proc_pid_stat(5)), the state first."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    # The name stands in brackets and may hold brackets and spaces itself, so the last one counts.
    return line.rpartition(")")[2].split()


def _state_on_linux(pid: int) -> str:
    fields = _stat_on_linux(pid)
    return fields[0] if fields else ""


def _birth_on_linux(pid: int) -> str:
    fields = _stat_on_linux(pid)
    if len(fields) < 20 or fields[0] in ("Z", "X"):
        return ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return f"{fields[19]}@{boot}"


def _birth_on_windows(pid: int) -> str:
    """Creation time of a process that has not ended, by GetProcessTimes."""
    if sys.platform == "win32":
        import ctypes
        from ctypes import wintypes

        query_limited, still_active = 0x1000, 259
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.OpenProcess.restype = wintypes.HANDLE
        handle = kernel.OpenProcess(query_limited, False, pid)
        if not handle:
            return ""
        try:
            code, times = wintypes.DWORD(), [wintypes.FILETIME() for _ in range(4)]
            kernel.GetExitCodeProcess(wintypes.HANDLE(handle), ctypes.byref(code))
            kernel.GetProcessTimes(wintypes.HANDLE(handle), *(ctypes.byref(time) for time in times))
            if code.value == still_active:
                return f"{times[0].dwHighDateTime}.{times[0].dwLowDateTime}"
        finally:
            kernel.CloseHandle(wintypes.HANDLE(handle))
    return ""


def _output_of(*command: str) -> str:
    """What a short system command prints; "" when it is missing, fails or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
