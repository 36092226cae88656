import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.json_schema import SchemaInvalid, check_schema, problems

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)

CASES: list[tuple[dict[str, object], list[object], list[object]]] = [
    ({}, [None, 1, {}], []),
    ({"type": "object"}, [{}], [[], None]),
    ({"type": ["integer", "null"]}, [1, None, 2.0], [1.5, True, "1"]),
    ({"type": "number"}, [1, 1.5], [True, "1"]),
    ({"type": "boolean"}, [True, False], [0, 1]),
    ({"type": "string"}, ["", "x"], [1]),
    ({"type": "array"}, [[]], [{}]),
    ({"enum": [1, "a", None]}, [1, "a", None], [True, "b"]),
    ({"const": {"a": [1]}}, [{"a": [1]}], [{"a": [2]}]),
    (
        {"properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False},
        [{"a": "x"}, "not an object"],
        [{}, {"a": 1}, {"a": "x", "b": 1}],
    ),
    ({"additionalProperties": {"type": "integer"}}, [{"x": 1}], [{"x": "1"}]),
    (
        {"patternProperties": {"^n_": {"type": "integer"}}, "additionalProperties": False},
        [{"n_a": 1}, 5],
        [{"n_a": "x"}, {"other": 1}],
    ),
    ({"items": {"type": "integer"}}, [[1, 2], [], "x"], [[1, "2"]]),
    ({"prefixItems": [{"type": "string"}], "items": False}, [["a"], [], 1], [["a", 1], [1]]),
    ({"uniqueItems": True}, [[1, True, "1"], "aa"], [[1, 1], [{"a": 1}, {"a": 1}]]),
    ({"uniqueItems": False}, [[1, 1]], []),
    ({"minItems": 1, "maxItems": 2}, [[1], [1, 2], "abc"], [[], [1, 2, 3]]),
    ({"minLength": 2, "maxLength": 3}, ["ab", "abc", 1], ["a", "abcd"]),
    ({"minProperties": 1, "maxProperties": 1}, [{"a": 1}, 1], [{}, {"a": 1, "b": 2}]),
    ({"minimum": 1, "maximum": 3}, [1, 3, "x", True], [0, 4]),
    ({"exclusiveMinimum": 1, "exclusiveMaximum": 3}, [2], [1, 3]),
    ({"multipleOf": 0.1}, [0.3, 1, "x"], [0.35]),
    ({"pattern": "^a+$"}, ["aa", 1], ["ab"]),
    ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, [1, 2], [3]),
    ({"anyOf": [{"type": "string"}, {"minimum": 5}]}, ["x", 6], [1]),
    ({"oneOf": [{"minimum": 1}, {"maximum": 3}]}, [0, 5], [2]),
    ({"oneOf": [{"type": "string"}, {"type": "null"}]}, ["x", None], [2]),
    ({"not": {"type": "null"}}, [1], [None]),
    ({"properties": {"a": True, "b": False}}, [{"a": 1}], [{"b": 1}]),
    ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "string"}}}, ["a"], [1]),
    ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": True}}, [1], []),
    (
        {
            "$defs": {"node": {"properties": {"next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}}}},
            "$ref": "#/$defs/node",
        },
        [{"next": {"next": None}}],
        [],
    ),
]


@pytest.mark.parametrize(("schema", "good", "bad"), CASES, ids=lambda case: json.dumps(case)[:40])
def test_values_are_told_apart_as_the_schema_says(
    schema: dict[str, object], good: list[object], bad: list[object]
) -> None:
    check_schema(schema)
    for value in good:
        assert list(problems(value, schema)) == []
    for value in bad:
        assert list(problems(value, schema))


def test_a_problem_says_where_and_what() -> None:
    schema = {
        "properties": {"people": {"items": {"properties": {"age": {"type": "integer"}}, "required": ["name"]}}}
    }
    found = list(problems({"people": [{"age": "9"}]}, schema))
    assert found == ["$.people[0].age is string, not integer", "$.people[0] lacks the property 'name'"]


def test_a_long_value_is_cut_in_the_sentence() -> None:
    (found,) = problems("x" * 1000, {"const": 1})
    assert len(found) < 100


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (None, "object, not null"),
        ([], "object, not array"),
        ({"type": "objekt"}, "'objekt'"),
        ({"type": []}, "not a list with something"),
        ({"type": [1]}, "no type 1"),
        ({"if": {}}, "'if' is unknown or not supported"),
        ({"properties": []}, "#/properties is array"),
        ({"properties": {"a": {"requird": []}}}, "#/properties/a/requird"),
        ({"items": 5}, "#/items is integer"),
        ({"anyOf": []}, "#/anyOf"),
        ({"allOf": [{"type": "x"}]}, "#/allOf/0/type"),
        ({"enum": "a"}, "#/enum"),
        ({"required": "a"}, "list of names"),
        ({"minimum": "1"}, "no limit"),
        ({"multipleOf": 0}, "no limit"),
        ({"pattern": "("}, "regular expression"),
        ({"patternProperties": {"(": {}}}, "regular expression"),
        ({"uniqueItems": 1}, "boolean"),
        ({"$ref": "http://example.org/s.json"}, "out of the schema"),
        ({"$ref": "#/$defs/a"}, "points to nothing"),
        ({"$ref": "#/title", "title": "x"}, "not to a schema"),
        ({"$ref": "#"}, "back to itself"),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
            "back to itself",
        ),
    ],
)
def test_a_schema_that_cannot_be_checked_is_refused_with_the_reason(schema: object, reason: str) -> None:
    with pytest.raises(SchemaInvalid, match=r".*") as caught:
        check_schema(schema)
    assert reason in str(caught.value)


@given(JSON)
def test_any_json_as_a_schema_is_used_or_refused_and_never_crashes(schema: object) -> None:
    try:
        check_schema(schema)
    except SchemaInvalid:
        return
    assert isinstance(schema, dict)
    list(problems({"a": [1, "b", None]}, schema))


@given(JSON)
def test_a_value_follows_the_schema_that_demands_just_it(value: object) -> None:
    assert list(problems(value, {"const": value})) == []
    assert list(problems(value, {"enum": [value]})) == []


def test_a_pattern_that_could_take_for_ever_decides_nothing() -> None:
    slow, value = "^(a+)+$", "a" * 40 + "!"
    assert list(problems(value, {"pattern": slow})) == []
    closed = {"patternProperties": {slow: {"type": "null"}}, "additionalProperties": False}
    assert list(problems({value: 1}, closed)) == []
