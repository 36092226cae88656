from __future__ import annotations

from pathlib import Path

from tests.fakes.extensions import Installed, extension, provider

from lmbridge.cli.doctor.checks import Check, Checklist
from lmbridge.cli.doctor.extensions import PART, look
from lmbridge.config import Config
from lmbridge.hub.hub import Hub
from lmbridge.registry import Registry


class Attached:
    """Something else that ends with a hub."""

    async def aclose(self) -> None: ...


def seen(registry: Registry) -> dict[str, Check]:
    checks = Checklist(lambda check: None)
    look(checks, Hub(registry.providers, attached=[Attached(), registry]))
    assert {check.part for check in checks.checks} <= {PART}
    return {check.name: check for check in checks.checks}


def test_every_extension_is_told_and_those_that_failed_with_their_reason(tmp_path: Path) -> None:
    points = Installed(
        extension("good", "Good"),
        extension("raising", "Raising"),
        provider("bad", "Unbuildable"),
        extension("deaf", "Deaf"),
    )
    checks = seen(Registry(Config(tmp_path, disabled=("deaf",)), points))
    assert (checks["good-one"].state, checks["good-one"].detail) == ("ok", "gives echo")
    assert (checks["raising"].state, checks["raising"].detail) == ("failed", "ValueError: out of order")
    assert checks["raising"].command == "lmbridge providers disable raising"
    assert (checks["bad"].state, checks["bad"].detail) == ("failed", "OSError: no such device")
    assert checks["deaf"].state == "skipped"


def test_none_is_no_fault(tmp_path: Path) -> None:
    assert seen(Registry(Config(tmp_path), Installed())) == {}


def test_one_that_only_listens_is_active(tmp_path: Path) -> None:
    assert seen(Registry(Config(tmp_path), Installed(extension("deaf", "Deaf"))))["deaf"].detail == "active"
