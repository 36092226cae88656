"""The tools of a response: functions, alone or in a namespace, and which of them the model may call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.core.messages import Tool
from lmbridge.core.requests import NamedTool, ToolChoice
from lmbridge.wire.openai.responding.fields import HOSTED_TOOLS
from lmbridge.wire.strict import decode_strictly

_Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]

_T = TypeVar("_T", bound=Struct)

MAX_TOOLS: Final = 1024


class _Kind(Struct):
    """What a tool says of itself, before it is known what it is."""

    type: str
    name: str = ""
    external_web_access: bool | None = None


class _Function(Struct, forbid_unknown_fields=True):
    """Fields that only tools of OpenAI's own care about may stand there, and mean nothing to a function."""

    type: str
    name: _Name
    description: str | None = None
    parameters: dict[str, object] | None = None
    strict: bool | None = None
    defer_loading: bool | None = None
    allowed_callers: list[str] | None = None
    output_schema: object = None


class _Namespace(Struct, forbid_unknown_fields=True):
    type: str
    name: _Name
    tools: list[Raw]
    description: str | None = None


class AllowedTool(Struct):
    """A tool that is allowed."""

    type: str = ""
    name: str = ""


class ChoiceObject(Struct, forbid_unknown_fields=True):
    """`tool_choice` as an object, of any kind."""

    type: str
    name: str = ""
    mode: str = ""
    tools: list[AllowedTool] | None = None
    namespace: str | None = None
    server_label: str | None = None


Choice: TypeAlias = str | ChoiceObject


class Toolbox(Struct, frozen=True):
    """The tools of a request.

    Attributes:
        tools: as the model is shown them. choice: whether it may call them, must, or must call one.
        names: of tools in a namespace: the name that the model is shown, to the namespace and the name in it.
    """

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice | NamedTool = "auto"
    names: dict[str, tuple[str, str]] = {}


_kind: Final = msgspec.json.Decoder(_Kind)
_function: Final = msgspec.json.Decoder(_Function)
_namespace: Final = msgspec.json.Decoder(_Namespace)


def toolbox(given: Sequence[Raw] | None, choice: Choice | None) -> Toolbox:
    """The tools and the choice of a request.

    Raises:
        UnsupportedParameter: a kind of tool that nobody here can run.
        InvalidRequest: a wrong tool, or a choice without its tool; `param` names it.
    """
    tools: dict[str, Tool] = {}
    names: dict[str, tuple[str, str]] = {}
    if given is not None and len(given) > MAX_TOOLS:
        raise InvalidRequest(f"{len(given):,} tools are more than {MAX_TOOLS:,}.", param="tools")
    for position, raw in enumerate(given or ()):
        _add(tools, names, f"tools[{position}]", raw)
    chosen, allowed = _choice(choice, tuple(tools))
    return Toolbox(tuple(tools[name] for name in allowed), chosen, names)


def shown_name(name: str, namespace: str | None) -> str:
    """What the model calls a function of a namespace. Codex ends the names of some with underscores already."""
    if not namespace:
        return name
    return f"{namespace}{name}" if namespace.endswith("_") else f"{namespace}__{name}"


def _add(tools: dict[str, Tool], names: dict[str, tuple[str, str]], where: str, raw: Raw) -> None:
    data = bytes(raw)
    kind = _decode(_kind, where, data)
    match kind.type:
        case "function":
            _put(tools, where, _tool(_decode(_function, where, data)))
        case "namespace":
            space = _decode(_namespace, where, data)
            for position, each in enumerate(space.tools):
                at = f"{where}.tools[{position}]"
                function = _decode(_function, at, bytes(each))
                if function.type != "function":
                    raise _unknown(at, function.type)
                tool = msgspec.structs.replace(_tool(function), name=shown_name(function.name, space.name))
                _put(tools, at, tool)
                names[tool.name] = (space.name, function.name)
        case "web_search" if kind.external_web_access is False:
            pass  # Codex's default: it asks for nothing to be fetched. See `fields.IGNORED`.
        case _:
            raise _unknown(where, kind.type)


def _decode(decoder: msgspec.json.Decoder[_T], where: str, data: bytes) -> _T:
    try:
        return decode_strictly(decoder, data)
    except InvalidRequest as error:
        inner = f"{where}.{error.param}" if error.param else where
        if isinstance(error, UnsupportedParameter):
            raise UnsupportedParameter(inner, "It is not known here.") from error
        raise InvalidRequest(f"`{where}`: {error.message}", param=inner) from error


def _unknown(where: str, kind: str) -> UnsupportedParameter:
    return UnsupportedParameter(
        f"{where}.type", f"Tools of the kind {kind[:100]!r} cannot be run here.", hint=HOSTED_TOOLS
    )


def _tool(function: _Function) -> Tool:
    return Tool(function.name, function.description or "", function.parameters or {}, function.strict is True)


def _put(tools: dict[str, Tool], where: str, tool: Tool) -> None:
    if tool.name in tools:
        raise InvalidRequest(f"There are two tools named {tool.name!r}.", param=f"{where}.name")
    tools[tool.name] = tool


def _choice(choice: Choice | None, names: tuple[str, ...]) -> tuple[ToolChoice | NamedTool, tuple[str, ...]]:
    """The choice, and the tools that the model is shown."""
    match choice:
        case None | "auto":
            return "auto", names
        case "none":
            return "none", names
        case "required":
            if not names:
                raise InvalidRequest("`tool_choice` is `required`, and there are no tools.", param="tool_choice")
            return "required", names
        case ChoiceObject(type="function", name=name, namespace=space):
            return NamedTool(_known(shown_name(name, space), names, "tool_choice.name")), names
        case ChoiceObject(type="allowed_tools", mode=("auto" | "required") as mode, tools=allowed) if allowed:
            return mode, tuple(_allowed(position, tool, names) for position, tool in enumerate(allowed))
        case ChoiceObject(type="allowed_tools"):
            raise InvalidRequest(
                "`tool_choice` of the type `allowed_tools` needs `tools`, and `auto` or `required` as its `mode`.",
                param="tool_choice",
            )
        case ChoiceObject(type=kind):
            raise UnsupportedParameter(
                "tool_choice", f"Tools of the kind {kind[:100]!r} cannot be run here.", hint=HOSTED_TOOLS
            )
        case _:
            raise InvalidRequest(
                f"`tool_choice` is {choice[:100]!r}.",
                hint="Send none, auto, required, or an object that names a function.",
                param="tool_choice",
            )


def _allowed(position: int, tool: AllowedTool, names: tuple[str, ...]) -> str:
    where = f"tool_choice.tools[{position}]"
    if tool.type != "function":
        raise _unknown(where, tool.type)
    return _known(tool.name, names, f"{where}.name")


def _known(name: str, names: tuple[str, ...], param: str) -> str:
    if name not in names:
        raise InvalidRequest(
            f"`{param}` is {name[:100]!r}, which is not among the tools.",
            hint=f"The tools are: {', '.join(names[:20])}." if names else "Send it in `tools`.",
            param=param,
        )
    return name
