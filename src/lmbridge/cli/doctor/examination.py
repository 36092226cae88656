"""All checks in their order, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from lmbridge.cli import exits
from lmbridge.cli.doctor import extensions, lmstudio, machine, own, providers
from lmbridge.cli.doctor.answers import ANSWER
from lmbridge.cli.doctor.checks import Check, Checklist, Found
from lmbridge.cli.doctor.machine import Fitting
from lmbridge.cli.lmstudio.program import program_of
from lmbridge.cli.provider import EMBEDDED, LMSTUDIO
from lmbridge.machine.hardware import Hardware


class Outcome(Struct, frozen=True):
    """What was found.

    Attributes:
        answers: ids of the providers that can answer.
        fitting: of the model that was named; None where none was.
    """

    checks: Sequence[Check]
    answers: Sequence[str]
    hardware: Hardware
    fitting: Fitting | None

    @property
    def exit_code(self) -> int:
        """0 if something can answer and the model that was named would fit."""
        if any(
            (check.part, check.name, check.state) == (own.PART, own.SETTINGS, "failed") for check in self.checks
        ):
            return exits.CONFIG  # no other command gets any further
        if not self.answers:
            return exits.UNAVAILABLE
        return exits.exit_code(self.fitting.code) if self.fitting and self.fitting.code else exits.OK

    def told(self) -> dict[str, object]:
        """All of it for programs."""
        found: dict[str, object] = {
            "ok": self.exit_code == exits.OK,
            "answers": list(self.answers),
            "checks": [msgspec.structs.asdict(check) for check in self.checks],
            "hardware": msgspec.to_builtins(self.hardware),
        }
        if self.fitting is not None:
            fit = self.fitting.fit
            found["model"] = {
                "name": self.fitting.name,
                "provider": self.fitting.model.provider if self.fitting.model else "",
                "fits": not self.fitting.code,
                "code": self.fitting.code,
                "estimate": msgspec.structs.asdict(fit) if fit else None,
            }
        return found


async def examine(model: str, tell: Callable[[Check], None]) -> Outcome:
    """Make every check.

    Args:
        model: name of one whose fit is asked for; "" for none.
        tell: called with each check as soon as it is made.
    """
    checks = Checklist(tell)
    config, hub = await own.look(checks)
    async with hub:
        if LMSTUDIO in config.disabled:
            checks.add(lmstudio.PART, "settings", Found("not used, as the settings say", "skipped"))
        else:
            await lmstudio.look(checks, program_of(config), hub)
        found = await machine.look(checks, config)
        # Before the engine is tried, which takes memory.
        fitting = await machine.fitting(checks, config, hub, model, found) if model else None
        await providers.engine(checks, hub, found)
        ready = await providers.servers(checks, hub)
        extensions.look(checks, hub)
    parts = ((LMSTUDIO, lmstudio.PART), (EMBEDDED, providers.ENGINE))
    answers = [name for name, part in parts if checks.good(part, ANSWER)]
    # A model that the next question loads has not answered yet, and will.
    waiting = checks.good(lmstudio.PART, "models") and not any(
        (check.part, check.state) == (lmstudio.PART, "failed") for check in checks.checks
    )
    answers += [LMSTUDIO] if waiting and LMSTUDIO not in answers else []
    return Outcome(checks.checks, [*answers, *ready], found, fitting)
