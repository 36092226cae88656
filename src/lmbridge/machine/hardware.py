"""What this computer is made of, as far as models are concerned, and whether one of a given size would fit.

    found = await asyncio.to_thread(hardware)          # a few milliseconds, with a graphics card a little longer
    fits(found, rule_of_thumb(5 * 10**9, context_length=8192), rough=True).sentence

Nothing here raises: what a system does not tell is "" or None, and a machine without a graphics card is a machine.
Nothing here is a promise either: drivers, other programs and the engine's own choices have a say.
"""

from __future__ import annotations

import math
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar

from msgspec import Struct

from lmbridge.machine.engine.requirements import PROCESSOR_FEATURES, processor_flags
from lmbridge.machine.environment import child_environment
from lmbridge.machine.memory import Memory, cores, memory

PLATFORM: str = sys.platform  # typed wider than the constant, so that every branch is checked everywhere
LIMIT: Final = 5.0
"""Seconds a system command may take; a driver that hangs must not hang us."""
RESERVE: Final = 0.1
"""Share of the main memory that is left to everybody else."""

Vendor: TypeAlias = Literal["nvidia", "amd", "intel", "apple", "other"]

T = TypeVar("T")


class Processor(Struct, frozen=True, omit_defaults=True):
    """The CPU.

    Attributes:
        architecture: as `platform.machine()` calls it: `x86_64`, `arm64`, …
        cores: physical ones that this process may keep busy. threads: hardware threads that it may use.
        lacking: features that the engine's package is compiled for and this processor has not.
    """

    name: str
    architecture: str
    cores: int
    threads: int
    lacking: tuple[str, ...] = ()


class Card(Struct, frozen=True, omit_defaults=True):
    """A graphics processor.

    Attributes:
        memory_total, memory_free: bytes of its own memory; None when nobody tells.
        unified: it shares the main memory, of which `memory_total` is then the part that it may use.
        driver: its version.
    """

    name: str
    vendor: Vendor
    memory_total: int | None = None
    memory_free: int | None = None
    unified: bool = False
    driver: str = ""


class Hardware(Struct, frozen=True):
    """This computer.

    Attributes:
        system: its operating system, for people: `Linux 6.8.0`, `macOS 15.1`, `Windows 11`.
        memory: main memory in bytes, the limits of a container counted; zeros when the system does not tell.
        cards: graphics processors, the one with most memory first; often none.
    """

    system: str
    processor: Processor
    memory: Memory
    cards: tuple[Card, ...] = ()


class Fit(Struct, frozen=True):
    """Whether a model would fit.

    Attributes:
        verdict: `fits`: now. `tight`: it would if other programs, or models, gave memory back. `no`: never.
        needed: bytes. available, total: bytes of main memory.
        card: name of a graphics processor whose free memory takes the whole model; "" if there is none.
        rough: *needed* is a rule of thumb.
    """

    verdict: Literal["fits", "tight", "no", "unknown"]
    needed: int
    available: int
    total: int
    card: str = ""
    rough: bool = False

    @property
    def sentence(self) -> str:
        """All of it, for people."""
        need = f"needs about {_gib(self.needed)}{' (a rule of thumb)' if self.rough else ''}"
        have = {
            "fits": f"{_gib(self.available)} of memory are free",
            "tight": f"only {_gib(self.available)} of {_gib(self.total)} of memory are free now",
            "no": f"this computer has {_gib(self.total)} of memory",
            "unknown": "nobody knows how much memory there is",
        }[self.verdict]
        return f"{need}; {have}{f'; it fits into {self.card} whole' if self.card else ''}"


def fits(found: Hardware, needed: int, *, rough: bool = False) -> Fit:
    """Whether a model that takes *needed* bytes would fit into *found*. Pure.

    Arguments:
        rough: *needed* comes from `rule_of_thumb`.
    """
    now = found.memory
    spare = int(now.total * (1 - RESERVE))
    if not now.total:
        verdict: Literal["fits", "tight", "no", "unknown"] = "unknown"
    elif needed <= min(now.available, spare):
        verdict = "fits"
    else:
        verdict = "tight" if needed <= spare else "no"
    roomy = (card for card in found.cards if not card.unified and needed <= (card.memory_free or 0))
    return Fit(verdict, needed, now.available, now.total, next((card.name for card in roomy), ""), rough)


def rule_of_thumb(size_bytes: int, context_length: int) -> int:
    """Bytes that a model takes of which nothing but the size of its files is known.

    A fifth more than its files, and for each token of context 128 KiB in a model of 5 GB, as those of eight
    thousand million weights have; the cache grows more slowly than the weights, about as their root.
    """
    per_token = 128 * 1024 * math.sqrt(max(size_bytes, 0) / 5e9)
    return int(size_bytes * 1.2 + per_token * context_length)


def hardware(root: Path = Path("/")) -> Hardware:
    """What this computer is made of. Never raises; blocks for at most a few seconds, so call it in a thread.

    Arguments:
        root: folder in which `proc` and `sys` are looked for.
    """
    return Hardware(
        _system(),
        _processor(root),
        _or(Memory(0, 0), lambda: memory(root)),
        tuple(sorted(_cards(root), key=lambda card: -(card.memory_total or 0))),
    )


def _or(otherwise: T, look: Callable[[], T]) -> T:
    """What *look* finds; *otherwise* where the system's files are not there or not as they should be."""
    try:
        return look()
    except (OSError, ValueError, ArithmeticError, LookupError, AttributeError):
        return otherwise


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"


def _system() -> str:
    if PLATFORM == "darwin":
        return f"macOS {platform.mac_ver()[0]}".strip()
    return f"{platform.system()} {platform.release()}".strip()


# -- the processor --------------------------------------------------------------------------------


def _processor(root: Path) -> Processor:
    architecture = platform.machine()
    flags = processor_flags(root) if PLATFORM == "linux" else frozenset()
    lacking = tuple(each for each in PROCESSOR_FEATURES if flags and each not in flags)
    return Processor(
        _processor_name(root) or architecture,
        architecture,
        _or(1, lambda: cores(root)),
        len(os.sched_getaffinity(0)) if PLATFORM == "linux" else os.cpu_count() or 1,
        lacking if architecture in ("x86_64", "AMD64") else (),
    )


def _processor_name(root: Path) -> str:
    if PLATFORM == "linux":
        return _named_by_linux(root)
    if PLATFORM == "darwin":
        return _printed("/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string")
    if PLATFORM == "win32":
        return _or("", _named_by_windows)
    return platform.processor()


def _named_by_linux(root: Path) -> str:
    """x86 kernels tell the processor's name; on ARM only the board's is to be had, from the device tree."""
    for line in _text(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "cpu model", "Processor"):
            return " ".join(value.split())
    return _text(root / "proc/device-tree/model").strip("\0\n ")


def _named_by_windows() -> str:
    import winreg

    path = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
    with getattr(winreg, "OpenKey")(getattr(winreg, "HKEY_LOCAL_MACHINE"), path) as key:  # noqa: B009  # Windows only
        value, _ = getattr(winreg, "QueryValueEx")(key, "ProcessorNameString")  # noqa: B009
    return " ".join(str(value).split())


# -- graphics processors --------------------------------------------------------------------------


def _cards(root: Path) -> Iterator[Card]:
    if PLATFORM == "darwin":
        yield from _apple()
        return
    nvidia = _nvidia(root)
    yield from nvidia
    if PLATFORM == "linux":
        yield from _of_linux(root, skip=frozenset({"nvidia"}) if nvidia else frozenset())


def _nvidia(root: Path) -> list[Card]:
    """NVIDIA's own command is asked, as its driver does not tell the system; `N/A` where memory is shared."""
    program = shutil.which("nvidia-smi") or shutil.which("nvidia-smi", path=str(root / "usr/lib/wsl/lib"))
    if program is None:
        return []
    query = "--query-gpu=name,memory.total,memory.free,driver_version"
    found = []
    for line in _printed(program, query, "--format=csv,noheader,nounits").splitlines():
        fields = [field.strip() for field in line.rsplit(",", 3)]
        if len(fields) == 4 and fields[0]:
            total, free = (int(text) * 2**20 if text.isdecimal() else None for text in fields[1:3])
            found.append(Card(fields[0], "nvidia", total, free, driver=fields[3]))
    return found


_VENDORS: Final[dict[str, Vendor]] = {"0x1002": "amd", "0x10de": "nvidia", "0x8086": "intel"}
_CALLED: Final[dict[Vendor, str]] = {"amd": "AMD", "nvidia": "NVIDIA", "intel": "Intel"}


def _of_linux(root: Path, skip: frozenset[Vendor]) -> Iterator[Card]:
    """The cards of which the kernel tells: https://docs.kernel.org/gpu/amdgpu/driver-misc.html.

    Of their memory only AMD's driver tells; a card of another maker is named without.
    """
    for folder in sorted((root / "sys/class/drm").glob("card*")):
        vendor = _VENDORS.get(_text(folder / "device/vendor").strip())
        if vendor is None or vendor in skip or not re.fullmatch(r"card\d+", folder.name):
            continue
        name = _text(folder / "device/product_name").strip()
        number = _text(folder / "device/device").strip()
        total, used = (_number(folder / f"device/mem_info_vram_{each}") for each in ("total", "used"))
        free = None if total is None or used is None else max(0, total - used)
        yield Card(name or f"{_CALLED[vendor]} graphics ({number or folder.name})", vendor, total, free)


def _apple() -> Iterator[Card]:
    """Apple silicon: the GPU works in main memory, of which it may use about two thirds, three quarters if large.

    The share is Metal's `recommendedMaxWorkingSetSize`, unless the administrator has set another.
    """
    if platform.machine() != "arm64":
        return
    name = _printed("/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string")
    total = _printed("/usr/sbin/sysctl", "-n", "hw.memsize")
    limit = _printed("/usr/sbin/sysctl", "-n", "iogpu.wired_limit_mb")
    if not total.isdecimal():
        return
    share = int(total) * 3 // 4 if int(total) > 36 * 2**30 else int(total) * 2 // 3
    if limit.isdecimal() and int(limit):
        share = int(limit) * 2**20
    yield Card(f"{name or 'Apple'} GPU", "apple", share, unified=True)


# -- asking the system ----------------------------------------------------------------------------


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except (OSError, ValueError):
        return ""


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


def _printed(*command: str) -> str:
    """What a system command prints, "" when it is missing, fails or does not end."""
    return _or("", lambda: _run(command))


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            command,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT,
        )
    except subprocess.SubprocessError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
