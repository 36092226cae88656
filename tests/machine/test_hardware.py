"""What a computer is made of, read from prepared system folders and a command that plays NVIDIA's."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from lmbridge.machine import hardware as looked
from lmbridge.machine.hardware import Card, Fit, Hardware, Processor, fits, hardware, rule_of_thumb
from lmbridge.machine.memory import Memory

GIB = 2**30
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="a shell script plays the command")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own files")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without anything, and no NVIDIA command but what a test makes."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(f"MemTotal: {8 * 2**20} kB\nMemAvailable: {6 * 2**20} kB\n")
    return tmp_path


def command(root: Path, name: str, script: str) -> None:
    path = root / "bin" / name
    path.write_text(f"#!{shutil.which('sh', path=os.defpath)}\n{script}\n")
    path.chmod(0o755)


def card(root: Path, name: str, **files: str) -> None:
    folder = root / "sys/class/drm" / name / "device"
    folder.mkdir(parents=True)
    for file, content in files.items():
        (folder / file).write_text(content + "\n")


def test_this_machine_is_made_of_something() -> None:
    found = hardware()
    assert found.system
    assert found.processor.name
    assert found.processor.cores >= 1
    assert found.processor.threads >= 1
    assert found.memory.total >= found.memory.available > 0


@LINUX
def test_a_machine_that_tells_nothing_is_described_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    found = hardware(tmp_path)
    assert found.processor.name == "riscv64"
    assert found.memory == Memory(0, 0)
    assert found.cards == ()


# -- the processor --------------------------------------------------------------------------------


@LINUX
def test_the_processor_is_named_with_what_the_engine_lacks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    (root / "proc/cpuinfo").write_text("model name\t: Old  CPU @ 2GHz\nflags\t\t: fpu avx fma bmi2\n")
    processor = hardware(root).processor
    assert (processor.name, processor.architecture) == ("Old CPU @ 2GHz", "x86_64")
    assert processor.lacking == ("avx2", "f16c")


@LINUX
def test_on_arm_the_board_gives_the_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    (root / "proc/cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd\n")
    (root / "proc/device-tree").mkdir()
    (root / "proc/device-tree/model").write_text("Raspberry Pi 5 Model B Rev 1.0\0")
    processor = hardware(root).processor
    assert processor.name == "Raspberry Pi 5 Model B Rev 1.0"
    assert processor.lacking == ()


# -- graphics processors --------------------------------------------------------------------------


@POSIX
@LINUX
def test_nvidia_cards_are_told_by_nvidias_command_the_largest_first(root: Path) -> None:
    command(
        root,
        "nvidia-smi",
        'test "$1" = --query-gpu=name,memory.total,memory.free,driver_version || exit 9\n'
        'test "$2" = --format=csv,noheader,nounits || exit 9\n'
        'echo "NVIDIA GeForce GTX 1650, 4096, 4000, 570.86"\necho "NVIDIA H200, 143771, 143157, 570.86"',
    )
    assert hardware(root).cards == (
        Card("NVIDIA H200", "nvidia", 143771 * 2**20, 143157 * 2**20, driver="570.86"),
        Card("NVIDIA GeForce GTX 1650", "nvidia", 4096 * 2**20, 4000 * 2**20, driver="570.86"),
    )


@POSIX
@LINUX
def test_a_card_whose_memory_is_shared_tells_no_figures(root: Path) -> None:
    command(root, "nvidia-smi", 'echo "NVIDIA GB10, [N/A], [N/A], 580.1"')
    assert hardware(root).cards == (Card("NVIDIA GB10", "nvidia", driver="580.1"),)


@POSIX
@LINUX
@pytest.mark.parametrize("script", ["exit 9", "echo nonsense", "echo 'Failed to initialize NVML'; exit 255", ":"])
def test_a_command_that_fails_is_no_card(root: Path, script: str) -> None:
    command(root, "nvidia-smi", script)
    assert hardware(root).cards == ()


@POSIX
@LINUX
def test_a_command_that_hangs_is_left(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looked, "LIMIT", 0.1)
    command(root, "nvidia-smi", f"exec {shutil.which('sleep', path=os.defpath)} 60")
    assert hardware(root).cards == ()


@LINUX
def test_amd_cards_are_told_by_the_kernel(root: Path) -> None:
    card(
        root,
        "card1",
        vendor="0x1002",
        device="0x744c",
        product_name="AMD Radeon RX 7900 XTX",
        mem_info_vram_total=str(24 * GIB),
        mem_info_vram_used=str(2 * GIB),
    )
    card(root, "card1-DP-1")
    assert hardware(root).cards == (Card("AMD Radeon RX 7900 XTX", "amd", 24 * GIB, 22 * GIB),)


@LINUX
def test_other_cards_are_named_without_figures(root: Path) -> None:
    card(root, "card0", vendor="0x8086", device="0x46a6")
    card(root, "card1", vendor="0x10de", device="0x2684")
    card(root, "card2", vendor="0x1234")
    assert [each.name for each in hardware(root).cards] == ["Intel graphics (0x46a6)", "NVIDIA graphics (0x2684)"]


@POSIX
@LINUX
def test_a_card_is_not_told_twice(root: Path) -> None:
    command(root, "nvidia-smi", 'echo "NVIDIA T4, 15360, 15000, 570"')
    card(root, "card0", vendor="0x10de", device="0x1eb8")
    assert [each.name for each in hardware(root).cards] == ["NVIDIA T4"]


def test_on_apple_silicon_the_main_memory_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"machdep.cpu.brand_string": "Apple M4 Max", "hw.memsize": str(64 * GIB), "iogpu.wired_limit_mb": "0"}
    monkeypatch.setattr(looked, "PLATFORM", "darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    monkeypatch.setattr(looked, "_printed", lambda *command: told[command[-1]])
    assert hardware().cards == (Card("Apple M4 Max GPU", "apple", 48 * GIB, unified=True),)
    told["iogpu.wired_limit_mb"] = str(60 * 1024)
    assert hardware().cards[0].memory_total == 60 * GIB
    told["hw.memsize"] = ""
    assert hardware().cards == ()
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert hardware().cards == ()


# -- whether a model would fit --------------------------------------------------------------------

CPU = Processor("CPU", "x86_64", 8, 16)


@pytest.mark.parametrize(
    ("needed", "verdict"), [(4, "fits"), (6, "fits"), (7, "tight"), (14, "tight"), (15, "no"), (99, "no")]
)
def test_a_model_fits_now_or_later_or_never(needed: int, verdict: str) -> None:
    found = Hardware("Linux", CPU, Memory(16 * GIB, 6 * GIB))
    assert fits(found, needed * GIB) == Fit(verdict, needed * GIB, 6 * GIB, 16 * GIB)  # type: ignore[arg-type]


def test_a_machine_that_does_not_tell_its_memory_leaves_it_open() -> None:
    assert fits(Hardware("?", CPU, Memory(0, 0)), GIB).verdict == "unknown"


def test_a_card_that_takes_the_whole_model_is_named() -> None:
    small, large = Card("Small", "nvidia", 4 * GIB, 4 * GIB), Card("Large", "nvidia", 24 * GIB, 20 * GIB)
    shared = Card("Shared", "apple", 48 * GIB, 48 * GIB, unified=True)
    found = Hardware("Linux", CPU, Memory(16 * GIB, 6 * GIB), (shared, large, small))
    assert fits(found, 18 * GIB).card == "Large"
    assert fits(found, 21 * GIB).card == ""


def test_the_sentence_tells_need_and_room_and_that_it_is_rough() -> None:
    found = Hardware("Linux", CPU, Memory(16 * GIB, 6 * GIB), (Card("Large", "nvidia", 24 * GIB, 20 * GIB),))
    assert fits(found, 4 * GIB).sentence == (
        "needs about 4.0 GiB; 6.0 GiB of memory are free; it fits into Large whole"
    )
    assert fits(found, 99 * GIB, rough=True).sentence == (
        "needs about 99.0 GiB (a rule of thumb); this computer has 16.0 GiB of memory"
    )


def test_the_rule_of_thumb_is_near_what_models_really_take() -> None:
    # Key/value caches of models as they are: 8B 128 KiB, 70B 320 KiB, 0.5B 12 KiB for each token.
    for size, per_token, share in [(5e9, 128, 0.01), (42e9, 320, 0.25), (0.4e9, 12, 3.0)]:
        cache = rule_of_thumb(int(size), 8192) - rule_of_thumb(int(size), 0)
        assert cache == pytest.approx(per_token * 1024 * 8192, rel=share)
    assert rule_of_thumb(10**9, 0) == 1_200_000_000
