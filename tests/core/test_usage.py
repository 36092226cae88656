from __future__ import annotations

import pytest

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.usage import LONGEST_TASK, UsageReport, Used, checked_task


def test_tokens_in_and_out_add_up() -> None:
    assert Used("a", prompt_tokens=3, cached_tokens=2, completion_tokens=4).tokens == 7


@pytest.mark.parametrize("task", ["", "summaries", "übersetzen 翻訳", "x" * LONGEST_TASK])
def test_a_task_has_a_short_name(task: str) -> None:
    assert checked_task(task) == task


@pytest.mark.parametrize("task", ["x" * (LONGEST_TASK + 1), "two\nlines", "\x1b[31mred", "a\ud800"])
def test_what_is_long_or_not_printable_is_no_name_of_a_task(task: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked_task(task, "x-lmbridge-task")
    assert refused.value.param == "x-lmbridge-task"


def test_what_is_reported_has_no_place_for_words() -> None:
    names = {*Used.__struct_fields__, *UsageReport.__struct_fields__}
    assert not {"prompt", "messages", "text", "content", "answer", "query", "hint"} & names
