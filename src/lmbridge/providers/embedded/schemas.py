"""JSON schemas in a form that the engine follows, or a refusal that names the place it would not.

The engine turns a schema into a grammar. What its grammar cannot express it ignores, an impossible schema makes
it fail in words nobody understands, and a hostile one keeps it busy for minutes; so every schema is checked
before it is sent. What is enforced was found by trying each keyword with the engine (llama.cpp b11549).
Pure: no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final, NoReturn

import msgspec

from lmbridge.core.errors import InvalidRequest
from lmbridge.providers.embedded.patterns import Unsupported, translated

MAX_DEPTH: Final = 64
MAX_SCHEMAS: Final = 2000
"""Schemas within one schema; the engine's work grows faster than their number."""
MAX_OPTIONAL: Final = 200
"""Properties of one object that may be left out; the engine's work grows with the square."""
MAX_CHOICES: Final = 1000
MAX_REPEAT: Final = 1000
"""Largest minimum of items or characters. The engine refuses 2000 without saying where."""
MAX_INTEGER: Final = 10**15
MAX_REMEMBERED: Final = 32 * 1024
"""Bytes of the largest schema whose check is remembered."""

_TYPES: Final = frozenset(["object", "array", "string", "integer", "number", "boolean", "null"])

# Without effect on the engine's grammar, so that an answer may break them.
# fmt: off
_NOT_ENFORCED: Final = frozenset((
    "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies", "patternProperties",
    "propertyNames", "minProperties", "maxProperties", "contains", "minContains", "maxContains", "multipleOf",
    "uniqueItems", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef", "nullable",
))
_ANNOTATIONS: Final = frozenset((
    "title", "description", "default", "examples", "example", "$schema", "$id", "$comment", "deprecated",
    "readOnly", "writeOnly", "$defs", "definitions", "$anchor", "discriminator",
))
# fmt: on
_FORMATS: Final = frozenset(["date", "time", "date-time", "uuid", "uuid1", "uuid2", "uuid3", "uuid4", "uuid5"])
_NUMBER_LIMITS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_ONE_OF: Final = ("anyOf", "oneOf", "allOf")


def fitted(schema: object, param: str, *, exact: bool) -> dict[str, object]:
    """*schema*, or one that means the same and that the engine understands.

    Arguments:
        param: the request field that holds it, for the error.
        exact: refuse what the engine would not enforce. Otherwise only what it would fail on, or hang.

    Raises:
        InvalidRequest: the schema is wrong, too large, or says something that would be ignored.
    """
    if not isinstance(schema, dict):
        raise InvalidRequest("The schema must be a JSON object.", param=param)
    try:
        encoded = msgspec.json.encode(schema)
    except RecursionError as error:
        raise InvalidRequest(f"The schema is nested deeper than {MAX_DEPTH}.", param=param) from error
    if len(encoded) > MAX_REMEMBERED:
        return _Fitting(schema, param, exact).run()
    changed = _remembered(encoded, param, exact)
    return schema if changed is None else changed


@lru_cache(maxsize=512)
def _remembered(encoded: bytes, param: str, exact: bool) -> dict[str, object] | None:
    """The fitted schema, None if it is the same. Agents send the same tools with every request."""
    schema: dict[str, object] = msgspec.json.decode(encoded)
    fitted = _Fitting(schema, param, exact).run()
    return None if fitted is schema else fitted


class _Fitting:
    """One walk over one schema."""

    def __init__(self, root: dict[str, object], param: str, exact: bool) -> None:
        self._root, self._param, self._exact = root, param, exact
        self._count = 0

    def run(self) -> dict[str, object]:
        fitted = self._schema(self._root, "#", 0)
        self._check_loops()
        return fitted if isinstance(fitted, dict) else self._root

    def _wrong(self, path: str, reason: str, hint: str = "") -> NoReturn:
        raise InvalidRequest(f"Schema, at {path}: {reason}.", hint=hint, param=self._param)

    def _ignored(self, path: str, reason: str) -> None:
        """Something the engine would pass over."""
        if self._exact:
            self._wrong(path, reason, "Leave it out and check the answer yourself.")

    def _schema(self, schema: object, path: str, depth: int) -> object:
        if schema is True:
            return schema
        if not isinstance(schema, dict):
            self._wrong(
                path, "a schema must be an object" if schema is not False else "nothing can satisfy `false`"
            )
        self._count += 1
        if self._count > MAX_SCHEMAS:
            self._wrong(path, f"more than {MAX_SCHEMAS} schemas in one")
        if depth > MAX_DEPTH:
            self._wrong(path, f"nested deeper than {MAX_DEPTH}")
        self._check_keywords(schema, path)
        changed: dict[str, object] = {}
        for key, child_path, child in _children(schema, path):
            new = self._schema(child, child_path, depth + 1)
            if new is not child:
                _replace(changed, schema, key, child_path, new)
        if isinstance(schema.get("pattern"), str):
            self._check_pattern(schema, path, changed)
        changed |= _narrowed(schema)
        fitted = {**schema, **changed} if changed else schema
        return self._closed_tuple(fitted, path) if schema.get("items") is False else fitted

    def _closed_tuple(self, schema: Mapping[str, object], path: str) -> dict[str, object]:
        """The engine makes exactly the items of `prefixItems`, and fails on a `false` beside them."""
        if "prefixItems" not in schema:
            self._wrong(f"{path}/items", "only an empty list can satisfy `false`", "Say `maxItems: 0`.")
        return {key: value for key, value in schema.items() if key != "items"}

    def _check_keywords(self, schema: Mapping[str, object], path: str) -> None:
        self._check_containers(schema, path)
        types = self._types(schema, path)
        for key in schema.keys() & _NOT_ENFORCED:
            if schema[key] is not False:
                self._ignored(f"{path}/{key}", f"the engine cannot enforce `{key}`")
        if "$ref" in schema:
            self._check_reference(schema, path)
        self._check_choice(schema, path, types)
        self._check_object(schema, path)
        self._check_repeats(schema, path, "minItems", "maxItems")
        self._check_repeats(schema, path, "minLength", "maxLength")
        self._check_numbers(schema, path, types)
        if schema.get("format") in _FORMATS and schema.keys() & {"minLength", "maxLength", "pattern"}:
            self._ignored(path, "with `format` the engine ignores lengths and `pattern`")

    def _types(self, schema: Mapping[str, object], path: str) -> list[str]:
        found = schema.get("type", [])
        types = []
        for each in found if isinstance(found, list) else [found]:
            if not isinstance(each, str) or each not in _TYPES:
                self._wrong(f"{path}/type", f"there is no type {each!r}")
            types.append(each)
        return types

    def _check_containers(self, schema: Mapping[str, object], path: str) -> None:
        for key in ("properties", "$defs", "definitions"):
            if not isinstance(schema.get(key, {}), dict):
                self._wrong(f"{path}/{key}", "it must be an object")
        for key in (*_ONE_OF, "prefixItems"):
            found = schema.get(key)
            if key in schema and not (isinstance(found, list) and found):
                self._wrong(f"{path}/{key}", "it must be a list that is not empty")

    def _check_reference(self, schema: Mapping[str, object], path: str) -> None:
        reference = schema["$ref"]
        if not isinstance(reference, str) or not reference.startswith("#/") or "~" in reference:
            self._wrong(f"{path}/$ref", "only references of the form `#/$defs/NAME` are understood")
        if self._resolve(reference) is None:
            self._wrong(f"{path}/$ref", f"{reference!r} leads nowhere")
        self._check_siblings(schema, path, "$ref")

    def _resolve(self, reference: str) -> object:
        at: object = self._root
        for step in reference.removeprefix("#/").split("/"):
            if isinstance(at, dict) and step in at:
                at = at[step]
            elif isinstance(at, list) and step.isdecimal() and int(step) < len(at):
                at = at[int(step)]
            else:
                return None
        return at if isinstance(at, dict) else None

    def _check_siblings(self, schema: Mapping[str, object], path: str, key: str, allowed: str = "") -> None:
        others = schema.keys() - _ANNOTATIONS - {key, allowed} - ({"format"} - _FORMATS)
        if others:
            self._ignored(path, f"beside `{key}` the engine ignores `{min(others)}`")

    def _check_choice(self, schema: Mapping[str, object], path: str, types: list[str]) -> None:
        values = schema.get("enum", [schema["const"]] if "const" in schema else None)
        if "enum" in schema or "const" in schema:
            if not isinstance(values, list) or not values:
                self._wrong(f"{path}/enum", "it must be a list that is not empty")
            if len(values) > MAX_CHOICES:
                self._wrong(f"{path}/enum", f"more than {MAX_CHOICES} values")
            for value in values:
                if types and not any(_is_of(value, each) for each in types):
                    self._wrong(path, f"the value {value!r} is not of type {' or '.join(types)}")
            self._check_siblings(schema, path, "enum" if "enum" in schema else "const", "type")
        for key in ("anyOf", "oneOf"):
            if key in schema:
                self._check_siblings(schema, path, key)
        if "allOf" in schema:
            self._check_all_of(schema, path)

    def _check_all_of(self, schema: Mapping[str, object], path: str) -> None:
        """The engine joins objects, and takes a lone member as it is; of other members it forgets all."""
        members = schema["allOf"]
        if not isinstance(members, list):
            return
        if len(members) > 1:
            for position, member in enumerate(members):
                found = (
                    self._resolve(str(member["$ref"])) if isinstance(member, dict) and "$ref" in member else member
                )
                if not isinstance(found, dict) or not isinstance(found.get("properties"), dict):
                    self._ignored(f"{path}/allOf/{position}", "the engine can only join objects with `properties`")
        others = schema.keys() - _ANNOTATIONS - {"allOf", "type", "properties", "required", "additionalProperties"}
        if others:
            self._ignored(path, f"beside `allOf` the engine ignores `{min(others)}`")

    def _check_object(self, schema: Mapping[str, object], path: str) -> None:
        required = schema.get("required", [])
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            self._wrong(f"{path}/required", "it must be a list of names")
        properties = schema.get("properties")
        names = properties.keys() if isinstance(properties, dict) else set[str]()
        for name in required:
            if name not in names and "allOf" not in schema:
                self._ignored(f"{path}/required", f"{name!r} is required but not among the properties")
        if len(names - set(required)) > MAX_OPTIONAL:
            self._wrong(f"{path}/properties", f"more than {MAX_OPTIONAL} properties that are not required")

    def _check_repeats(self, schema: Mapping[str, object], path: str, low: str, high: str) -> None:
        least, most = self._count_at(schema, path, low), self._count_at(schema, path, high)
        if least is not None and least > MAX_REPEAT:
            self._wrong(f"{path}/{low}", f"{least} is more than the engine can count to ({MAX_REPEAT})")
        if least is not None and most is not None and least > most:
            self._wrong(f"{path}/{low}", f"{least} is more than `{high}` ({most})")

    def _count_at(self, schema: Mapping[str, object], path: str, key: str) -> int | None:
        found = schema.get(key)
        if found is None:
            return None
        if not isinstance(found, int) or isinstance(found, bool) or found < 0:
            self._wrong(f"{path}/{key}", "it must be a whole number from 0 on")
        return found

    def _check_numbers(self, schema: Mapping[str, object], path: str, types: list[str]) -> None:
        limits = {}
        for key in _NUMBER_LIMITS:
            value = schema.get(key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                self._wrong(f"{path}/{key}", "it must be a number")
            if "integer" not in types or "number" in types:
                self._ignored(f"{path}/{key}", "the engine can only limit integers")
            elif value != int(value) or (abs(value) > MAX_INTEGER and not _is_wide(key, value)):
                self._wrong(f"{path}/{key}", "it must be a whole number of at most 15 digits")
            limits[key] = value
        low = max(limits.get("minimum", -MAX_INTEGER), limits.get("exclusiveMinimum", -MAX_INTEGER - 1) + 1)
        high = min(limits.get("maximum", MAX_INTEGER), limits.get("exclusiveMaximum", MAX_INTEGER + 1) - 1)
        if types == ["integer"] and low > high:
            self._wrong(path, f"no number is at least {low:g} and at most {high:g}")

    def _check_pattern(self, schema: Mapping[str, object], path: str, changed: dict[str, object]) -> None:
        pattern = str(schema["pattern"])
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            if r"\p" not in pattern:
                self._wrong(f"{path}/pattern", f"{pattern[:80]!r} is not a regular expression ({error})")
        if schema.keys() & {"minLength", "maxLength"}:
            self._ignored(path, "with `pattern` the engine ignores lengths")
        try:
            ours = translated(pattern)
        except Unsupported as error:
            self._ignored(f"{path}/pattern", f"the engine cannot follow {pattern[:80]!r}: {error}")
            return
        if ours != pattern:
            changed["pattern"] = ours

    def _check_loops(self) -> None:
        """A definition that begins with itself has no grammar."""

        def visit(schema: object, trail: tuple[int, ...]) -> None:
            if not isinstance(schema, dict) or id(schema) in done:
                return
            if id(schema) in trail or len(trail) > MAX_DEPTH:
                self._wrong("#", "a definition refers to itself without anything in between")
            inner = (*trail, id(schema))
            if isinstance(schema.get("$ref"), str):
                visit(self._resolve(str(schema["$ref"])), inner)
            for key in _ONE_OF:
                found = schema.get(key)
                for member in found if isinstance(found, list) else ():
                    visit(member, inner)
            done.add(id(schema))

        done: set[int] = set()
        for schema in _all_schemas(self._root):
            visit(schema, ())


def _is_wide(key: str, limit: float) -> bool:
    """Whether a limit of a number leaves more room than the engine needs."""
    return limit > MAX_INTEGER if key.endswith("aximum") else limit < -MAX_INTEGER


def _narrowed(schema: Mapping[str, object]) -> dict[str, object]:
    """Limits wider than the engine can count to, at its own: zod, which many tools are written with, gives every
    integer the limits of JavaScript's. What the engine makes within the narrower ones keeps to both."""
    kind = schema.get("type")
    if kind != "integer" and not (isinstance(kind, list) and "integer" in kind and "number" not in kind):
        return {}
    limits = {key: schema[key] for key in _NUMBER_LIMITS if key in schema}
    return {
        key: MAX_INTEGER if limit > 0 else -MAX_INTEGER
        for key, limit in limits.items()
        if isinstance(limit, int | float) and _is_wide(key, limit)
    }


def _children(schema: Mapping[str, object], path: str) -> Iterator[tuple[str, str, object]]:
    """Every schema directly within: the keyword it is under, its path, itself."""
    for key in ("properties", "$defs", "definitions"):
        found = schema.get(key)
        for name, child in found.items() if isinstance(found, dict) else ():
            yield key, f"{path}/{key}/{name}", child
    for key in (*_ONE_OF, "prefixItems"):
        found = schema.get(key)
        for position, child in enumerate(found if isinstance(found, list) else ()):
            yield key, f"{path}/{key}/{position}", child
    items = schema.get("items")
    if isinstance(items, list):
        for position, child in enumerate(items):
            yield "items", f"{path}/items/{position}", child
    elif "items" in schema and items is not False:
        yield "items", f"{path}/items", items
    extra = schema.get("additionalProperties")
    if extra is not None and not isinstance(extra, bool):
        yield "additionalProperties", f"{path}/additionalProperties", extra


def _replace(changed: dict[str, object], schema: Mapping[str, object], key: str, path: str, new: object) -> None:
    """Put *new* where `_children` found a schema, in a copy of what is under *key*."""
    holder = changed.get(key, schema[key])
    last = path.rpartition(f"/{key}/")[2]
    if path.endswith(f"/{key}"):
        changed[key] = new
    elif isinstance(holder, dict):
        changed[key] = {**holder, last: new}
    elif isinstance(holder, list):
        changed[key] = [new if str(position) == last else each for position, each in enumerate(holder)]


def _all_schemas(schema: object) -> Iterator[dict[str, object]]:
    if isinstance(schema, dict):
        yield schema
        for _, _, child in _children(schema, ""):
            yield from _all_schemas(child)


def _is_of(value: object, kind: str) -> bool:
    match kind:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case _:
            return isinstance(value, dict)
