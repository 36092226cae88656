"""The tools of several boxes under names of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from tests.hub.act.conftest import ADD, WAIT, Box, broken

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.messages import Tool
from lmbridge.core.tools import Toolbox, ToolResult
from lmbridge.hub.act.tooling import Tooling, boxes_of


async def test_tools_of_one_name_are_told_apart_by_their_boxes() -> None:
    one, other = Box("one"), Box("the other!")
    tooling = await Tooling.of([one, other])
    assert list(tooling.tools) == ["one_add", "one_wait", "the_other__add", "the_other__wait"]
    assert tooling.tools["one_add"] == Tool("one_add", ADD.description, ADD.parameters)
    assert tooling.whose("the_other__add") == ("the other!", "add")
    assert (await tooling.call("the_other__add", {"a": 1})).text == "1"
    assert (one.called, other.called) == ([], [("add", {"a": 1})])


async def test_a_name_that_nobody_else_has_stays_as_it_is() -> None:
    assert (await Tooling.of([Box()])).tools == {"add": ADD, "wait": WAIT}


def test_boxes_of_one_name_and_long_names_are_no_obstacle() -> None:
    box, long = Box("b" * 80), Tool("t")
    tooling = Tooling([(box, [long]), (box, [long]), (Box("x"), [Tool("b" * 64)])])
    assert [len(name) for name in tooling.tools] == [64, 64, 64]
    assert len(set(tooling.tools)) == 3


async def test_a_broken_box_gives_a_result_that_says_so() -> None:
    box = Box()
    box.failure = broken("It is broken.", hint="Mend it.")
    assert await (await Tooling.of([box])).call("add", {"a": 1}) == ToolResult("It is broken. Mend it.", True)


def test_functions_become_one_more_box() -> None:
    made: list[Sequence[Callable[..., object]]] = []
    box, functions = Box(), Box("functions")

    def toolbox_of(given: Sequence[Callable[..., object]]) -> Toolbox:
        made.append(given)
        return functions

    assert boxes_of([box, print, len], toolbox_of) == [box, functions]
    assert made == [[print, len]]
    assert boxes_of([box], None) == [box]


def test_what_is_no_tool_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="'hammer' is no tool"):
        boxes_of(["hammer"], None)  # type: ignore[list-item]
    for alone in (Box(), print, None):
        with pytest.raises(InvalidRequest, match="is no list of tools"):
            boxes_of(alone, None)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="Functions are no tools here"):
        boxes_of([print], None)
