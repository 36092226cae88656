"""What other people's packages add: whether it could be activated."""

from __future__ import annotations

from lmbridge.cli.doctor.checks import Checklist, Found
from lmbridge.core.extension import ExtensionState
from lmbridge.hub.hub import Hub
from lmbridge.registry import Registry

PART = "extensions"


def look(checks: Checklist, hub: Hub) -> None:
    """Tell of every extension, and of every provider of another package that is not there. None is no fault."""
    for registry in hub.attached:
        if not isinstance(registry, Registry):
            continue
        for state in registry.extensions.states:
            checks.add(PART, state.id, _found(state))
        for entry in registry.entries:
            if entry.state == "failed":
                checks.add(PART, entry.id, _failed(entry.id, entry.reason))


def _found(state: ExtensionState) -> Found:
    if state.state == "failed":
        return _failed(state.id, state.reason)
    if state.state == "disabled":
        return Found("disabled", "skipped")
    gives = f"gives {', '.join(state.providers)}" if state.providers else "active"
    return Found(f"{gives}, from {state.package}" if state.package else gives)


def _failed(id: str, reason: str) -> Found:
    hint = f"Update or remove its package; `lmbridge providers disable {id}` leaves it out."
    return Found(reason, "failed", hint)
