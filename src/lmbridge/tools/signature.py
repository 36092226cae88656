"""A typed Python function as a tool: its annotations become a JSON schema, and arguments what they ask for.

Understood is what msgspec understands (https://jcristharif.com/msgspec/supported-types.html: numbers, text, lists,
dicts, `Literal`, enums, optional values, dataclasses, `TypedDict`, structs), paths, and pydantic's models where
pydantic is installed. Nothing is guessed: a parameter without an annotation is an error where the tool is defined.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Struct, UnsetType

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.json_schema import SchemaInvalid, check_schema
from lmbridge.core.tools import ToolProgress
from lmbridge.tools.docstrings import Documented

Function = Callable[..., object]

_FOR_DECODERS = ("discriminator", "propertyNames")
"""Keywords of made schemas that only repeat what converting checks anyway, and `json_schema` does not know."""


class BadArguments(ValueError):
    """What the model gave is not what the function takes; the text says where."""


class Signature(Struct, frozen=True):
    """What a function takes.

    Attributes:
        schema: of its arguments.
        shape: the struct they are decoded into; None where the schema was given, and they are passed as they are.
        positional: names that cannot be passed by name.
        progress: the parameter that takes a `ToolProgress`, of which no model is told; "" for none.
    """

    schema: dict[str, object]
    shape: type[Struct] | None = None
    positional: tuple[str, ...] = ()
    progress: str = ""

    def bound(self, arguments: Mapping[str, object]) -> tuple[list[object], dict[str, object]]:
        """The arguments as the function takes them, by position and by name.

        Raises:
            BadArguments: they are not what it takes.
        """
        if self.shape is None:
            return [], dict(arguments)
        try:
            made = msgspec.convert(dict(arguments), self.shape, dec_hook=_decoded)
        except msgspec.ValidationError as error:
            raise BadArguments(str(error)) from error
        given = {
            name: value for name in self.shape.__struct_fields__ if (value := getattr(made, name)) is not UNSET
        }
        return [given.pop(name) for name in self.positional if name in given], given


def read_signature(function: Function, said: Documented, *, of_class: bool = False) -> Signature:
    """What a function takes, from its annotations.

    Args:
        said: descriptions of the parameters.
        of_class: it is a function of a class, whose first parameter is the object.

    Raises:
        InvalidRequest: a parameter without annotation, of a type that JSON cannot hold, or `*args, **kwargs`.
    """
    parameters = list(inspect.signature(function).parameters.values())[1 if of_class else 0 :]
    hints = _hints(function)
    progress = _progress(function, hints)
    parameters = [parameter for parameter in parameters if parameter.name != progress]
    fields: list[tuple[str, Any, Any]] = []
    described: dict[str, str] = {}
    for parameter in parameters:
        _check(function, parameter, hints)
        annotation = hints[parameter.name]
        optional = parameter.default is not inspect.Parameter.empty
        fields.append(
            (
                parameter.name,
                annotation | UnsetType if optional else annotation,
                UNSET if optional else msgspec.NODEFAULT,
            )
        )
        described[parameter.name] = _annotated(annotation) or said.parameters.get(parameter.name, "")
    shape = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)
    schema = _schema(function, shape, parameters, described)
    return Signature(schema, shape, tuple(p.name for p in parameters if p.kind is p.POSITIONAL_ONLY), progress)


def given_schema(name: str, schema: Mapping[str, object], function: Function) -> Signature:
    """A schema that somebody wrote.

    Raises:
        InvalidRequest: it cannot be used.
    """
    try:
        check_schema(schema)
    except SchemaInvalid as error:
        raise InvalidRequest(
            f"The schema of the tool {name!r} cannot be used: {error}.", param="schema"
        ) from error
    if schema.get("type", "object") != "object":
        raise InvalidRequest(f"The schema of the tool {name!r} is none of an object.", param="schema")
    try:
        progress = _progress(function, _hints(function))
    except InvalidRequest:  # its annotations are nobody's business here
        progress = ""
    return Signature(dict(schema), progress=progress)


def _progress(function: Function, hints: Mapping[str, object]) -> str:
    """The parameter by which a function tells how far it is; "" for none.

    Raises:
        InvalidRequest: it cannot be passed by name.
    """
    for name, parameter in inspect.signature(function).parameters.items():
        if hints.get(name) in (ToolProgress, ToolProgress | None):
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise InvalidRequest(
                    f"The parameter {name!r} of {_name(function)!r} takes the progress, and must have a name.",
                    hint="Put it behind the `/`.",
                )
            return name
    return ""


def _hints(function: Function) -> dict[str, Any]:
    target = function if inspect.isroutine(function) or inspect.isclass(function) else type(function).__call__
    try:
        return get_type_hints(target, include_extras=True)
    except Exception as error:  # annotations are code of the user's, and may raise anything
        raise InvalidRequest(
            f"The annotations of {_name(function)!r} cannot be read: {error}.",
            hint="Import the types that they name where the function is defined, at the top of its module.",
        ) from error


def _check(function: Function, parameter: inspect.Parameter, hints: Mapping[str, object]) -> None:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise InvalidRequest(
            f"{_name(function)!r} takes any arguments ({parameter}): a model must be told which.",
            hint="Name the parameters, or give the tool a schema.",
        )
    if parameter.name not in hints:
        raise InvalidRequest(
            f"The parameter {parameter.name!r} of {_name(function)!r} has no annotation.",
            hint=f"Say what it is, such as `{parameter.name}: str`, or give the tool a schema.",
        )


def _schema(
    function: Function, shape: type[Struct], parameters: list[inspect.Parameter], described: Mapping[str, str]
) -> dict[str, object]:
    try:
        whole = msgspec.json.schema(shape, schema_hook=_schema_of)
    except TypeError as error:
        raise InvalidRequest(
            f"A parameter of {_name(function)!r} has a type that JSON cannot hold: {str(error).splitlines()[-1]}.",
            hint="Use text, numbers, lists, dicts, `Literal`, enums, dataclasses, or give the tool a schema.",
        ) from error
    definitions: dict[str, Any] = {}
    reference = str(_lifted(whole, definitions)["$ref"])
    made: dict[str, object] = definitions.pop(reference.rpartition("/")[2])
    del made["title"]
    properties = made.get("properties")
    for parameter in parameters:
        _describe(properties, parameter, described[parameter.name])
    if definitions:
        made["$defs"] = definitions
    check_schema(made)
    return made


def _describe(properties: Any, parameter: inspect.Parameter, text: str) -> None:
    own = properties[parameter.name]
    if text:
        own.setdefault("description", text)
    if parameter.default not in (inspect.Parameter.empty, None):
        try:
            own["default"] = msgspec.to_builtins(parameter.default, enc_hook=encoded)
        except (TypeError, NotImplementedError):
            return  # the function knows it, and that is enough


def _lifted(value: Any, definitions: dict[str, object]) -> Any:
    """A schema with all its definitions in one place, as `$ref` counts from the root."""
    if isinstance(value, dict):
        for name, inner in value.pop("$defs", {}).items():
            definitions[name] = _lifted(inner, definitions)
        return {key: _lifted(inner, definitions) for key, inner in value.items() if key not in _FOR_DECODERS}
    return [_lifted(inner, definitions) for inner in value] if isinstance(value, list) else value


def _annotated(annotation: object) -> str:
    """What `Annotated[int, "how wide"]` says, or the description of a Meta (msgspec) or Field (pydantic) there."""
    if get_origin(annotation) is not Annotated:
        return ""
    for note in get_args(annotation)[1:]:
        text = note if isinstance(note, str) else getattr(note, "description", None)
        if isinstance(text, str) and text:
            return text
    return ""


def _pydantic(kind: object) -> bool:
    """Whether it is a model of pydantic's: if so, pydantic is loaded already; it is not loaded to find out."""
    loaded = sys.modules.get("pydantic")
    return loaded is not None and isinstance(kind, type) and issubclass(kind, loaded.BaseModel)


def _schema_of(kind: Any) -> dict[str, object]:
    if kind is object:
        return {"title": "Any"}
    if kind is Path:
        return {"type": "string", "format": "path"}
    if _pydantic(kind):
        made: dict[str, object] = kind.model_json_schema(ref_template="#/$defs/{model}")
        return made
    raise NotImplementedError


def _decoded(kind: Any, value: object) -> object:
    """For msgspec, which tells where in the arguments a ValueError was."""
    if kind is object:
        return value
    if kind is Path and isinstance(value, str):
        return Path(value)
    if _pydantic(kind):
        return _validated(kind, value)
    raise ValueError(f"a {kind.__name__} cannot be made of {value!r}")


def _validated(kind: Any, value: object) -> object:
    try:
        return kind.model_validate(value)
    except ValueError as error:  # pydantic's own, whose words lead to its website
        wrong: list[dict[str, Any]] = getattr(error, "errors", list)()
        told = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in wrong]
        raise ValueError("; ".join(told) or str(error)) from error


def encoded(value: object) -> object:
    """What JSON has for an object that msgspec does not know.

    Raises:
        NotImplementedError: nothing.
    """
    if isinstance(value, Path):
        return str(value)
    if _pydantic(type(value)):
        return value.model_dump(mode="json")  # type: ignore[attr-defined]
    raise NotImplementedError


def _name(function: Function) -> str:
    return getattr(function, "__name__", type(function).__name__)
