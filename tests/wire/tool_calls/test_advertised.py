from __future__ import annotations

from lmbridge.core.messages import Tool
from lmbridge.wire.tool_calls.advertised import Advertised

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = Advertised(
    [
        Tool("weather", parameters=CITY),
        Tool("clock"),
        Tool("odd", parameters={"type": "object", "if": {}}),
        Tool("worse", parameters={"$ref": "#"}),
    ]
)


def test_only_what_follows_the_schema_of_a_tool_is_taken() -> None:
    assert TOOLS
    assert not Advertised([])
    assert "weather" in TOOLS
    assert TOOLS.takes("weather", {"city": "Bern"})
    assert not TOOLS.takes("weather", {"town": "Bern"})
    assert not TOOLS.takes("weather", ["Bern"])
    assert not TOOLS.takes("whether", {"city": "Bern"})
    assert TOOLS.takes("clock", {"anything": 1})


def test_nothing_is_vouched_for_by_a_schema_that_cannot_be_checked() -> None:
    assert not TOOLS.takes("odd", {})
    assert not TOOLS.takes("odd", {})
    assert not TOOLS.takes("worse", {})


def test_arguments_are_mended_if_the_tool_takes_the_result() -> None:
    assert TOOLS.mended("weather", "{'city': 'Bern',}") == '{"city": "Bern"}'
    assert TOOLS.mended("weather", "{'town': 'Bern',}") == "{'town': 'Bern',}"
    assert TOOLS.mended("whether", "{'city': 'Bern',}") == "{'city': 'Bern',}"
    assert TOOLS.mended("odd", "{'city': 'Bern',}") == "{'city': 'Bern',}"
    assert TOOLS.mended("weather", '"{\\"city\\": \\"Bern\\"}"') == '{"city": "Bern"}'


def test_json_is_left_as_the_model_wrote_it_whether_it_fits_or_not() -> None:
    assert TOOLS.mended("weather", '{ "town": 1 }') == '{ "town": 1 }'
    assert TOOLS.mended("weather", "Bern") == "Bern"
    assert TOOLS.mended("weather", "[1]") == "[1]"
    assert TOOLS.mended("weather", '{"city": "\\ud800"}') == '{"city": "\\ud800"}'


def test_no_arguments_are_an_empty_object_for_who_needs_none() -> None:
    assert TOOLS.mended("clock", " ") == "{}"
    assert TOOLS.mended("weather", "") == ""


def test_arguments_that_were_cut_off_are_not_completed() -> None:
    assert TOOLS.mended("weather", '{"city": "Bern"', cut=True) == '{"city": "Bern"'
    assert TOOLS.mended("weather", '{"city": "Bern"') == '{"city": "Bern"}'


def test_arguments_without_json_become_what_the_tool_takes() -> None:
    schema = {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "count": {"type": "integer"},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
            "free": {},
        },
        "$defs": {"tag": {"type": "string"}},
    }
    tools = Advertised([Tool("t", parameters=schema), Tool("odd", parameters={"type": "robot"})])
    given = {"text": "5", "count": " 5\n", "tags": "['a', 'b']", "free": "5", "more": "{}"}
    assert tools.typed("t", given) == {"text": "5", "count": 5, "tags": ["a", "b"], "free": "5", "more": "{}"}
    assert tools.typed("t", {"count": "many"}) == {"count": "many"}
    assert tools.typed("odd", {"count": "5"}) == {"count": "5"}


def test_the_beginning_of_a_name_is_known() -> None:
    tools = Advertised([Tool("weather")])
    assert [tools.some_begin_with(name) for name in ("", "wea", "weather", "weathers")] == [
        True,
        True,
        True,
        False,
    ]
