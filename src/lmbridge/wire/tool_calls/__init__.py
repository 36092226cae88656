"""Tool calls in one normal form, whoever answers: streamed and not, in core's own events.

`mend` puts right what models write instead of JSON, `prefix` finds out how much of it can be passed on at once,
`advertised` knows what may be called, `leaks` finds calls that were written into the text and `forms` reads them,
`calls` is all of it together, `normal` the same with the thoughts taken apart, and `answer_tool` lets a model call
or answer by a schema where a runtime has room for one of both.
"""

from lmbridge.wire.tool_calls.answer_tool import wants_either, with_answer_tool
from lmbridge.wire.tool_calls.calls import ToolCalls
from lmbridge.wire.tool_calls.normal import NormalForm

__all__ = ["NormalForm", "ToolCalls", "wants_either", "with_answer_tool"]
