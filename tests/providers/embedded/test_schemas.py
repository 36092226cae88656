"""Which schemas are passed on, which are rewritten, and which are refused by the place that is wrong."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import InvalidRequest
from lmbridge.providers.embedded.schemas import fitted

Schema = dict[str, object]


def refused(schema: object, *, exact: bool = True) -> str:
    with pytest.raises(InvalidRequest) as caught:
        fitted(schema, "response_format", exact=exact)
    assert caught.value.param == "response_format"
    return caught.value.message


PERSON: Schema = {
    "title": "Person",
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20, "description": "in full"},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "kind": {"enum": ["a", "b"], "type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
        "friend": {"anyOf": [{"$ref": "#/$defs/friend"}, {"type": "null"}], "default": None},
        "born": {"type": "string", "format": "date"},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
    "$defs": {"friend": {"type": "object", "properties": {"of": {"$ref": "#/$defs/friend"}}}},
}


def test_a_schema_that_the_engine_follows_is_passed_on_as_it_is() -> None:
    assert fitted(PERSON, "x", exact=True) is PERSON
    assert fitted(PERSON, "x", exact=False) is PERSON


@pytest.mark.parametrize("kind", ["integer", ["integer", "null"]])
@pytest.mark.parametrize("exact", [True, False])
def test_limits_wider_than_the_engine_can_count_to_become_its_own(kind: object, exact: bool) -> None:
    safe = 2**53 - 1  # JavaScript's, as zod writes them for every integer
    wide = {"type": kind, "minimum": -safe, "maximum": safe, "exclusiveMaximum": 2**60}
    ours = {"type": kind, "minimum": -(10**15), "maximum": 10**15, "exclusiveMaximum": 10**15}
    assert fitted({"properties": {"n": wide}}, "tools", exact=exact) == {"properties": {"n": ours}}


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"type": "objekt"}, "#/type: there is no type 'objekt'"),
        ({"type": "object", "properties": 5}, "#/properties"),
        ({"type": "object", "properties": {"a": 5}}, "#/properties/a"),
        ({"type": "object", "properties": {"a": False}}, "#/properties/a"),
        ({"anyOf": []}, "#/anyOf"),
        ({"enum": []}, "#/enum"),
        ({"enum": "a"}, "#/enum"),
        ({"required": "a"}, "#/required"),
        ({"$ref": "https://example.org/x"}, "#/$ref"),
        ({"$ref": "#"}, "#/$ref"),
        ({"$ref": "#/$defs/none"}, "'#/$defs/none' leads nowhere"),
        ({"type": "integer", "minimum": 5, "maximum": 2}, "at least 5 and at most 2"),
        ({"type": "integer", "exclusiveMinimum": 5, "maximum": 5}, "at least 6 and at most 5"),
        ({"type": "integer", "minimum": 10**30}, "#/minimum"),
        ({"type": "integer", "exclusiveMaximum": -(10**30)}, "#/exclusiveMaximum"),
        ({"type": "integer", "minimum": "x"}, "#/minimum"),
        (
            {"type": "array", "items": {}, "minItems": 5, "maxItems": 2},
            "5 is more than `maxItems` (2)",
        ),
        ({"type": "array", "minItems": 3000}, "#/minItems"),
        ({"type": "string", "minLength": 5000}, "#/minLength"),
        ({"type": "string", "minLength": 1.5}, "#/minLength"),
        ({"type": "string", "maxLength": -1}, "#/maxLength"),
        ({"type": "string", "pattern": "^(a$"}, "#/pattern"),
        ({"type": "string", "pattern": "^[z-a]$"}, "#/pattern"),
        ({"type": "integer", "enum": ["a"]}, "'a' is not of type integer"),
        ({"enum": list(range(2000))}, "#/enum: more than 1000"),
        ({"properties": {f"p{i}": {} for i in range(300)}}, "#/properties: more than 200"),
        ({"items": {"items": {"anyOf": [{"type": "x"}]}}}, "#/items/items/anyOf/0/type"),
        ({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "refers to itself"),
        ({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {}]}}, "$ref": "#/$defs/a"}, "refers to itself"),
        ("x", "must be a JSON object"),
    ],
)
@pytest.mark.parametrize("exact", [True, False])
def test_what_would_make_the_engine_fail_or_hang_is_named(schema: object, place: str, exact: bool) -> None:
    assert place in refused(schema, exact=exact)


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"not": {}}, "#/not"),
        ({"type": "number", "minimum": 5}, "#/minimum"),
        ({"type": "integer", "multipleOf": 5}, "#/multipleOf"),
        ({"type": "array", "uniqueItems": True}, "#/uniqueItems"),
        ({"type": "object", "patternProperties": {}}, "#/patternProperties"),
        ({"type": "object", "required": ["a"]}, "'a' is required"),
        ({"type": "string", "pattern": "^(?=a)b$"}, "#/pattern"),
        ({"type": "string", "pattern": "^a$", "maxLength": 3}, "ignores lengths"),
        ({"type": "string", "format": "date", "maxLength": 3}, "with `format`"),
        ({"anyOf": [{}], "type": "object"}, "beside `anyOf`"),
        ({"$defs": {"a": {}}, "$ref": "#/$defs/a", "maxLength": 2}, "beside `$ref`"),
        ({"enum": ["a"], "minLength": 3}, "beside `enum`"),
        ({"allOf": [{"type": "string"}, {"maxLength": 3}]}, "#/allOf/0"),
    ],
)
def test_what_the_engine_would_ignore_is_refused_where_it_counts(schema: Schema, place: str) -> None:
    assert place in refused(schema)
    assert fitted(schema, "tools", exact=False) is schema


def test_what_only_explains_is_no_reason_to_refuse() -> None:
    schema: Schema = {"$ref": "#/$defs/a", "description": "x", "$defs": {"a": {"format": "email", "x-note": 1}}}
    assert fitted(schema, "x", exact=True) is schema


def test_patterns_are_rewritten_wherever_they_are_and_nothing_else() -> None:
    schema: Schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "pattern": r"^\d$"}, "b": {"type": "string"}},
        "$defs": {"c": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"pattern": r"^\d$"}}]}},
        "additionalProperties": {"pattern": r"^\d$"},
    }
    before = json.dumps(schema)
    after = json.dumps(fitted(schema, "x", exact=True))
    assert json.dumps(schema) == before
    assert after == before.replace(r"^\\d$", "^[0-9]$")


def test_depth_and_number_are_limited() -> None:
    deep: Schema = {}
    for _ in range(100):
        deep = {"items": deep}
    assert "deeper than 64" in refused(deep)
    for _ in range(100_000):
        deep = {"items": deep}
    assert "deeper than 64" in refused(deep)
    assert "more than 2000 schemas" in refused({"anyOf": [{"anyOf": [{}] * 60}] * 60})


def test_a_long_chain_of_references_ends() -> None:
    chain: Schema = {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(500)}
    assert "refers to itself" in refused({"$defs": {**chain, "d500": {}}, "$ref": "#/$defs/d0"})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "items", "anyOf", "allOf", "$ref", "enum", "pattern", "minItems"]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(json_values, st.booleans())
def test_whatever_is_sent_is_fitted_or_refused(schema: object, exact: bool) -> None:
    with suppress(InvalidRequest):
        fitted(schema, "x", exact=exact)


def test_a_tuple_that_says_that_nothing_follows_is_understood() -> None:
    items = [{"type": "integer"}, {"type": "boolean"}]
    schema: dict[str, object] = {"type": "array", "prefixItems": items, "items": False}
    assert fitted(schema, "schema", exact=True) == {"type": "array", "prefixItems": items}
    with pytest.raises(InvalidRequest, match="#/items"):
        fitted({"type": "array", "items": False}, "schema", exact=True)
