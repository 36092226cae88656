"""What this computer has to give: memory and cores, as far as this process may use them.

A container's limits count: a process that is allowed 2 GiB of a machine with 64 is killed at 2.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from msgspec import Struct

PLATFORM: str = sys.platform  # typed wider than the constant, so that every branch is checked everywhere
NO_LIMIT: Final = 2**62


class Memory(Struct, frozen=True):
    """Bytes of main memory: all that this process may use, and what of it can be had now."""

    total: int
    available: int


def memory(root: Path = Path("/")) -> Memory:
    """Total and available memory; both 0 when this system does not tell.

    Arguments:
        root: folder in which `proc` and `sys` are looked for.
    """
    if PLATFORM == "linux":
        return _least([_meminfo(root), *_control_groups(root)])
    if PLATFORM == "win32":
        return _windows()
    if PLATFORM == "darwin":
        return _darwin()
    return Memory(0, 0)


def _least(found: list[Memory]) -> Memory:
    return Memory(min(each.total for each in found), min(each.available for each in found))


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _meminfo(root: Path) -> Memory:
    kib = {}
    for line in (root / "proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        value = rest.split()
        if value and value[0].isdecimal():
            kib[name] = int(value[0])
    available = kib.get("MemAvailable", kib.get("MemFree", 0) + kib.get("Cached", 0))
    return Memory(kib.get("MemTotal", 0) * 1024, available * 1024)


def _control_groups(root: Path) -> list[Memory]:
    """Limits of the control groups around this process, version 2 and 1.

    https://docs.kernel.org/admin-guide/cgroup-v2.html: a limit holds for a group with all that is below it,
    so every group up to the root is asked. File pages that are not in use can be dropped and count as free.
    """
    found = []
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        base = root / "sys/fs/cgroup"
        if controllers == "":
            names = ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base /= "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        folder = base / name.lstrip("/")
        while True:
            limit = _number(folder / names[0])
            if limit is not None and limit < NO_LIMIT:
                used = (_number(folder / names[1]) or 0) - _statistic(folder / "memory.stat", names[2])
                found.append(Memory(limit, max(0, limit - max(0, used))))
            if folder == base or base not in folder.parents:
                break
            folder = folder.parent
    return found


def _statistic(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0)


def _windows() -> Memory:
    class Status(ctypes.Structure):  # MEMORYSTATUSEX of sysinfoapi.h
        _fields_ = [
            ("dwLength", ctypes.c_ulong),
            ("dwMemoryLoad", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "available", "c", "d", "e", "f", "g")),
        ]

    status = Status()
    status.dwLength = ctypes.sizeof(Status)
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009  # exists on Windows only
    kernel.GlobalMemoryStatusEx(ctypes.byref(status))
    return Memory(status.total, status.available)


def _darwin() -> Memory:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        printed = subprocess.run(["/usr/bin/vm_stat"], capture_output=True, text=True, timeout=5).stdout
    except (OSError, subprocess.SubprocessError):
        return Memory(total, total // 2)
    pages = {}
    for line in printed.splitlines():
        name, _, rest = line.partition(":")
        count = rest.strip().rstrip(".")
        if count.isdecimal():
            pages[name] = int(count)
    free = sum(pages.get(f"Pages {name}", 0) for name in ("free", "inactive", "speculative", "purgeable"))
    return Memory(total, min(total, free * os.sysconf("SC_PAGE_SIZE")))


def cores(root: Path = Path("/")) -> int:
    """Physical cores that this process may keep busy, at least 1.

    Two threads of one core share its arithmetic units, so a second one makes an engine no faster.
    """
    allowed = _allowed_processors()
    count = _physical(root, allowed) or len(allowed)
    quota = _processor_quota(root)
    return max(1, min(count, quota) if quota else count)


def _allowed_processors() -> set[int]:
    if PLATFORM == "linux":
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _physical(root: Path, allowed: set[int]) -> int:
    if PLATFORM == "darwin":
        return _darwin_fast_cores()
    siblings = set()
    for processor in allowed:
        topology = root / f"sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list"
        try:
            siblings.add(topology.read_text().strip())
        except OSError:
            return 0
    return len(siblings)


def _darwin_fast_cores() -> int:
    """Performance cores on Apple silicon, else all; the slow ones only hold the others up."""
    for name in ("hw.perflevel0.physicalcpu", "hw.physicalcpu"):
        try:
            command = ["/usr/sbin/sysctl", "-n", name]
            printed = subprocess.run(command, capture_output=True, text=True, timeout=5).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            continue
        if printed.isdecimal() and int(printed):
            return int(printed)
    return 0


def _processor_quota(root: Path) -> int | None:
    """Processors' worth of time that the control group allows, rounded up."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
        name = next(line[3:] for line in lines if line.startswith("0::"))
        quota, period = (root / "sys/fs/cgroup" / name.lstrip("/") / "cpu.max").read_text().split()
    except (OSError, StopIteration, ValueError):
        return None
    return -(-int(quota) // int(period)) if quota.isdecimal() and int(period) else None


class Held(Struct, frozen=True):
    """Bytes of memory that a process with its children holds: all, and what of it is mapped files."""

    total: int = 0
    files: int = 0


def held(pid: int) -> Held:
    """What process *pid* and its children hold right now; zeros where the system does not tell."""
    total = files = 0
    for each in (pid, *_children(pid)):
        try:
            with open(f"/proc/{each}/statm", "rb") as file:
                pages = file.read().split()
        except OSError:
            continue
        total, files = total + int(pages[1]), files + int(pages[2])
    size = os.sysconf("SC_PAGE_SIZE") if total else 1
    return Held(total * size, files * size)


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(each) for each in file.read().split()]
    except OSError:
        return []
