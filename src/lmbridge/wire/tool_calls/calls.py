"""The events of an answer with its tool calls in normal form, whatever its runtime made of them.

Each call has a number, an id of its own and a name, all with its first piece; its arguments are one JSON text;
what was written into the text is a call where it can only be one; an answer with calls ends with `tool_calls`,
and one that had to hold a call and holds none is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from secrets import token_hex
from typing import Final

from lmbridge.core.errors import BrokenAnswer
from lmbridge.core.events import Event, Finished, Started, TextDelta, ToolCallDelta
from lmbridge.core.messages import Tool
from lmbridge.core.requests import NamedTool, ToolChoice
from lmbridge.wire.tool_calls.advertised import Advertised
from lmbridge.wire.tool_calls.forms import Leaked
from lmbridge.wire.tool_calls.leaks import Leaks, Piece
from lmbridge.wire.tool_calls.prefix import JSONPrefix

_CUT: Final = "length"
_FOR_CALLS: Final = ("tool_calls", "function_call")


def new_id() -> str:
    """An id for a call that came without one."""
    return f"call_{token_hex(12)}"


class ToolCalls:
    """Feed it every event of one answer, then `close()` it; it gives back the events in normal form.

    Arguments are passed on while they come, as far as no mending would change them.

    Args:
        tools, choice: of the request.
        parallel: False lets only the first call pass, as the caller wanted no other.
        structured: the answer has to follow a schema, so that an object is the answer and no call.
        make_id: for calls without an id.
    """

    def __init__(
        self,
        tools: Sequence[Tool],
        choice: ToolChoice | NamedTool = "auto",
        *,
        parallel: bool = True,
        structured: bool = False,
        make_id: Callable[[], str] = new_id,
    ) -> None:
        self._tools, self._choice = Advertised(tools), choice
        self._single = not parallel or isinstance(choice, NamedTool)
        self._make_id = make_id
        self._leaks = Leaks(self._tools, bare=not structured) if tools and choice != "none" else None
        self._provider = ""
        self._numbers: dict[int, int] = {}  # of the runtime's calls, by its own numbers
        self._ids: set[str] = set()
        self._count = 0
        self._early: dict[int, ToolCallDelta] = {}  # what came of calls before their names
        self._current: tuple[int, str, JSONPrefix] | None = None
        self._spoke = False

    @property
    def idle(self) -> bool:
        """Whether there is nothing to find in further words."""
        return self._leaks is None and self._spoke

    def feed(self, event: Event) -> list[Event]:
        """The events that *event* becomes.

        Raises:
            BrokenAnswer: a call that was ruled out, or none where one had to be.
        """
        match event:
            case TextDelta(text, 0) if self._leaks is not None:
                return self._pieces(self._leaks.feed(text))
            case ToolCallDelta(index=0):
                return [*self._rest_of_text(), *self._call(event)]
            case Finished(index=0):
                return self._end(event)
            case Started():
                self._provider = event.provider
            case TextDelta(index=0):
                self._spoke = True
            case _:
                pass
        return [event]

    def close(self) -> list[Event]:
        """The events have ended; what was kept back, if they did so without a `Finished`."""
        return [*self._rest_of_text(), *self._finish_call(cut=True)]

    # -- text -------------------------------------------------------------------------------------

    def _rest_of_text(self) -> list[Event]:
        return self._pieces(self._leaks.close()) if self._leaks is not None else []

    def _pieces(self, pieces: Sequence[Piece]) -> list[Event]:
        events: list[Event] = []
        for piece in pieces:
            if isinstance(piece, Leaked):
                events += self._finish_call()
                number = self._begin(piece.name)
                if number is not None:
                    events.append(ToolCallDelta(number, self._new_id(""), piece.name, piece.arguments))
            else:
                self._spoke = True
                events.append(TextDelta(piece))
        return events

    # -- calls ------------------------------------------------------------------------------------

    def _call(self, delta: ToolCallDelta) -> list[Event]:
        if delta.call in self._numbers:
            return self._arguments(self._numbers[delta.call], delta.arguments)
        early = self._early.pop(delta.call, None)
        if early is not None:
            delta = ToolCallDelta(delta.call, early.id or delta.id, delta.name, early.arguments + delta.arguments)
        if not delta.name:  # its name is still to come
            self._early[delta.call] = delta
            return []
        events = self._finish_call()
        number = self._begin(delta.name)
        self._numbers[delta.call] = -1 if number is None else number
        if number is None:
            return events
        self._current = (number, delta.name, JSONPrefix())
        events.append(ToolCallDelta(number, self._new_id(delta.id), delta.name))
        return events + self._arguments(number, delta.arguments)

    def _begin(self, name: str) -> int | None:
        """The number of the next call; None for one more than there may be.

        Raises:
            BrokenAnswer: it may not be called.
        """
        if self._choice == "none" and self._tools:
            raise BrokenAnswer(self._provider, f"it calls {name!r} although no tool was to be called")
        if isinstance(self._choice, NamedTool) and name != self._choice.name:
            raise BrokenAnswer(
                self._provider, f"it calls {name!r} although {self._choice.name!r} was to be called"
            )
        if self._single and self._count:
            return None
        self._count += 1
        return self._count - 1

    def _new_id(self, given: str) -> str:
        call_id = given if given and given not in self._ids else self._make_id()
        self._ids.add(call_id)
        return call_id

    def _arguments(self, number: int, text: str) -> list[Event]:
        if number < 0 or not text:
            return []
        if self._current is None or self._current[0] != number:  # more of a call that had seemed complete
            return [ToolCallDelta(number, arguments=text)]
        certain = self._current[2].feed(text)
        return [ToolCallDelta(number, arguments=certain)] if certain else []

    def _finish_call(self, *, cut: bool = False) -> list[Event]:
        """The rest of the arguments of the call that is being read, mended if it can be."""
        if self._current is None:
            return []
        number, name, prefix = self._current
        self._current = None
        rest = self._tools.mended(name, prefix.whole, cut=cut)[prefix.passed :]
        return [ToolCallDelta(number, arguments=rest)] if rest else []

    # -- the end ----------------------------------------------------------------------------------

    def _end(self, event: Finished) -> list[Event]:
        cut = event.reason == _CUT
        events = [*self._rest_of_text(), *self._finish_call(cut=cut)]
        if any(early.arguments.strip() for early in self._early.values()) and not cut:
            raise BrokenAnswer(self._provider, "a call of it has no name")
        if not self._count and not cut:
            self._check_none(event.reason)
        events.append(Finished(self._reason(event.reason), event.usage, event.timings))
        return events

    def _reason(self, given: str) -> str:
        """Why it ended, as far as it can have: a limit and a filter are believed, calls only if there are some."""
        if given in (_CUT, "content_filter"):
            return given
        if self._count:
            return "tool_calls"
        return "stop" if given in _FOR_CALLS else given

    def _check_none(self, reason: str) -> None:
        """That an answer may be without calls."""
        if reason in _FOR_CALLS and not self._spoke:
            raise BrokenAnswer(self._provider, "it ends with a tool call and holds none")
        if isinstance(self._choice, NamedTool) or (self._choice == "required" and self._tools):
            wanted = repr(self._choice.name) if isinstance(self._choice, NamedTool) else "a tool"
            raise BrokenAnswer(self._provider, f"{wanted} had to be called, and it holds no call")
