"""What the engine needs of this machine, looked up before it is started, in words a person can act on."""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from lmbridge.core.errors import EngineMissing

PLATFORM: str = sys.platform  # typed wider than the constant, so that every branch is checked everywhere
PACKAGE = "xllamacpp"

# The package is compiled for these and does not look before it uses them: without one of them the process is
# ended by an illegal instruction.
PROCESSOR_FEATURES = ("avx2", "fma", "f16c", "bmi2")


def engine_version() -> str:
    """Version of the engine's Python package; "" when it is not installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return ""


def missing(root: Path = Path("/")) -> EngineMissing | None:
    """Why the engine cannot run here; None when nothing is known that would stop it. Imports no engine.

    Arguments:
        root: folder in which `proc` and `lib` are looked for.
    """
    if find_spec(PACKAGE) is None:
        return _no_package(root)
    if PLATFORM != "linux":
        return None
    lacking = [each for each in PROCESSOR_FEATURES if each not in processor_flags(root)]
    if lacking and platform.machine() == "x86_64" and processor_flags(root):
        return EngineMissing(
            f"this processor lacks {', '.join(lacking).upper()}, which the engine's package is compiled for",
            hint="Build llama.cpp on this machine and name its `llama-server` in lmbridge.toml.",
        )
    return _no_library()


def _no_package(root: Path) -> EngineMissing:
    if PLATFORM == "linux" and any((root / "lib").glob("ld-musl-*")):
        return EngineMissing(
            f"there is no {PACKAGE} package for musl-based systems such as Alpine",
            hint="Use a glibc-based system, or name a `llama-server` in lmbridge.toml.",
        )
    return EngineMissing(f"its package {PACKAGE} is not installed")


def processor_flags(root: Path = Path("/")) -> frozenset[str]:
    """What a Linux kernel says that the processor can; empty where it says nothing, as on ARM."""
    try:
        lines = (root / "proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))


@cache
def _no_library() -> EngineMissing | None:
    for library in ("libgomp.so.1", "libstdc++.so.6"):
        try:
            ctypes.CDLL(library)
        except OSError as error:
            return engine_missing(str(error))
    return None


def engine_missing(reason: str) -> EngineMissing:
    """The error for an engine that cannot even be imported, with the package that brings what it lacks."""
    for library, package in (("libgomp.so.1", "libgomp1"), ("libstdc++.so.6", "libstdc++6")):
        if library in reason:
            return EngineMissing(
                f"the system library {library} is not installed",
                hint=f"Install it: `apt install {package}` on Debian and Ubuntu; elsewhere it comes with gcc.",
            )
    return EngineMissing(reason)
