from __future__ import annotations

import msgspec
import pytest
from msgspec import Raw

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.core.messages import Tool
from lmbridge.core.requests import NamedTool
from lmbridge.wire.openai.responding.tools import MAX_TOOLS, Choice, Toolbox, shown_name, toolbox

WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": True}
CLOCK = {"type": "function", "name": "clock", "description": "What time it is."}
ALLOWED = {"type": "function", "name": "clock"}
SPACE = {"type": "namespace", "name": "mcp__idea__", "description": "An editor.", "tools": [CLOCK]}


def box(tools: list[object] | None, choice: object = None) -> Toolbox:
    raw = None if tools is None else [Raw(msgspec.json.encode(tool)) for tool in tools]
    return toolbox(raw, msgspec.convert(choice, Choice | None))


def test_functions_are_tools() -> None:
    assert box([WEATHER, CLOCK]) == Toolbox(
        (Tool("weather", "", {"type": "object"}, True), Tool("clock", "What time it is."))
    )


def test_no_tools_are_none() -> None:
    assert box(None) == box([]) == Toolbox()


def test_a_function_may_have_the_fields_of_openais_own_tools() -> None:
    extra = {"defer_loading": True, "allowed_callers": ["direct"], "output_schema": None}
    assert [tool.name for tool in box([{**CLOCK, **extra}]).tools] == ["clock"]


def test_a_function_in_a_namespace_is_shown_with_both_names() -> None:
    found = box([SPACE, CLOCK], {"type": "function", "name": "clock", "namespace": "mcp__idea__"})
    assert [tool.name for tool in found.tools] == ["mcp__idea__clock", "clock"]
    assert found.names == {"mcp__idea__clock": ("mcp__idea__", "clock")}
    assert found.choice == NamedTool(shown_name("clock", "mcp__idea__"))


def test_a_search_of_the_web_that_may_not_go_there_is_left_out() -> None:
    assert box([{"type": "web_search", "external_web_access": False}, CLOCK]).tools == box([CLOCK]).tools


@pytest.mark.parametrize("kind", ["web_search", "file_search", "mcp", "custom", "local_shell", "", "x" * 1000])
def test_a_tool_that_nobody_here_can_run_is_refused_by_name(kind: str) -> None:
    with pytest.raises(UnsupportedParameter, match="cannot be run here") as caught:
        box([CLOCK, {"type": kind, "name": "x"}])
    assert caught.value.param == "tools[1].type"
    with pytest.raises(UnsupportedParameter) as caught:
        box([{**SPACE, "tools": [{"type": kind, "name": "x"}]}])
    assert caught.value.param == "tools[0].tools[0].type"


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"type": "function"}, "tools[0].name"),
        ({"type": "function", "name": ""}, "tools[0].name"),
        ({"type": "function", "name": "f", "parameters": []}, "tools[0].parameters"),
        ({"name": "f"}, "tools[0].type"),
        ("f", "tools[0]"),
        ({"type": "namespace", "name": "n"}, "tools[0].tools"),
    ],
)
def test_what_is_wrong_with_a_tool_is_told_with_its_place(tool: object, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        box([tool])
    assert caught.value.param == param


def test_a_field_that_no_tool_has_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        box([CLOCK, {**CLOCK, "colour": 1}])
    assert caught.value.param == "tools[1].colour"


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="two tools") as caught:
        box([CLOCK, CLOCK])
    assert caught.value.param == "tools[1].name"


def test_there_is_an_end_to_tools() -> None:
    with pytest.raises(InvalidRequest, match="1,025"):
        box([{**CLOCK, "name": f"f{number}"} for number in range(MAX_TOOLS + 1)])


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_a_choice_in_a_word_is_that_choice(choice: str) -> None:
    assert box([CLOCK], choice).choice == choice


def test_a_choice_may_name_a_function() -> None:
    assert box([WEATHER, CLOCK], {"type": "function", "name": "clock"}).choice == NamedTool("clock")


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_of_allowed_tools_the_model_is_shown_those_alone(mode: str) -> None:
    chosen = {"type": "allowed_tools", "mode": mode, "tools": [ALLOWED]}
    found = box([WEATHER, CLOCK], chosen)
    assert ([tool.name for tool in found.tools], found.choice) == (["clock"], mode)


@pytest.mark.parametrize(
    ("tools", "choice", "param"),
    [
        ([], "required", "tool_choice"),
        ([CLOCK], "sometimes", "tool_choice"),
        ([CLOCK], {"type": "function", "name": "weather"}, "tool_choice.name"),
        ([], {"type": "function", "name": "weather"}, "tool_choice.name"),
        ([CLOCK], {"type": "web_search"}, "tool_choice"),
        ([CLOCK], {"type": "allowed_tools", "mode": "auto"}, "tool_choice"),
        ([CLOCK], {"type": "allowed_tools", "mode": "never", "tools": [ALLOWED]}, "tool_choice"),
        (
            [CLOCK],
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]},
            "tool_choice.tools[0].type",
        ),
        (
            [CLOCK],
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "x"}]},
            "tool_choice.tools[0].name",
        ),
    ],
)
def test_a_choice_that_cannot_be_is_refused(tools: list[object], choice: object, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        box(tools, choice)
    assert caught.value.param == param
