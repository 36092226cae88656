"""A run from its beginning to its end: options taken apart, tools found, and the loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from lmbridge.core.acting import ActOptions, ActResult, ActState, AnyTool
from lmbridge.core.errors import InvalidRequest
from lmbridge.core.hub import AnyHub
from lmbridge.core.json_schema import SchemaInvalid, check_schema
from lmbridge.core.model import schema_of
from lmbridge.core.requests import Schema
from lmbridge.hub.act.tooling import ToolboxOf, Tooling, boxes_of


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
        tooling = await Tooling.of(boxes_of(tools, self._toolbox_of))
        return await Run(hub, model, state, tooling, limits, asking, callbacks).run()


_S = TypeVar("_S", bound=Struct)


def _taken(shape: type[_S], given: dict[str, object]) -> _S:
    return shape(**{name: given.pop(name) for name in shape.__struct_fields__ if name in given})


def _checked(schema: Schema | None) -> Schema | None:
    if schema is not None and isinstance(schema.schema, Mapping):
        try:
            check_schema(schema.schema)
        except SchemaInvalid as error:
            raise InvalidRequest(f"That is not a usable JSON schema: {error}.", param="schema") from error
    return schema
