import io
import re
from contextlib import ExitStack
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from lmbridge.cli.markdown import Answer, Flow, Lines, MarkdownStream, blocks, finished_blocks

TEXT = """\
# A heading

Some *words* of
a paragraph with `code`.

1. one
2. two
   - inner

   still two

| a | b |
|---|---|
| 1 | 2 |

```python
def f():

    return 1
```

> quoted
lazily

<b>HTML</b> [link](http://example.org)

The end"""


def drawn(pieces: list[str], height: int = 24) -> str:
    """What stands in the terminal's scroll-back in the end, as plain text."""
    flow = Flow(Console(file=io.StringIO(), width=60, height=height, color_system=None))
    lines: Lines = []
    for piece in pieces:
        lines += flow.feed(piece)
        lines += flow.settle()
        assert len(flow.tail()) <= height
    lines += flow.close()
    return plain(lines)


def plain(lines: Lines) -> str:
    return "\n".join("".join(segment.text for segment in line).rstrip() for line in lines)


def rendered(text: str) -> str:
    out = io.StringIO()
    Console(file=out, width=60, color_system=None).print(Answer(text))
    return out.getvalue()


def words(text: str) -> list[str]:
    return text.split()


def test_blocks_joined_are_the_text() -> None:
    assert "".join(blocks(TEXT)) == TEXT
    assert len(blocks(TEXT)) == 8
    assert blocks("") == []


@given(st.text("ab \n#>-*1.`|~[]<&\t", max_size=80))
def test_blocks_of_anything_joined_are_the_text(text: str) -> None:
    assert "".join(blocks(text)) == text


@given(st.integers(0, len(TEXT)), st.integers(0, len(TEXT)))
def test_a_block_that_is_finished_stays_as_it_is(earlier: int, later: int) -> None:
    earlier, later = sorted((earlier, later))
    before, after = finished_blocks(TEXT[:earlier]), finished_blocks(TEXT[:later])
    assert after[: len(before)] == before


@pytest.mark.parametrize("height", [8, 24, 200])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_the_answer_stands_there_once_and_whole_however_it_came(step: int, height: int) -> None:
    edges = [*range(0, len(TEXT), step), len(TEXT)]
    assert words(drawn([TEXT[a:b] for a, b in pairwise(edges)], height)) == words(rendered(TEXT))


def test_a_block_taller_than_the_screen_is_whole_in_the_scroll_back() -> None:
    tall = "\n".join(f"- item {number}" for number in range(100)) + "\n\nend"
    pieces = [line + "\n" for line in tall.split("\n")]
    assert words(drawn(pieces, height=10)) == words(rendered(tall))


def test_a_line_feed_within_a_paragraph_is_kept() -> None:
    assert drawn(["roses are red\nviolets are blue"]) == "roses are red\nviolets are blue"


def test_html_is_shown_as_the_text_it_is() -> None:
    assert "<div>hello</div>" in rendered("<div>hello</div>")
    assert "<b>x</b>" in rendered("a <b>x</b>")


def test_where_a_link_leads_is_seen() -> None:
    assert "http://example.org" in rendered("[safe](http://example.org)")


def test_an_answer_cannot_steer_the_terminal() -> None:
    assert "\x1b]0;" not in drawn(["a \x1b]0;title\x07 b"])
    assert "title" in drawn(["a \x1b]0;title\x07 b"])


def test_blocks_are_one_empty_line_apart() -> None:
    text = plain_lines = drawn([TEXT]).split("\n")
    assert text[0].strip() == "A heading"
    assert all(one.strip() or other.strip() for one, other in pairwise(plain_lines))


def test_thoughts_stand_before_the_answer_and_between_its_parts() -> None:
    flow = Flow(Console(file=io.StringIO(), width=60, height=24, color_system=None))
    lines = flow.feed_reasoning("Let me ")
    lines += flow.feed_reasoning("think.")
    assert plain(flow.tail()) == "Let me think."
    lines += flow.feed("Yes")
    lines += flow.feed_reasoning("Really?")
    lines += flow.feed("No")
    lines += flow.say("→ look()")
    lines += flow.close()
    assert plain(lines).split("\n\n") == ["Let me think.", "Yes", "Really?", "No", "→ look()"]


async def test_the_stream_draws_all_of_it_on_a_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=60, height=24, color_system=None)
    with MarkdownStream(console, "thinking about it") as stream:
        stream.feed("Hello ")
        stream.feed("*you*\n\nbye")
        stream.say("→ look()")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert "thinking about it" in text
    assert text.count("Hello you") >= 1
    assert text.rstrip().endswith("→ look()")
    assert out.getvalue().endswith("\x1b[?25h")  # the cursor is shown again


async def test_an_answer_that_breaks_off_stays_on_the_screen() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=60, height=24, color_system=None)
    stream = MarkdownStream(console)
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(KeyError))
        stack.enter_context(stream)
        stream.feed("So far")
        raise KeyError
    assert "So far" in out.getvalue()
