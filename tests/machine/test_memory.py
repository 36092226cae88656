"""What there is of memory and cores, read from prepared system folders."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from lmbridge.machine.memory import Memory, cores, held, memory

GIB = 2**30

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own files")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(
        f"MemTotal: {8 * 2**20} kB\nMemFree: 1 kB\nMemAvailable: {6 * 2**20} kB\n"
    )
    return tmp_path


def group(root: Path, name: str, **files: str) -> None:
    folder = root / "sys/fs/cgroup" / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (folder / file.replace("__", ".")).write_text(content)


def test_without_limits_the_machine_counts(root: Path) -> None:
    assert memory(root) == Memory(8 * GIB, 6 * GIB)


def test_the_limit_of_a_container_counts(root: Path) -> None:
    (root / "proc/self/cgroup").write_text("0::/app\n")
    group(
        root, "app", memory__max=str(2 * GIB), memory__current=str(GIB), memory__stat=f"inactive_file {GIB // 2}\n"
    )
    assert memory(root) == Memory(2 * GIB, 3 * GIB // 2)


def test_the_limit_of_an_outer_group_counts_too(root: Path) -> None:
    (root / "proc/self/cgroup").write_text("0::/outer/inner\n")
    group(root, "outer", memory__max=str(GIB), memory__current="0")
    group(root, "outer/inner", memory__max="max", memory__current="0")
    assert memory(root).total == GIB


def test_limits_of_the_first_version_count(root: Path) -> None:
    (root / "proc/self/cgroup").write_text("5:cpu,memory:/app\n4:devices:/app\n")
    limits = {"memory__limit_in_bytes": str(GIB), "memory__usage_in_bytes": str(GIB // 4)}
    group(root, "memory/app", **limits)
    assert memory(root) == Memory(GIB, GIB - GIB // 4)


def test_no_limit_of_the_first_version_is_a_number_too_large_to_mean_it(root: Path) -> None:
    (root / "proc/self/cgroup").write_text("5:memory:/\n")
    group(root, "memory", memory__limit_in_bytes=str(2**63 - 4096))
    assert memory(root).total == 8 * GIB


def test_this_machine_has_memory_and_a_core() -> None:
    now = memory()
    assert 0 < now.available <= now.total
    assert cores() >= 1


def test_threads_that_share_a_core_count_once(root: Path) -> None:
    for processor in os.sched_getaffinity(0):
        folder = root / f"sys/devices/system/cpu/cpu{processor}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text("0-99\n")
    assert cores(root) == 1


def test_a_quota_of_processor_time_limits_the_cores(root: Path) -> None:
    (root / "proc/self/cgroup").write_text("0::/app\n")
    group(root, "app", cpu__max="50000 100000")
    assert cores(root) == 1


def test_a_process_holds_memory_and_a_gone_one_none() -> None:
    assert held(os.getpid()).total > held(os.getpid()).files > 0
    assert held(2**22 + 1).total == 0
