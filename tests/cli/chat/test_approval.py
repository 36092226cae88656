"""How calls are shown, and whom a box's own rules spare the question."""

from __future__ import annotations

from collections.abc import Mapping

from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input

from lmbridge.cli.chat.approval import Approval, brief, whole
from lmbridge.core.acting import Allow, CallRequested, Deny
from lmbridge.core.messages import ToolCall
from lmbridge.tools.functions import FunctionTools


def request(**arguments: object) -> CallRequested:
    return CallRequested(1, ToolCall("1", "save", "{}"), dict(arguments), "box", "save")


class Ruled(FunctionTools):
    def policy_of(self, name: str, arguments: Mapping[str, object] = {}) -> str:
        return "always" if name == "save" and arguments == {"a": 1} else "ask"


async def test_what_a_boxs_rules_always_allow_is_not_asked_about() -> None:
    assert await Approval([Ruled([], name="box")])(request(a=1)) == Allow()


async def test_the_rules_of_one_box_do_not_count_for_another_of_the_same_name() -> None:
    approval = Approval([Ruled([], name="box"), FunctionTools([], name="box")])
    with create_pipe_input() as keys, create_app_session(input=keys):
        keys.send_text("n not this one\r")
        assert await approval(request(a=1)) == Deny("not this one")


async def test_one_key_pressed_by_mistake_is_no_reason_against_a_call() -> None:
    with create_pipe_input() as keys, create_app_session(input=keys):
        keys.send_text("h\r\rnot now\r")
        assert await Approval([])(request(a=1)) == Deny("not now")


def test_a_call_is_one_line_however_long_and_odd_its_arguments_are() -> None:
    line = brief(request(path="a.txt", text="x" * 500 + "\n\x1b[31m", count=3))
    assert line.startswith('save(path="a.txt", text="xxx')
    assert line.endswith("…, count=3)")
    assert "\n" not in line
    assert "\x1b" not in line


def test_what_is_asked_about_is_shown_in_full_as_far_as_it_can_be_read() -> None:
    shown = whole(request(path="a.txt", text="one\ntwo\x1b[2J", count=3))
    assert shown.split("\n") == [
        "The model wants to call save of box:",
        "  path: a.txt",
        "  text: one",
        "    two\N{REPLACEMENT CHARACTER}[2J",
        "  count: 3",
    ]
    assert whole(request(text="x\n" * 50)).endswith("… 32 lines more; edit shows all")
