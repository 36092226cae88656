import math

import pytest

from lmbridge.machine.programs.values import MISSING, Broken, digest, found, line_at, merged, same


def test_a_value_is_found_by_names_in_tables_and_in_lists_of_named_tables() -> None:
    values = {"models": [{"name": "a", "url": 1}, 5, {"name": "b", "url": None}], "x": {"y": 2}}
    assert found(values, ("x", "y")) == 2
    assert found(values, ("models", "b", "url")) is None
    assert found(values, ()) is values
    for path in (("z",), ("x", "y", "z"), ("models", "c"), ("x", "z", "y")):
        assert found(values, path) is MISSING


def test_a_value_is_put_in_without_touching_what_it_was_put_into() -> None:
    values = {"models": [{"name": "a"}], "x": 1}
    assert merged(values, ("models", "a", "url"), 2) == {"models": [{"name": "a", "url": 2}], "x": 1}
    assert merged(values, ("models", "b"), {"name": "b"}) == {"models": [{"name": "a"}, {"name": "b"}], "x": 1}
    assert merged(values, ("y", "z"), 3) == {**values, "y": {"z": 3}}
    assert values == {"models": [{"name": "a"}], "x": 1}


def test_equal_is_what_is_written_equal() -> None:
    assert same({"a": [math.nan, {"b": 1}]}, {"a": [math.nan, {"b": 1}]})
    for one, other in ((True, 1), ([1], [1, 2]), ({"a": 1}, {"b": 1}), (1.0, 2.0), ("a", None)):
        assert not same(one, other)


def test_what_is_repeated_without_end_is_compared_once() -> None:
    def bomb() -> object:
        value: object = ["x"]
        for _ in range(60):
            value = [value, value]
        return value

    assert same(bomb(), bomb())


def test_a_digest_tells_values_apart_and_does_not_mind_the_order_of_names() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest("1") != digest(1)


@pytest.mark.parametrize(("position", "line"), [(0, 1), (3, 1), (4, 2)])
def test_a_position_has_a_line(position: int, line: int) -> None:
    assert line_at("one\ntwo", position) == line


def test_what_is_broken_says_where_if_that_is_known() -> None:
    assert str(Broken(3, "wrong")) == "line 3: wrong"
    assert str(Broken(0, "wrong")) == "wrong"
