"""What is to be done in a run of a model with tools. Pure: state in, plan or new state out; `run` does it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from hashlib import sha256
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lmbridge.core.acting import ActState, Repeat, Stop
from lmbridge.core.errors import InvalidRequest
from lmbridge.core.events import Answer, Usage
from lmbridge.core.json_schema import SchemaInvalid, check_schema, problems
from lmbridge.core.messages import ImagePart, Message, Part, TextPart, Tool, ToolCall
from lmbridge.core.requests import NamedTool, ToolChoice
from lmbridge.core.tools import ToolResult

MAX_ROUNDS: Final = 32
IDENTICAL_CALLS: Final = 3
MAX_RESULT_CHARS: Final = 50_000
"""About 12,000 tokens: much of the context of most local models, and as much as any of them reads well at once."""
_MOST_PROBLEMS: Final = 3


class Limits(Struct, frozen=True, kw_only=True):
    """What a run may use; None is no limit. See `core.acting.ActOptions`."""

    max_rounds: int | None = MAX_ROUNDS
    max_tokens: int | None = None
    max_seconds: float | None = None
    max_calls: int | Mapping[str, int] | None = None
    max_result_chars: int | None = MAX_RESULT_CHARS
    identical_calls: int = IDENTICAL_CALLS

    def check(self) -> None:
        """Make sure that each is a limit that can be kept.

        Raises:
            InvalidRequest: naming the one that is not.
        """
        least_of = {"max_rounds": 1, "max_tokens": 1, "max_result_chars": 1, "identical_calls": 2}
        try:
            msgspec.convert(msgspec.structs.asdict(self), Limits)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"A limit of the run is wrong: {error}.") from error
        for name, least in least_of.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise InvalidRequest(f"`{name}` is {value}, and must be at least {least}.", param=name)
        of_tools = self.max_calls.values() if isinstance(self.max_calls, Mapping) else [self.max_calls]
        if min((most for most in of_tools if most is not None), default=0) < 0:
            raise InvalidRequest("`max_calls` is negative.", param="max_calls")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise InvalidRequest(
                f"`max_seconds` is {self.max_seconds}, and must be more than 0.", param="max_seconds"
            )

    def calls_of(self, name: str) -> int | None:
        """How often a tool may be called."""
        return self.max_calls.get(name) if isinstance(self.max_calls, Mapping) else self.max_calls


class Carry(Struct, frozen=True, tag="carry"):
    """A call to carry out."""

    call: ToolCall
    arguments: dict[str, object]


class Tell(Struct, frozen=True, tag="tell"):
    """A call that is not carried out, and what the model is told instead. `invalid`: it could not be."""

    call: ToolCall
    reason: str
    invalid: bool = False


Step: TypeAlias = Carry | Tell


class Plan(Struct, frozen=True):
    """What becomes of the calls of a turn.

    Attributes:
        steps: one for each call, in their order.
        stop, detail: why the run ends with it, if it does; then nothing is carried out.
        retry: see `ActState.retry`.
    """

    steps: tuple[Step, ...]
    stop: Stop | None = None
    detail: str = ""
    retry: str | None = None


class Outcome(Struct, frozen=True):
    """What came of a call."""

    call: ToolCall
    result: ToolResult
    carried_out: bool = True


# ---- before a round


def spent(state: ActState, limits: Limits, seconds: float) -> Stop | None:
    """The budget that is used up, so that the model is not asked again. *seconds*: of the whole run."""
    if limits.max_rounds is not None and state.rounds >= limits.max_rounds:
        return "rounds"
    if limits.max_tokens is not None and state.tokens >= limits.max_tokens:
        return "tokens"
    if limits.max_seconds is not None and seconds >= limits.max_seconds:
        return "seconds"
    return None


def most_tokens(state: ActState, limits: Limits, wanted: int | None) -> int | None:
    """How long the next answer may be: as long as was wanted, and no longer than what is left."""
    left = None if limits.max_tokens is None else limits.max_tokens - state.tokens
    known = [limit for limit in (wanted, left) if limit is not None]
    return min(known) if known else None


def choice_of(state: ActState, wanted: ToolChoice | NamedTool) -> ToolChoice | NamedTool:
    """Whether the next round has to call: after a call that could not be made it has to.

    The caller's wish is for the first round, as a model that always has to call never stops.
    """
    if state.reshape:
        return "none"
    if state.retry is not None:
        return NamedTool(state.retry) if state.retry else "required"
    if wanted == "none":
        return "none"
    return "auto" if state.rounds else wanted


# ---- after an answer


def judged(call: ToolCall, tools: Mapping[str, Tool]) -> dict[str, object] | str:
    """The arguments of a call, or what is wrong with it, as the model is told."""
    tool = tools.get(call.name)
    if tool is None:
        near = get_close_matches(call.name, tools, n=1)
        meant = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(tools) or 'none'}."
        return f"There is no tool {call.name!r}. {meant}"
    try:
        arguments = msgspec.json.decode(call.arguments) if call.arguments.strip() else {}
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        return f"The arguments are not JSON: {error}. Give one JSON object."
    if not isinstance(arguments, dict):
        return "The arguments are not a JSON object."
    wrong = _problems(arguments, tool.parameters)
    return f"The arguments are wrong: {'; '.join(wrong)}." if wrong else arguments


def _problems(value: object, schema: Mapping[str, object]) -> list[str]:
    """What is wrong with a value; nothing where its schema cannot be checked here: who carries it out will say."""
    try:
        check_schema(schema)
        return list(problems(value, schema))[:_MOST_PROBLEMS]
    except (SchemaInvalid, RecursionError):
        return []


def plan(state: ActState, calls: Sequence[ToolCall], tools: Mapping[str, Tool], limits: Limits) -> Plan:
    """What becomes of the calls of a turn."""
    steps: list[Step] = []
    ends: list[tuple[Stop, str]] = []
    seen: Counter[str] = Counter()
    made: Counter[str] = Counter(state.calls)
    for call in calls:
        arguments = judged(call, tools)
        if isinstance(arguments, str):
            steps.append(Tell(call, arguments, invalid=True))
            continue
        mark = fingerprint(call.name, arguments)
        before = state.repeats[mark].times if mark in state.repeats else 0
        most = limits.calls_of(call.name)
        if before + seen[mark] >= limits.identical_calls - 1:
            ends.append(("loop", f"{call.name} was called in the same way {limits.identical_calls} times."))
        elif most is not None and made[call.name] >= most:
            ends.append(("calls", f"{call.name} may be called {most} time{'s' if most != 1 else ''}."))
        seen[mark] += 1
        made[call.name] += 1
        steps.append(Carry(call, arguments))
    wrong = [step for step in steps if isinstance(step, Tell)]
    if wrong and state.retry is not None:
        ends.append(("invalid_call", wrong[0].reason))
    if ends:
        stop, detail = ends[0]
        return Plan(tuple(_given_up(step, detail) for step in steps), stop, detail)
    return Plan(tuple(steps), retry=_retry(wrong, tools) if wrong else None)


def _given_up(step: Step, detail: str) -> Tell:
    return step if isinstance(step, Tell) else Tell(step.call, not_carried_out(detail))


def not_carried_out(why: str) -> str:
    """What the model is told of a call that nobody made."""
    return f"Not carried out. {why}".rstrip()


def fit(result: ToolResult, most: int | None) -> ToolResult:
    """A result as it can be sent: no more than *most* characters of text, and a word to the model of the rest."""
    whole = len(result.text)
    left = whole if most is None else most
    told = f"\n[Cut here: {whole - left:,} of {whole:,} characters are left out. Ask for less if you can.]"
    told = told if whole > left else ""
    if isinstance(result.content, str):
        return replace(result, content=sendable(result.content[:left]) + told)
    kept: list[Part] = []
    for part in result.content:
        if isinstance(part, TextPart):
            part, left = TextPart(sendable(part.text[:left])), max(0, left - len(part.text))
        if part != TextPart(""):
            kept.append(part)
    return replace(result, content=(*kept, TextPart(told)) if told else tuple(kept))


def sendable(text: str) -> str:
    """*text* without halves of letters: names of files may hold such, and nothing that is sent can."""
    return text.encode(errors="replace").decode()


def _retry(wrong: Sequence[Tell], tools: Mapping[str, Tool]) -> str:
    names = {step.call.name for step in wrong}
    return names.pop() if len(names) == 1 and names <= tools.keys() else ""


def ended(answer: Answer, state: ActState, limits: Limits) -> Stop | None:
    """Why an answer is the last one; None where its calls are to be made."""
    if answer.finish.reason == "length":
        full = limits.max_tokens is not None and state.tokens >= limits.max_tokens
        return "tokens" if full else "length"
    if answer.finish.reason == "content_filter":
        return "filtered"
    return None if answer.tool_calls else "answered"


def shaped(text: str, schema: Mapping[str, object]) -> tuple[object, str]:
    """The JSON value that an answer is, and what is wrong with it; "" for nothing."""
    try:
        value: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        return None, f"The answer is not JSON: {error}."
    wrong = _problems(value, schema)
    return value, f"The answer does not follow the schema: {'; '.join(wrong)}." if wrong else ""


# ---- the next state


def asked(state: ActState, answer: Answer, written: int) -> ActState:
    """After an answer has come: it is counted, and pending as long as its calls are not answered.

    Args:
        written: pieces that came, which count as tokens where the provider counts none.
    """
    usage = answer.finish.usage
    return replace(
        state,
        rounds=state.rounds + 1,
        tokens=state.tokens + (usage.completion_tokens if usage is not None else written),
        usage=_sum(state.usage, usage) if usage is not None else state.usage,
        pending=answer.message if answer.tool_calls else None,
    )


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(*(getattr(one, name) + getattr(other, name) for name in Usage.__struct_fields__))


def answered(state: ActState, turn: Message, outcomes: Sequence[Outcome], retry: str | None = None) -> ActState:
    """After the calls of a turn have been answered, each of them."""
    calls, repeats = dict(state.calls), dict(state.repeats)
    for outcome in outcomes:
        if outcome.carried_out:
            calls[outcome.call.name] = calls.get(outcome.call.name, 0) + 1
        mark = fingerprint(outcome.call.name, _arguments(outcome.call))
        repeats[mark] = _repeated(repeats.get(mark), outcome.result)
    turn = replace(turn, tool_calls=tuple(outcome.call for outcome in outcomes))
    messages = (*state.messages, turn, *results(outcomes))
    return replace(state, messages=messages, pending=None, calls=calls, repeats=repeats, retry=retry)


def _arguments(call: ToolCall) -> object:
    try:
        found: object = msgspec.json.decode(call.arguments) if call.arguments.strip() else {}
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return call.arguments
    return found


def _repeated(before: Repeat | None, result: ToolResult) -> Repeat:
    mark = fingerprint("", msgspec.to_builtins(result))
    return Repeat(mark, before.times + 1) if before is not None and before.result == mark else Repeat(mark)


def results(outcomes: Sequence[Outcome]) -> list[Message]:
    """The turns that tell the model what came of its calls.

    Pictures follow in a turn of the user's, as most servers let a tool say words alone.
    """
    told: list[Message] = []
    pictures: list[Part] = []
    for outcome in outcomes:
        content = outcome.result.content
        shown = [part for part in content if isinstance(part, ImagePart)] if isinstance(content, tuple) else []
        words = outcome.result.text or (f"{len(shown)} picture(s), shown below." if shown else "")
        told.append(Message("tool", words, name=outcome.call.name, tool_call_id=outcome.call.id))
        if shown:
            pictures += [TextPart(f"From {outcome.call.name}:"), *shown]
    return [*told, Message("user", tuple(pictures))] if pictures else told


def fingerprint(name: str, value: object) -> str:
    """A short text that is equal for equal calls, however their arguments are ordered and spaced."""
    try:
        data = msgspec.json.encode([name, value], order="deterministic")
    except UnicodeEncodeError:  # half of a surrogate pair
        data = repr([name, value]).encode(errors="replace")
    return sha256(data).hexdigest()[:32]
