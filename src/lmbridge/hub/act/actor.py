"""A run from its beginning to its end: options taken apart, tools found, and the loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct
from msgspec.structs import asdict

from lmbridge.core.acting import ActOptions, ActResult, ActState, AnyTool
from lmbridge.core.errors import InvalidRequest
from lmbridge.core.hub import AnyHub
from lmbridge.core.json_schema import SchemaInvalid, check_schema
from lmbridge.core.model import schema_of
from lmbridge.core.requests import NamedTool, Sampling, Schema
from lmbridge.hub.act.tooling import ToolboxOf, Tooling, boxes_of

if TYPE_CHECKING:
    from lmbridge.hub.act.policy import Limits
    from lmbridge.hub.act.run import Asking
    from lmbridge.hub.act.telling import Callbacks


class HubActor:
    """Satisfies `core.model.Actor`.

    Args:
        toolbox_of: makes a box of Python functions; without it, only boxes can be given as tools.
    """

    def __init__(self, toolbox_of: ToolboxOf | None = None) -> None:
        self._toolbox_of = toolbox_of

    async def __call__(
        self, hub: AnyHub, model: str, state: ActState, tools: Sequence[AnyTool], options: ActOptions
    ) -> ActResult:
        """Run; see `Model.act`."""
        # Most hubs never do this, and programs that ask one thing start some milliseconds sooner without it.
        from lmbridge.hub.act.policy import Limits
        from lmbridge.hub.act.run import Asking, Run
        from lmbridge.hub.act.telling import Callbacks

        given: dict[str, object] = {**options}
        if "schema" in given:
            given["schema"] = _checked(schema_of(options["schema"]))
        callbacks, limits, asking = _taken(Callbacks, given), _taken(Limits, given), _taken(Asking, given)
        if given:
            raise InvalidRequest(f"`act` knows no option {min(given)!r}.", param=min(given))
        limits.check()
        _check(asking, callbacks)
        tooling = await Tooling.of(boxes_of(tools, self._toolbox_of))
        _check_names(tooling, limits, asking)
        return await Run(hub, model, state, tooling, limits, asking, callbacks).run()


_S = TypeVar("_S", bound=Struct)


def _taken(shape: type[_S], given: dict[str, object]) -> _S:
    return shape(**{name: given.pop(name) for name in shape.__struct_fields__ if name in given})


def _check(asking: Asking, callbacks: Callbacks) -> None:
    """That the options are such as can be kept to."""
    asked = {"approve": asking.approve, "on_invalid": asking.on_invalid, **asdict(callbacks)}
    for name, callback in asked.items():
        if callback is not None and not callable(callback):
            raise InvalidRequest(f"`{name}` is {callback!r:.100}, which cannot be called.", param=name)
    if asking.parallel is not False and not asking.parallel >= 1:
        hint = "Give True, False or how many at most."
        raise InvalidRequest(f"`parallel` is {asking.parallel}.", hint=hint, param="parallel")
    if not isinstance(asking.sampling, Sampling):
        raise InvalidRequest(f"`sampling` is {asking.sampling!r:.100}, and no Sampling.", param="sampling")


def _check_names(tooling: Tooling, limits: Limits, asking: Asking) -> None:
    """That what is said of tools is said of such as there are."""
    choice, known = asking.tool_choice, ", ".join(tooling.tools) or "none"
    wanted = choice.name if isinstance(choice, NamedTool) else ""
    for name in [*(limits.max_calls if isinstance(limits.max_calls, Mapping) else ()), *filter(None, [wanted])]:
        if name not in tooling.tools:
            param = "tool_choice" if name == wanted else "max_calls"
            raise InvalidRequest(f"`{param}` names {name!r}. The tools are: {known}.", param=param)
    if not wanted and choice not in ("auto", "none", "required"):
        hint = "Use auto, none, required or NamedTool(…)."
        raise InvalidRequest(f"There is no `tool_choice` {choice!r:.100}.", hint=hint, param="tool_choice")
    if choice == "required" and not tooling.tools:
        raise InvalidRequest("A tool is required, and there is none.", param="tool_choice")


def _checked(schema: Schema | None) -> Schema | None:
    if schema is not None and isinstance(schema.schema, Mapping):
        try:
            check_schema(schema.schema)
        except SchemaInvalid as error:
            raise InvalidRequest(f"That is not a usable JSON schema: {error}.", param="schema") from error
    return schema
