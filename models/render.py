"""A conversation as the text that the model sees: the chat template, filled in as llama.cpp fills it in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

TEMPLATE = Path(__file__).with_name("template.jinja")


def _tojson(value: object) -> str:
    """JSON as llama.cpp's own template engine writes it: Jinja's filter would escape characters for HTML."""
    return json.dumps(value, ensure_ascii=False)


@cache
def _template() -> Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = _tojson
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def render(
    messages: Sequence[Mapping[str, object]],
    tools: Sequence[Mapping[str, object]] = (),
    *,
    answer: bool = False,
) -> str:
    """Text of *messages*; with *answer* it ends where the model's next answer begins."""
    text = _template().render(messages=messages, tools=tools or None, add_generation_prompt=answer)
    return str(text)
