"""Annotations as a JSON schema, and arguments as what they ask for."""

# No `from __future__ import annotations`: types of a test itself can be named in a signature only without it.

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal, Optional, TypedDict

import pydantic
import pytest
from msgspec import Meta, Struct

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.json_schema import check_schema
from lmbridge.core.tools import ToolProgress
from lmbridge.tools.docstrings import Documented
from lmbridge.tools.signature import BadArguments, encoded, given_schema, read_signature


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: int
    y: int = 0


class Place(TypedDict):
    name: str


class Node(Struct, tag=True):
    children: "list[Node]" = []


class Leaf(Struct, tag=True):
    size: int


class Inner(pydantic.BaseModel):
    n: int = pydantic.Field(description="how many", gt=0)


class Outer(pydantic.BaseModel):
    inner: Inner


def everything(
    a: int,
    b: Annotated[str, 3, "its name"],
    c: Annotated[float, Meta(ge=0, description="how much")] = 1.5,
    colour: Colour = Colour.RED,
    point: Point | None = None,
    place: Optional[Place] = None,  # noqa: UP045 - people write it
    node: Node | Leaf = Leaf(1),
    outer: Outer | None = None,
    kind: Literal["x", "y"] = "x",
    many: list[dict[str, int]] = [],  # noqa: B006 - it is not changed
    keyed: dict[Literal["k"], int] = {},  # noqa: B006 - it is not changed
    path: Path = Path("."),
    odd: object = object(),
) -> None:
    pass


WHOLE = read_signature(everything, Documented("", {"a": "the number", "b": "not this"}))


def bound(function: Callable[..., object], **arguments: object) -> dict[str, object]:
    by_position, by_name = read_signature(function, Documented()).bound(arguments)
    assert not by_position
    return by_name


def test_the_schema_says_what_each_parameter_is() -> None:
    check_schema(WHOLE.schema)
    properties = WHOLE.schema["properties"]
    assert isinstance(properties, dict)
    assert WHOLE.schema["required"] == ["a", "b"]
    assert WHOLE.schema["additionalProperties"] is False
    assert properties["a"] == {"type": "integer", "description": "the number"}
    assert properties["b"] == {"type": "string", "description": "its name"}
    assert properties["c"] == {"type": "number", "minimum": 0, "description": "how much", "default": 1.5}
    assert properties["colour"]["default"] == "red"
    assert properties["kind"] == {"enum": ["x", "y"], "default": "x"}
    assert properties["path"]["default"] == "."
    assert "default" not in properties["odd"]
    definitions = WHOLE.schema["$defs"]
    assert isinstance(definitions, dict)
    assert {"Inner", "Node", "Point", "Place", "Colour"} <= set(definitions)
    assert definitions["Inner"]["properties"]["n"]["description"] == "how many"


def test_arguments_become_what_the_annotations_ask_for() -> None:
    found = bound(
        everything,
        a=1,
        b="x",
        colour="blue",
        point={"x": 1},
        place={"name": "here"},
        node={"type": "Node", "children": [{"type": "Node"}]},
        outer={"inner": {"n": 2}},
        path="a/b",
        odd=[None],
        many=[{"x": 1}],
    )
    assert found == {
        "a": 1,
        "b": "x",
        "colour": Colour.BLUE,
        "point": Point(1),
        "place": {"name": "here"},
        "node": Node([Node()]),
        "outer": Outer(inner=Inner(n=2)),
        "path": Path("a/b"),
        "odd": [None],
        "many": [{"x": 1}],
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "a"),
        ({"a": "1", "b": "x"}, r"Expected `int`, got `str` - at `\$.a`"),
        ({"a": 1, "b": "x", "more": 1}, "unknown field `more`"),
        (
            {"a": 1, "b": "x", "outer": {"inner": {"n": 0}}},
            r"inner.n: Input should be greater than 0 - at",
        ),
        ({"a": 1, "b": "x", "path": 3}, r"a Path cannot be made of 3|Path"),
        ({"a": 1, "b": "x", "colour": "green"}, "green"),
        ({"a": 1, "b": "x", "c": -1}, ">= 0"),
    ],
)
def test_arguments_that_are_wrong_are_refused_where_they_are(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(BadArguments, match=said):
        WHOLE.bound(arguments)


def test_what_cannot_be_passed_by_name_is_passed_by_position() -> None:
    def function(a: int, b: int = 2, /, c: int = 3) -> None:
        pass

    signature = read_signature(function, Documented())
    assert signature.bound({"a": 1, "c": 4}) == ([1], {"c": 4})
    assert signature.bound({"a": 1, "b": 5}) == ([1, 5], {})


def no_annotation(a) -> None:  # type: ignore[no-untyped-def]
    pass


def anything(**kwargs: int) -> None:
    pass


def anything_in_order(*args: int) -> None:
    pass


def of_no_json(a: pytest.MonkeyPatch) -> None:
    pass


def of_nowhere(a: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821
    pass


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (no_annotation, "'a' of 'no_annotation' has no annotation"),
        (anything, r"takes any arguments \(\*\*kwargs"),
        (anything_in_order, r"takes any arguments \(\*args"),
        (of_no_json, "JSON cannot hold"),
        (of_nowhere, "cannot be read"),
    ],
)
def test_what_no_model_could_call_is_refused_where_it_is_defined(
    function: Callable[..., object], said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        read_signature(function, Documented())


def test_an_object_that_can_be_called_is_read_too() -> None:
    class Adder:
        def __call__(self, a: int) -> int:
            return a + 1

    assert bound(Adder(), a=1) == {"a": 1}

    class Wrong:
        def __call__(self, a) -> None:  # type: ignore[no-untyped-def]
            pass

    with pytest.raises(InvalidRequest, match="'Wrong'"):
        read_signature(Wrong(), Documented())


def test_what_json_has_for_an_object_is_known_for_paths_and_models() -> None:
    assert encoded(Path("a")) == "a"
    assert encoded(Inner(n=1)) == {"n": 1}
    with pytest.raises(NotImplementedError):
        encoded(object())


def test_a_note_that_is_no_text_describes_nothing() -> None:
    def function(a: Annotated[int, 3]) -> None:
        pass

    assert read_signature(function, Documented()).schema["properties"] == {"a": {"type": "integer"}}


def test_a_schema_that_somebody_wrote_passes_arguments_as_they_are() -> None:
    signature = given_schema("f", {"type": "object", "properties": {"a": {"type": "integer"}}}, of_nowhere)
    assert signature.bound({"a": 1, "more": [2]}) == ([], {"a": 1, "more": [2]})
    with pytest.raises(InvalidRequest, match="cannot be used"):
        given_schema("f", {"type": "robot"}, of_nowhere)
    with pytest.raises(InvalidRequest, match="none of an object"):
        given_schema("f", {"type": "string"}, of_nowhere)


def test_no_model_is_told_of_the_parameter_that_takes_the_progress() -> None:
    def function(a: int, tell: ToolProgress, b: int = 1) -> None:
        pass

    def optional(tell: ToolProgress | None = None) -> None:
        pass

    signature = read_signature(function, Documented())
    assert list(signature.schema["properties"]) == ["a", "b"]  # type: ignore[call-overload]
    assert signature.schema["required"] == ["a"]
    assert (signature.progress, signature.bound({"a": 1})) == ("tell", ([], {"a": 1}))
    with pytest.raises(BadArguments):
        signature.bound({"a": 1, "tell": 2})
    assert read_signature(optional, Documented()).progress == "tell"
    assert given_schema("f", {"type": "object"}, function).progress == "tell"


def test_the_parameter_that_takes_the_progress_must_have_a_name() -> None:
    def function(tell: ToolProgress, /) -> None:
        pass

    with pytest.raises(InvalidRequest, match="must have a name"):
        read_signature(function, Documented())
