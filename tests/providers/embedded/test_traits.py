"""How tool calls are written, read off a template's own rendering."""

from __future__ import annotations

import pytest

from lmbridge.providers.embedded.traits import markers

ASKED = "<|user|>?<|end|>"
NAME, ARGUMENT, VALUE, TEXT = (f"lmbridge_probe_{what}" for what in ("name", "argument", "value", "text"))


@pytest.mark.parametrize(
    ("prompt", "called", "said", "expected"),
    [
        (
            "<|bot|>",
            f'<|bot|><tool_call>\n{{"name": "{NAME}", "arguments": {{"a": "{VALUE}"}}}}\n</tool_call><|end|>',
            f"<|bot|>{TEXT}<|end|>",
            ("<tool_call>\n", "</tool_call>"),
        ),
        (  # thoughts that the template leaves empty are the engine's to write
            "<|bot|><think>\n",
            f'<|bot|><think>\n\n</think>\n\n<tool_call>\n{{"name": "{NAME}", "a": "{VALUE}"}}\n</tool_call>\n',
            f"<|bot|><|final|>{TEXT}\n",
            ("<tool_call>\n", "</tool_call>"),
        ),
        (  # calls as XML
            "<|bot|>",
            f"<|bot|><tool_call>\n<function={NAME}>\n<parameter={ARGUMENT}>\n{VALUE}\n</parameter>\n</function>\n"
            "</tool_call><|end|>",
            f"<|bot|>{TEXT}<|end|>",
            ("<tool_call>\n<function=", "</tool_call>"),
        ),
        (  # a list behind one marker, nothing after it
            "<|bot|>",
            f'<|bot|>[TOOL_CALLS][{{"name": "{NAME}", "arguments": {{"{ARGUMENT}": "{VALUE}"}}, "id": "c"}}]</s>',
            f"<|bot|>{TEXT}</s>",
            ("[TOOL_CALLS][", ""),
        ),
        (  # a channel of its own
            "<|start|>assistant",
            f'<|start|>assistant<|channel|>commentary to=functions.{NAME} <|message|>{{"a": "{VALUE}"}}<|call|>',
            f"<|start|>assistant<|channel|>final<|message|>{TEXT}<|end|>",
            ("<|channel|>commentary to=functions.", "<|call|>"),
        ),
        (  # bare JSON
            "<|bot|>",
            f'<|bot|>{{"name": "{NAME}", "parameters": {{"{ARGUMENT}": "{VALUE}"}}}}<|end|>',
            f"<|bot|>{TEXT}<|end|>",
            ("", ""),
        ),
        ("<|bot|>", "<|bot|><|end|>", f"<|bot|>{TEXT}<|end|>", ("", "")),  # calls are not rendered at all
    ],
)
def test_markers_are_found(prompt: str, called: str, said: str, expected: tuple[str, str]) -> None:
    assert markers(ASKED, ASKED + prompt, ASKED + called, ASKED + said) == expected


def test_a_template_that_rewrites_the_question_tells_nothing() -> None:
    assert markers(ASKED, ASKED, "something else", ASKED) == ("", "")
