from __future__ import annotations

import pytest

from lmbridge.clients.lmstudio.plans import Road, Wish, check, in_the_way, reusable, road
from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.wire.lmstudio.models import Generation, LMStudioModel, LoadedInstance

SMALL = LoadedInstance("m", "m", 4096, 4)
LARGE = LoadedInstance("m:2", "m", 32768, 1)
UNTOLD = LoadedInstance("m", "m")


def model(*loaded: LoadedInstance) -> LMStudioModel:
    return LMStudioModel("m", loaded=loaded)


@pytest.mark.parametrize(
    ("loaded", "wish", "found"),
    [
        ([], Wish(), None),
        ([SMALL], Wish(), SMALL),
        ([SMALL, LARGE], Wish(), SMALL),
        ([SMALL, LARGE], Wish(4096), SMALL),
        ([SMALL, LARGE], Wish(4097), LARGE),
        ([SMALL, LARGE], Wish(40000), None),
        ([SMALL, LARGE], Wish(4097, parallel=2), None),
        ([SMALL], Wish(parallel=4), SMALL),
        ([UNTOLD], Wish(parallel=4), UNTOLD),
        ([UNTOLD], Wish(4096), None),
        ([SMALL, LARGE], Wish(identifier="m:2"), LARGE),
        ([SMALL, LARGE], Wish(identifier="mine"), None),
        ([SMALL], Wish(ttl=5, flash_attention=True), SMALL),
    ],
)
def test_an_instance_that_suffices_is_used(
    loaded: list[LoadedInstance], wish: Wish, found: LoadedInstance | None
) -> None:
    assert reusable(model(*loaded), wish) is found


def test_our_own_instances_make_room() -> None:
    assert in_the_way(model(SMALL, LARGE), Wish(40000), {"m", "m:2"}) == [SMALL, LARGE]
    assert in_the_way(model(), Wish(40000), set()) == []


def test_somebody_elses_instance_is_left_alone_unless_that_is_asked_for() -> None:
    with pytest.raises(
        InvalidRequest, match=r"'m:2' is in LM Studio's memory with a context of 32,768 tokens.*unload m:2"
    ):
        in_the_way(model(SMALL, LARGE), Wish(40000), {"m"})
    with pytest.raises(InvalidRequest, match="memory otherwise") as raised:
        in_the_way(model(UNTOLD), Wish(parallel=8), set())
    assert raised.value.param == "parallel"
    assert in_the_way(model(SMALL, LARGE), Wish(40000, replace=True), {"m"}) == [SMALL, LARGE]


def test_a_name_of_its_own_is_in_nobodys_way() -> None:
    assert in_the_way(model(SMALL), Wish(40000, identifier="mine"), set()) == []


@pytest.mark.parametrize(
    ("wish", "generation", "lms", "taken"),
    [
        (Wish(), "v1", False, "native"),
        (Wish(8192, 2, True), "v1", True, "native"),
        (Wish(ttl=60), "v1", True, "lms"),
        (Wish(8192, identifier="x"), "v1", True, "lms"),
        (Wish(), "v0", False, "request"),
        (Wish(), "openai", True, "request"),
        (Wish(8192), "v0", True, "lms"),
        (Wish(parallel=2), "openai", True, "lms"),
    ],
)
def test_what_only_one_road_can_do_decides_the_road(
    wish: Wish, generation: Generation, lms: bool, taken: Road
) -> None:
    assert road(model(), wish, generation, lms=lms) == taken


@pytest.mark.parametrize(
    ("wish", "generation", "lms", "name"),
    [
        (Wish(ttl=60), "v1", False, "ttl"),
        (Wish(identifier="x"), "v0", False, "identifier"),
        (Wish(8192), "v0", False, "context_length"),
        (Wish(parallel=2), "openai", False, "parallel"),
        (Wish(flash_attention=True), "v0", True, "flash_attention"),
        (Wish(ttl=60, flash_attention=False), "v1", True, "flash_attention"),
    ],
)
def test_what_no_road_can_do_is_refused_by_name(wish: Wish, generation: Generation, lms: bool, name: str) -> None:
    with pytest.raises(UnsupportedParameter) as raised:
        road(model(), wish, generation, lms=lms)
    assert raised.value.name == name
    assert raised.value.hint


@pytest.mark.parametrize("wish", [Wish(0), Wish(-1), Wish(parallel=2**31), Wish(True), Wish(ttl=1.5)])  # type: ignore[arg-type]
def test_numbers_that_cannot_be_are_refused(wish: Wish) -> None:
    with pytest.raises(InvalidRequest, match="positive whole number"):
        check(wish)
    check(Wish(1, 1, None, 1))
