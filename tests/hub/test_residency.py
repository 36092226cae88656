from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lmbridge.hub.residency import (
    Deny,
    Grant,
    Load,
    Refuse,
    Residency,
    Resident,
    Unload,
    Want,
    admits,
    decide,
    expired,
    granted,
    places,
    seconds_left,
    superseded,
)

MODELS = ("a", "b", "c", "d")


def state(*queue: Want, residents: tuple[Resident, ...] = (), room: int | None = None, **needs: int) -> Residency:
    return Residency({r.model: r for r in residents}, queue, needs, room)


def test_a_model_that_is_not_in_memory_is_loaded_once_for_all_who_want_it() -> None:
    assert decide(state(Want(1, "a"), Want(2, "a"), Want(3, "a"))) == [Load("a")]


def test_nothing_is_loaded_again_while_it_loads() -> None:
    assert decide(state(Want(1, "a"), residents=(Resident("a", "loading"),))) == []


def test_wants_are_granted_in_order_up_to_the_slots() -> None:
    ready = Resident("a", "ready", slots=2)
    assert decide(state(Want(1, "a"), Want(2, "a"), Want(3, "a"), residents=(ready,))) == [Grant(1), Grant(2)]


def test_a_want_of_another_loaded_model_passes_one_that_must_wait() -> None:
    full, free = Resident("a", "ready", slots=1, leases=1), Resident("b", "ready")
    assert decide(state(Want(1, "a"), Want(2, "b"), residents=(full, free))) == [Grant(2)]


def test_a_lone_want_waits_until_nobody_holds_the_model_and_nobody_passes_it() -> None:
    held = Resident("a", "ready", leases=1)
    queue = (Want(1, "a", alone=True), Want(2, "a"))
    assert decide(state(*queue, residents=(held,))) == []
    assert decide(state(*queue, residents=(replace(held, leases=0),))) == [Grant(1)]


def test_nobody_joins_a_lone_lease() -> None:
    assert not admits(granted(Resident("a", "ready"), alone=True), alone=False)


def test_the_least_recently_used_idle_model_makes_room() -> None:
    old = Resident("a", "ready", memory=6, idle_since=1)
    new = Resident("b", "ready", memory=6, idle_since=2)
    assert decide(state(Want(1, "c"), residents=(new, old), room=1, c=6)) == [Unload("a")]


def test_only_as_many_models_are_unloaded_as_are_needed() -> None:
    residents = tuple(Resident(m, "ready", memory=5, idle_since=i) for i, m in enumerate("abd"))
    assert decide(state(Want(1, "c"), residents=residents, room=0, c=9)) == [Unload("a"), Unload("b")]


def test_a_model_on_its_way_out_is_counted_as_room_that_comes() -> None:
    leaving, idle = Resident("a", "unloading", memory=6), Resident("b", "ready", memory=6)
    assert decide(state(Want(1, "c"), residents=(leaving, idle), room=0, c=6)) == []


def test_a_want_that_waits_for_memory_stops_new_leases_of_what_it_waits_for() -> None:
    busy = Resident("a", "ready", memory=8, slots=4, leases=1)
    queue = (Want(1, "b"), Want(2, "a"))
    assert decide(state(*queue, residents=(busy,), room=2, b=8)) == []


def test_a_later_small_want_is_not_refused_because_one_in_front_waits() -> None:
    busy = Resident("a", "ready", memory=8, leases=1)
    assert decide(state(Want(1, "b"), Want(2, "c"), residents=(busy,), room=2, b=8, c=5)) == []


def test_nothing_is_unloaded_for_a_want_that_could_not_be_served_by_it() -> None:
    busy, idle = Resident("a", "ready", memory=8, leases=1), Resident("d", "ready", memory=1)
    queue = (Want(1, "b"), Want(2, "c"))
    assert decide(state(*queue, residents=(busy, idle), room=1, b=9, c=9)) == [Unload("d")]
    assert decide(state(*queue, residents=(busy,), room=2, b=9, c=9)) == []


def test_what_cannot_fit_is_refused_with_both_numbers() -> None:
    idle = Resident("a", "ready", memory=3)
    assert decide(state(Want(1, "b"), residents=(idle,), room=4, b=8)) == [Refuse(1, needed=8, available=7)]


def test_what_runs_elsewhere_needs_no_room() -> None:
    assert decide(state(Want(1, "a"), room=0)) == [Load("a")]


def test_memory_that_a_load_will_take_is_not_given_twice() -> None:
    loading = Resident("a", "loading", memory=6)
    assert decide(state(Want(1, "b"), residents=(loading,), room=8, b=6)) == []
    assert decide(state(Want(1, "a"), Want(2, "b"), room=8, a=6, b=6)) == [Load("a")]


def test_an_idle_model_leaves_when_its_time_is_over_unless_somebody_waits_for_it() -> None:
    resident = Resident("a", "ready", idle_since=10, ttl=5)
    assert seconds_left(resident, 12) == 3
    assert expired({"a": resident}, [], 14.9) == []
    assert expired({"a": resident}, [], 15) == [Unload("a")]
    assert expired({"a": resident}, [Want(1, "a", alone=True)], 15) == []


def test_a_leased_or_timeless_model_never_expires() -> None:
    for resident in (
        Resident("a", "ready", leases=1, ttl=1),
        Resident("a", "ready"),
        Resident("a", "loading", ttl=1),
    ):
        assert seconds_left(resident, 1e9) is None
        assert expired({"a": resident}, [], 1e9) == []


def test_where_requests_load_nothing_each_is_told_so_and_a_wish_is_carried_out() -> None:
    queue = (Want(1, "a"), Want(2, "a"), Want(3, "b", explicit=True), Want(4, "c"))
    now = replace(state(*queue, residents=(Resident("c", "ready"),)), jit=False)
    assert decide(now) == [Deny(1), Deny(2), Load("b"), Grant(4)]


def jit(model: str, born: int, **more: object) -> Resident:
    return replace(Resident(model, "ready", jit=True, born=born), **more)


def one_jit(*queue: Want, residents: tuple[Resident, ...]) -> list[object]:
    return list(decide(replace(state(*queue, residents=residents), one_jit=True)))


def test_another_model_that_a_request_loaded_leaves_before_the_next_one_comes() -> None:
    assert one_jit(Want(5, "b"), residents=(jit("a", 1), Resident("d", "ready"))) == [Unload("a")]
    assert one_jit(Want(5, "b"), residents=(jit("a", 1, state="unloading"),)) == []
    assert one_jit(Want(5, "b"), residents=()) == [Load("b")]


def test_one_that_answers_is_not_waited_for_and_leaves_when_it_is_idle() -> None:
    assert one_jit(Want(5, "b"), residents=(jit("a", 1, leases=1),)) == [Load("b")]
    assert one_jit(residents=(jit("a", 1), jit("b", 5))) == [Unload("a")]
    assert superseded({"a": jit("a", 1, leases=1), "b": jit("b", 5)}, []) == []


def test_one_that_is_wanted_stays_for_who_wants_it() -> None:
    alone = jit("a", 1, leases=1, alone=True)
    assert one_jit(Want(5, "b"), Want(6, "a"), residents=(alone,)) == [Load("b")]
    assert one_jit(Want(5, "b"), Want(6, "a"), residents=(jit("a", 1),)) == [Load("b"), Grant(6)]
    assert superseded({"a": jit("a", 1), "b": jit("b", 5)}, [Want(6, "a")]) == []


def test_what_somebody_wished_replaces_nothing() -> None:
    assert one_jit(Want(5, "b", explicit=True), residents=(jit("a", 1),)) == [Load("b")]


def test_a_place_counts_those_in_front_who_want_the_same_model() -> None:
    assert places([Want(1, "a"), Want(2, "b"), Want(3, "a"), Want(7, "a")]) == {1: 0, 2: 0, 3: 1, 7: 2}


residents_of = st.builds(
    Resident,
    model=st.just(""),
    state=st.sampled_from(["loading", "ready", "unloading"]),
    memory=st.integers(0, 8),
    slots=st.none() | st.integers(1, 3),
    leases=st.integers(0, 3),
    idle_since=st.floats(0, 100),
    jit=st.booleans(),
    born=st.integers(-9, -1),
)


@st.composite
def residencies(draw: st.DrawFn) -> Residency:
    inside = draw(st.lists(st.sampled_from(MODELS), unique=True))
    residents = {m: replace(draw(residents_of), model=m) for m in inside}
    residents = {m: r if r.state == "ready" else replace(r, leases=0) for m, r in residents.items()}
    wants = draw(st.lists(st.tuples(st.sampled_from(MODELS), st.booleans(), st.booleans()), max_size=8))
    return Residency(
        residents,
        [Want(i, model, alone, explicit) for i, (model, alone, explicit) in enumerate(wants)],
        {m: draw(st.integers(0, 12)) for m in MODELS},
        draw(st.none() | st.integers(0, 12)),
        draw(st.booleans()),
        draw(st.booleans()),
    )


@given(residencies())
def test_a_leased_model_is_never_unloaded(now: Residency) -> None:
    for effect in decide(now):
        if isinstance(effect, Unload):
            resident = now.residents[effect.model]
            assert resident.leases == 0
            assert resident.state == "ready"


@given(residencies())
def test_every_model_gets_at_most_one_load_or_unload(now: Residency) -> None:
    moved = [e.model for e in decide(now) if isinstance(e, Load | Unload)]
    assert len(moved) == len(set(moved))
    assert not any(e.model in now.residents for e in decide(now) if isinstance(e, Load))


@given(residencies())
def test_nobody_overtakes_on_the_same_model(now: Residency) -> None:
    served = {e.ticket for e in decide(now) if isinstance(e, Grant)}
    refused = {e.ticket for e in decide(now) if isinstance(e, Refuse | Deny)}
    for model in MODELS:
        mine = [w.ticket for w in now.queue if w.model == model and w.ticket not in refused]
        got = [t in served for t in mine]
        assert got == sorted(got, reverse=True)


@given(residencies())
def test_leases_never_exceed_the_slots_and_a_lone_one_is_alone(now: Residency) -> None:
    wants = {w.ticket: w for w in now.queue}
    residents = dict(now.residents)
    for effect in decide(now):
        if isinstance(effect, Grant):
            want = wants[effect.ticket]
            resident = residents[want.model]
            assert resident.state == "ready"
            assert admits(resident, want.alone)
            residents[want.model] = granted(resident, want.alone)


@given(residencies())
def test_loads_never_take_more_than_there_is(now: Residency) -> None:
    if now.room is None:
        return
    free = now.room - sum(r.memory for r in now.residents.values() if r.state == "loading")
    taken = sum(now.needs[e.model] for e in decide(now) if isinstance(e, Load))
    assert taken == 0 or taken <= free


@given(residencies())
def test_a_request_loads_nothing_where_it_must_not(now: Residency) -> None:
    explicit = {w.model for w in now.queue if w.explicit}
    loaded = {e.model for e in decide(now) if isinstance(e, Load)}
    assert now.jit or loaded <= explicit
    wants = {w.ticket: w for w in now.queue}
    for effect in decide(now):
        if isinstance(effect, Deny):
            assert not now.jit
            assert not wants[effect.ticket].explicit
            assert wants[effect.ticket].model not in now.residents


@given(residencies())
def test_what_somebody_wished_is_unloaded_for_its_memory_alone(now: Residency) -> None:
    roomy = replace(now, room=None)
    for effect in decide(roomy):
        if isinstance(effect, Unload):
            assert roomy.one_jit
            assert roomy.residents[effect.model].jit


@given(residencies())
def test_at_most_one_idle_model_that_a_request_loaded_is_left(now: Residency) -> None:
    now = replace(now, one_jit=True)
    wanted = {w.model for w in now.queue}
    gone = {e.model for e in decide(now) if isinstance(e, Unload)}
    idle = {m for m, r in now.residents.items() if r.jit and r.state == "ready" and not r.leases}
    left = idle - gone - wanted
    assert len({now.residents[m].born for m in left}) <= 1


@given(residencies())
def test_the_oldest_want_always_gets_nearer_to_its_lease(now: Residency) -> None:
    """Carried out to the end, with every lease returned, every want is granted or refused."""
    clock = 0
    while now.queue:
        clock += 1
        assert clock < 100, "the queue does not move"
        now = _carried_out(now, decide(now))


def _carried_out(now: Residency, effects: list[object]) -> Residency:
    residents, room, queue = dict(now.residents), now.room, list(now.queue)
    for effect in effects:
        match effect:
            case Grant(ticket) | Refuse(ticket) | Deny(ticket):
                queue = [w for w in queue if w.ticket != ticket]
            case Load(model):
                first = next(w for w in queue if w.model == model)
                residents[model] = Resident(
                    model, "loading", memory=now.needs[model], jit=not first.explicit, born=first.ticket
                )
            case Unload(model):
                residents[model] = replace(residents[model], state="unloading")
    for model, resident in list(residents.items()):
        if resident.state == "unloading":
            del residents[model]
            room = None if room is None else room + resident.memory
        elif resident.state == "loading":
            residents[model] = replace(resident, state="ready")
            room = None if room is None else room - resident.memory
        else:
            residents[model] = replace(resident, leases=0, alone=False)
    return replace(now, residents=residents, queue=queue, room=room)
