"""Whether a JSON value follows a JSON schema, for the part of JSON Schema 2020-12 that models are asked for.

What is not in that part is refused by name rather than passed over: a check that silently skips half of
a schema would vouch for answers it never looked at. (https://json-schema.org/draft/2020-12) The one exception is a
`pattern` that could take for ever to check: see `patterns`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from lmbridge.core.patterns import matches

Schema = Mapping[str, object] | bool

NOTES = frozenset(
    [
        "$schema",
        "$id",
        "$comment",
        "$anchor",
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
        "format",
        "contentEncoding",
        "contentMediaType",
    ]
)
"""Keywords that describe and do not constrain."""

TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})


class SchemaInvalid(ValueError):
    """The schema itself cannot be used; the text says where and why."""


def check_schema(schema: object) -> None:
    """Make sure that every part of a schema is one that `problems` can check.

    Raises:
        SchemaInvalid: an unknown or unsupported keyword, a value of a wrong type, a `$ref` to nowhere.
    """
    if not isinstance(schema, Mapping):
        raise SchemaInvalid(f"a schema is a JSON object, not {_name(schema)}")
    _check(schema, schema, "#")


def problems(value: object, schema: Schema, root: Schema | None = None, path: str = "$") -> Iterator[str]:
    """What is wrong with a value, one sentence each; nothing when it follows the schema.

    Args:
        value: as a JSON decoder gave it.
        schema: one that `check_schema` let pass.
        root: the schema that `$ref` counts from; default *schema*.
        path: where the value stands, for the sentences.
    """
    root = schema if root is None else root
    if isinstance(schema, bool):
        if not schema:
            yield f"{path} must not be there"
        return
    for keyword, wanted in schema.items():
        if (rule := RULES.get(keyword)) is not None:
            yield from rule(value, wanted, schema, root, path)


Rule = Callable[[object, object, Mapping[str, object], Schema, str], Iterator[str]]


def _type(value: object, wanted: object, schema: Mapping[str, object], root: Schema, path: str) -> Iterator[str]:
    names = [wanted] if isinstance(wanted, str) else list(_list(wanted))
    if not any(_is(value, str(name)) for name in names):
        yield f"{path} is {_name(value)}, not {' or '.join(map(str, names))}"


def _enum(value: object, wanted: object, schema: Mapping[str, object], root: Schema, path: str) -> Iterator[str]:
    if not any(_equal(value, allowed) for allowed in _list(wanted)):
        yield f"{path} is {_shown(value)}, which is not one of the allowed values"


def _const(value: object, wanted: object, schema: Mapping[str, object], root: Schema, path: str) -> Iterator[str]:
    if not _equal(value, wanted):
        yield f"{path} is {_shown(value)}, not {_shown(wanted)}"


def _properties(
    value: object, wanted: object, schema: Mapping[str, object], root: Schema, path: str
) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in _mapping(wanted).items():
            if name in value:
                yield from problems(value[name], _schema(inner), root, f"{path}.{name}")


def _pattern_properties(
    value: object, wanted: object, schema: Mapping[str, object], root: Schema, path: str
) -> Iterator[str]:
    if isinstance(value, dict):
        for pattern, inner in _mapping(wanted).items():
            for name in value:
                if matches(pattern, name):
                    yield from problems(value[name], _schema(inner), root, f"{path}.{name}")


def _additional(
    value: object, wanted: object, schema: Mapping[str, object], root: Schema, path: str
) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    patterns = _mapping(schema.get("patternProperties", {}))
    for name in value:
        if name in _mapping(schema.get("properties", {})) or any(matches(p, name) is not False for p in patterns):
            continue
        if wanted is False:
            yield f"{path} has the unexpected property {name!r}"
        else:
            yield from problems(value[name], _schema(wanted), root, f"{path}.{name}")


def _required(
    value: object, wanted: object, schema: Mapping[str, object], root: Schema, path: str
) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (f"{path} lacks the property {name!r}" for name in _list(wanted) if name not in value)


def _items(value: object, wanted: object, schema: Mapping[str, object], root: Schema, path: str) -> Iterator[str]:
    if isinstance(value, list):
        first = len(_list(schema.get("prefixItems", [])))
        for number in range(first, len(value)):
            yield from problems(value[number], _schema(wanted), root, f"{path}[{number}]")


def _prefix_items(
    value: object, wanted: object, schema: Mapping[str, object], root: Schema, path: str
) -> Iterator[str]:
    if isinstance(value, list):
        for number, (item, inner) in enumerate(zip(value, _list(wanted), strict=False)):
            yield from problems(item, _schema(inner), root, f"{path}[{number}]")


def _unique(value: object, wanted: object, schema: Mapping[str, object], root: Schema, path: str) -> Iterator[str]:
    if wanted is True and isinstance(value, list):
        for number, item in enumerate(value):
            if any(_equal(item, earlier) for earlier in value[:number]):
                yield f"{path}[{number}] is there twice"


def _all_of(value: object, wanted: object, schema: Mapping[str, object], root: Schema, path: str) -> Iterator[str]:
    for inner in _list(wanted):
        yield from problems(value, _schema(inner), root, path)


def _any_of(value: object, wanted: object, schema: Mapping[str, object], root: Schema, path: str) -> Iterator[str]:
    found = [list(problems(value, _schema(inner), root, path)) for inner in _list(wanted)]
    if all(found):
        yield f"{path} fits none of the alternatives ({min(found, key=len)[0]})"


def _one_of(value: object, wanted: object, schema: Mapping[str, object], root: Schema, path: str) -> Iterator[str]:
    fitting = sum(not any(problems(value, _schema(inner), root, path)) for inner in _list(wanted))
    if fitting != 1:
        yield f"{path} fits {fitting or 'none'} of the alternatives and must fit one"


def _not(value: object, wanted: object, schema: Mapping[str, object], root: Schema, path: str) -> Iterator[str]:
    if not any(problems(value, _schema(wanted), root, path)):
        yield f"{path} is what it must not be"


def _ref(value: object, wanted: object, schema: Mapping[str, object], root: Schema, path: str) -> Iterator[str]:
    yield from problems(value, _resolve(str(wanted), root), root, path)


def _pattern(
    value: object, wanted: object, schema: Mapping[str, object], root: Schema, path: str
) -> Iterator[str]:
    if isinstance(value, str) and matches(str(wanted), value) is False:
        yield f"{path} is {_shown(value)}, which does not match {wanted!r}"


def _limit(measure: Callable[[object], float | None], fits: Callable[[float, float], bool], text: str) -> Rule:
    def rule(
        value: object, wanted: object, schema: Mapping[str, object], root: Schema, path: str
    ) -> Iterator[str]:
        found = measure(value)
        if found is not None and not fits(found, _number(wanted)):
            yield f"{path} {text} {wanted}"

    return rule


def _numeric(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _length(kind: type) -> Callable[[object], float | None]:
    return lambda value: len(value) if isinstance(value, kind) else None  # type: ignore[arg-type]


def _multiple(found: float, step: float) -> bool:
    return found % step == 0 or abs(found / step - round(found / step)) < 1e-9


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "type": _type,
        "enum": _enum,
        "const": _const,
        "properties": _properties,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional,
        "required": _required,
        "items": _items,
        "prefixItems": _prefix_items,
        "uniqueItems": _unique,
        "allOf": _all_of,
        "anyOf": _any_of,
        "oneOf": _one_of,
        "not": _not,
        "$ref": _ref,
        "pattern": _pattern,
        "minimum": _limit(_numeric, lambda a, b: a >= b, "is below"),
        "maximum": _limit(_numeric, lambda a, b: a <= b, "is above"),
        "exclusiveMinimum": _limit(_numeric, lambda a, b: a > b, "is not above"),
        "exclusiveMaximum": _limit(_numeric, lambda a, b: a < b, "is not below"),
        "multipleOf": _limit(_numeric, _multiple, "is no multiple of"),
        "minLength": _limit(_length(str), lambda a, b: a >= b, "is shorter than"),
        "maxLength": _limit(_length(str), lambda a, b: a <= b, "is longer than"),
        "minItems": _limit(_length(list), lambda a, b: a >= b, "has fewer items than"),
        "maxItems": _limit(_length(list), lambda a, b: a <= b, "has more items than"),
        "minProperties": _limit(_length(dict), lambda a, b: a >= b, "has fewer properties than"),
        "maxProperties": _limit(_length(dict), lambda a, b: a <= b, "has more properties than"),
    }
)

ONE, MANY, NAMED = (
    "items additionalProperties not",
    "prefixItems allOf anyOf oneOf",
    "properties patternProperties",
)
NUMBERS = frozenset(
    [
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
    ]
)


def _check(schema: object, root: Mapping[str, object], path: str) -> None:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        raise SchemaInvalid(f"{path} is {_name(schema)}, not a schema")
    for keyword, wanted in schema.items():
        if keyword in ONE.split():
            _check(wanted, root, f"{path}/{keyword}")
        elif keyword in MANY.split():
            for number, inner in enumerate(_full_list(wanted, f"{path}/{keyword}")):
                _check(inner, root, f"{path}/{keyword}/{number}")
        elif keyword in (*NAMED.split(), "$defs", "definitions"):
            if not isinstance(wanted, Mapping):
                raise SchemaInvalid(f"{path}/{keyword} is {_name(wanted)}, not an object of schemas")
            for name, inner in wanted.items():
                _check(inner, root, f"{path}/{keyword}/{name}")
            if keyword == "patternProperties":
                for pattern in wanted:
                    _check_pattern(pattern, f"{path}/{keyword}")
        else:
            _check_value(keyword, wanted, root, path)


def _check_value(keyword: str, wanted: object, root: Mapping[str, object], path: str) -> None:
    """The keywords whose value is not a schema."""
    where = f"{path}/{keyword}"
    if keyword in NOTES or keyword == "const":
        return
    if keyword == "type":
        for name in [wanted] if isinstance(wanted, str) else _full_list(wanted, where):
            if not isinstance(name, str) or name not in TYPES:
                raise SchemaInvalid(f"{where}: there is no type {_shown(name)}")
    elif keyword == "enum":
        _full_list(wanted, where)
    elif keyword == "required":
        if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
            raise SchemaInvalid(f"{where} is not a list of names")
    elif keyword in NUMBERS:
        if _numeric(wanted) is None or (keyword == "multipleOf" and _number(wanted) <= 0):
            raise SchemaInvalid(f"{where} is {_shown(wanted)}, which is no limit")
    elif keyword == "pattern":
        _check_pattern(wanted, where)
    elif keyword == "uniqueItems":
        if not isinstance(wanted, bool):
            raise SchemaInvalid(f"{where} is {_name(wanted)}, not a boolean")
    elif keyword == "$ref":
        _check_reference(str(wanted), root)
    else:
        raise SchemaInvalid(f"{where}: the keyword {keyword!r} is unknown or not supported")


def _check_reference(reference: str, root: Mapping[str, object]) -> None:
    """That it leads to a schema, and not back to itself."""
    seen = {reference}
    target = _resolve(reference, root)
    while isinstance(target, Mapping) and "$ref" in target:
        following = str(target["$ref"])
        if following in seen:
            raise SchemaInvalid(f"$ref {reference!r} leads back to itself")
        seen.add(following)
        target = _resolve(following, root)


def _check_pattern(pattern: object, where: str) -> None:
    try:
        re.compile(str(pattern))
    except re.error as error:
        raise SchemaInvalid(f"{where} is not a regular expression: {error}") from error


def _resolve(reference: str, root: Schema) -> Schema:
    """What a `$ref` within the document points to (RFC 6901); nothing is fetched."""
    if not reference.startswith("#"):
        raise SchemaInvalid(f"$ref {reference!r} points out of the schema; put what it needs into $defs")
    found: object = root
    for token in filter(None, reference[1:].split("/")):
        name = token.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or name not in found:
            raise SchemaInvalid(f"$ref {reference!r} points to nothing")
        found = found[name]
    if not isinstance(found, Mapping | bool):
        raise SchemaInvalid(f"$ref {reference!r} points to {_name(found)}, not to a schema")
    return found


def _is(value: object, name: str) -> bool:
    match name:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return not isinstance(value, bool) and (
                isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            )
        case "number":
            return _numeric(value) is not None
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case _:
            return isinstance(value, dict)


def _name(value: object) -> str:
    names = ("null", "boolean", "integer", "number", "string", "array", "object")
    return next(name for name in names if name == "object" or _is(value, name))


def _equal(one: object, other: object) -> bool:
    """As JSON means it: true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _full_list(value: object, where: str) -> list[object]:
    if not isinstance(value, list) or not value:
        raise SchemaInvalid(f"{where} is not a list with something in it")
    return value


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _schema(value: object) -> Schema:
    return value if isinstance(value, Mapping | bool) else {}


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0.0
