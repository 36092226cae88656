"""Who may use which model when: the loading policy, as pure functions.

A state goes in, named effects come out; `hub.leases` is their one owner and carries them out.
Rules, each with a property test:

- wants of one model are granted in the order they came; nobody overtakes on the same model;
- a model is loaded at most once, however many want it;
- a leased model is never unloaded;
- a want that must wait for others' memory stops later wants from renewing what it waits for, so it
  cannot starve; wants of other loaded models pass it;
- what could not fit into an empty machine is refused at once, with both numbers;
- where requests load no models, they are told so; what somebody wished to have loaded is loaded;
- where only the last model that a request loaded stays, others that requests loaded go once they are idle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from lmbridge.core.models import Instance, InstanceState, ModelInfo


class Want(Struct, frozen=True):
    """A caller who wants a lease.

    Attributes:
        ticket: unique, in the order of arrival. model: qualified name.
        alone: nobody else may hold a lease of the model meanwhile.
        explicit: that it is loaded is somebody's wish and not for a request alone, or it is there already and
            is merely taken over.
    """

    ticket: int
    model: str
    alone: bool = False
    explicit: bool = False


class Resident(Struct, frozen=True):
    """A model that is in memory, on its way in, or on its way out.

    Attributes:
        memory: bytes; the estimate while it loads.
        slots: most leases at a time; None for no limit.
        leases: leases out now. alone: the one lease out tolerates no other.
        idle_since: when the last lease ended, on the owner's clock, in seconds.
        ttl: seconds it may stay idle; 0 for ever.
        jit: it was loaded because a request wanted it, and nobody wished it since.
        born: ticket of the want that it was loaded for.
    """

    model: str
    state: Literal["loading", "ready", "unloading"]
    memory: int = 0
    slots: int | None = None
    leases: int = 0
    alone: bool = False
    idle_since: float = 0.0
    ttl: float = 0.0
    jit: bool = False
    born: int = 0


class Residency(Struct, frozen=True):
    """What the policy decides on.

    Attributes:
        residents: by qualified name.
        queue: wants that were not granted yet, oldest first.
        needs: bytes that loading each wanted model would take, by qualified name.
        room: bytes free on the machine now; None when nobody manages memory.
        jit: whether a request may load a model.
        one_jit: whether only the last model that a request loaded stays.
    """

    residents: Mapping[str, Resident]
    queue: Sequence[Want]
    needs: Mapping[str, int]
    room: int | None
    jit: bool = True
    one_jit: bool = False


class Grant(Struct, frozen=True):
    """Give the want its lease."""

    ticket: int


class Load(Struct, frozen=True):
    """Start loading a model."""

    model: str


class Unload(Struct, frozen=True):
    """Start unloading a model: it is idle, and its memory is needed, its time is over, or it was replaced."""

    model: str


class Refuse(Struct, frozen=True):
    """Tell the want that its model cannot fit.

    Attributes:
        needed, available: bytes; *available* with everything else unloaded.
    """

    ticket: int
    needed: int
    available: int


class Deny(Struct, frozen=True):
    """Tell the want that its model is not in memory, and that a request may not load it."""

    ticket: int


Effect: TypeAlias = Grant | Load | Unload | Refuse | Deny


def admits(resident: Resident, alone: bool) -> bool:
    """Whether a loaded model has room for one more lease."""
    if resident.state != "ready" or resident.alone:
        return False
    return not resident.leases or (not alone and (resident.slots is None or resident.leases < resident.slots))


def granted(resident: Resident, alone: bool) -> Resident:
    """The resident with one more lease out."""
    return replace(resident, leases=resident.leases + 1, alone=alone)


def decide(now: Residency) -> list[Effect]:
    """What can be done for the queue, oldest want first."""
    return _Pass(now).effects()


def expired(residents: Mapping[str, Resident], queue: Sequence[Want], clock: float) -> list[Unload]:
    """Idle models whose time is over and that nobody waits for."""
    wanted = {w.model for w in queue}
    return [
        Unload(r.model)
        for r in residents.values()
        if (left := seconds_left(r, clock)) is not None and left <= 0 and r.model not in wanted
    ]


def superseded(residents: Mapping[str, Resident], queue: Sequence[Want]) -> list[Unload]:
    """Idle models that requests loaded before the last one, and that nobody waits for."""
    loaded = [r for r in residents.values() if r.jit and r.state != "unloading"]
    last = max((r.born for r in loaded), default=0)
    wanted = {w.model for w in queue}
    return [Unload(r.model) for r in loaded if r.born < last and _idle(r) and r.model not in wanted]


def places(queue: Sequence[Want]) -> dict[int, int]:
    """How many callers each want has ahead of it: those in front that want the same model. By ticket."""
    seen: Counter[str] = Counter()
    found = {}
    for want in queue:
        found[want.ticket] = seen[want.model]
        seen[want.model] += 1
    return found


def seconds_left(resident: Resident, clock: float) -> float | None:
    """Seconds until an idle model is due for unloading; None when it is not idle or has no limit."""
    if resident.state != "ready" or resident.leases or not resident.ttl:
        return None
    return resident.idle_since + resident.ttl - clock


class _Pass:
    """One walk over the queue. Its dictionaries are its own; the state given is never changed."""

    def __init__(self, now: Residency) -> None:
        self._now = now
        self._residents = dict(now.residents)
        self._blocked: set[str] = set()
        """Models that a want in front waits for: nobody behind it may be granted them."""
        loading = sum(r.memory for r in now.residents.values() if r.state == "loading")
        self._free = None if now.room is None else now.room - loading
        self._most = (self._free or 0) + sum(r.memory for r in now.residents.values())
        self._effects: list[Effect] = []

    def effects(self) -> list[Effect]:
        for want in self._now.queue:
            if want.model in self._blocked:
                continue
            resident = self._residents.get(want.model)
            if resident is None:
                self._bring_in(want)
            elif admits(resident, want.alone):
                self._residents[want.model] = granted(resident, want.alone)
                self._effects.append(Grant(want.ticket))
            else:
                self._blocked.add(want.model)
        if self._now.one_jit:
            self._unload(superseded(self._residents, self._now.queue))
        return self._effects

    def _bring_in(self, want: Want) -> None:
        need = self._now.needs.get(want.model, 0)
        if not (self._now.jit or want.explicit):
            self._effects.append(Deny(want.ticket))
            return
        if self._free is not None and need > max(0, self._most):
            self._effects.append(Refuse(want.ticket, need, max(0, self._most)))
            return
        if self._now.one_jit and not want.explicit and self._others_leave():
            pass  # their memory comes back first
        elif self._free is None or need <= self._free or not need:
            self._effects.append(Load(want.model))
            self._residents[want.model] = Resident(
                want.model, "loading", memory=need, jit=not want.explicit, born=want.ticket
            )
        else:
            self._make_room(need - self._free)
        self._blocked.add(want.model)
        if self._free is not None:
            self._free -= need  # spoken for: nobody behind may count on it

    def _others_leave(self) -> bool:
        """Unload the idle models that requests loaded; whether any is on its way out."""
        wanted = {w.model for w in self._now.queue}
        jit = [r for r in self._residents.values() if r.jit]
        self._unload([Unload(r.model) for r in jit if _idle(r) and r.model not in wanted])
        return any(self._residents[r.model].state == "unloading" for r in jit)

    def _unload(self, effects: Sequence[Unload]) -> None:
        self._effects += effects
        for effect in effects:
            self._residents[effect.model] = replace(self._residents[effect.model], state="unloading")

    def _make_room(self, short: int) -> None:
        """Unload idle models, least recently used first; claim the leased ones that must end too."""
        holders = [r for r in self._residents.values() if r.memory]
        short -= sum(r.memory for r in holders if r.state == "unloading")
        idle = [r for r in holders if _idle(r) and r.model not in self._blocked]
        busy = [r for r in holders if r.state != "unloading" and r not in idle]
        victims = []
        for holder in [*sorted(idle, key=_age), *sorted(busy, key=_age)]:
            if short <= 0:
                break
            short -= holder.memory
            victims.append(holder)
        if short > 0:
            return  # a want in front has claimed what this one needs: unloading now would win nothing
        for victim in victims:
            self._blocked.add(victim.model)
        self._unload([Unload(victim.model) for victim in victims if victim in idle])


def _idle(resident: Resident) -> bool:
    return resident.state == "ready" and not resident.leases


def _age(resident: Resident) -> float:
    return resident.idle_since


def state_of(
    resident: Resident, model: ModelInfo, instance: Instance | None, *, waiting: int, progress: float, now: float
) -> InstanceState:
    """How a resident is shown, by `lmbridge ps` and every API that lists what is in memory.

    Args:
        instance: None while it is not there. waiting: callers for it. progress: of its load, 0 to 1.
        now: on the clock of `Resident.idle_since`.
    """
    return InstanceState(
        model=model.copy_of or model.id,
        provider=model.provider,
        state=resident.state,
        leases=resident.leases,
        waiting=waiting,
        slots=resident.slots,
        context_length=instance.context_length if instance else None,
        memory=resident.memory,
        idle_s=max(0.0, now - resident.idle_since) if instance and not resident.leases else 0.0,
        ttl=resident.ttl,
        progress=1.0 if instance else progress,
        name=model.id if model.copy_of else "",
    )
