"""What the engine needs of a machine, said in words a person can act on."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmbridge.machine.engine import requirements


def test_this_machine_has_all_that_is_needed() -> None:
    assert requirements.missing() is None
    assert requirements.engine_version()


def test_an_old_processor_is_told_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("flags\t: fpu avx fma bmi2\n")
    error = requirements.missing(tmp_path)
    assert error is not None
    assert "lacks AVX2, F16C" in error.message
    assert "llama-server" in error.hint


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "PACKAGE", "no_such_engine")
    error = requirements.missing()
    assert error is not None
    assert "pip install xllamacpp" in error.hint
    assert requirements.engine_version() == ""


def test_on_alpine_the_libc_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "PACKAGE", "no_such_engine")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/ld-musl-x86_64.so.1").touch()
    error = requirements.missing(tmp_path)
    assert error is not None
    assert "musl" in error.message


def test_a_missing_library_is_named_with_its_package() -> None:
    error = requirements.engine_missing("libgomp.so.1: cannot open shared object file: No such file or directory")
    assert "libgomp.so.1 is not installed" in error.message
    assert "apt install libgomp1" in error.hint
