"""Model presets: a model, how it is loaded, how it is asked and what it is told, under one name.

Each is a TOML file of its own, `presets/NAME.toml` in lmbridge's folder, to be written by hand or by a command.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace

from lmbridge.core.errors import ConfigInvalid, InvalidRequest
from lmbridge.core.models import LoadOptions
from lmbridge.core.requests import Sampling
from lmbridge.machine.files import write_whole
from lmbridge.machine.home import presets_folder

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Preset(Struct, frozen=True, omit_defaults=True):
    """One preset. What is not set is left to the arguments and the settings.

    Attributes:
        description: for people. model: its name, as `lmbridge ls` shows it.
        system: instructions that the model follows throughout.
        load: options that the model is loaded with. sampling: how it is asked.
    """

    description: str = ""
    model: str = ""
    system: str = ""
    load: LoadOptions = LoadOptions()
    sampling: Sampling = Sampling()

    def sampled(self, given: Sampling) -> Sampling:
        """What was given as arguments, laid over what the preset says."""
        return replace(
            self.sampling, **{name: value for name, value in asdict(given).items() if value not in (None, ())}
        )


class Listed(Struct, frozen=True):
    """A preset in the list.

    Attributes:
        preset: None where the file cannot be used. problem: why not.
    """

    name: str
    preset: Preset | None
    problem: str = ""


TABLES: Final[Mapping[str, type[Struct]]] = {"": Preset, "load": LoadOptions, "sampling": Sampling}

_LIMITS: Final[Mapping[str, tuple[float, float]]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "top_k": (0, 2**31),
    "max_tokens": (1, 2**31),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
}


def load_preset(home: Path, name: str) -> Preset:
    """A preset by its name.

    Raises:
        InvalidRequest: there is none. ConfigInvalid: its file cannot be used; with the line.
    """
    file = _file(home, name)
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError as error:
        raise _unknown(home, name) from error
    except UnicodeDecodeError as error:
        raise ConfigInvalid(str(file), f"byte {error.start} is not UTF-8 text") from error
    except OSError as error:
        raise ConfigInvalid(str(file), error.strerror or "cannot be read") from error
    return decode_preset(text, str(file))


def decode_preset(text: str, where: str) -> Preset:
    """What a file says.

    Raises:
        ConfigInvalid: it is not TOML, or says what cannot be; with the line.
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigInvalid(where, f"is not TOML: {error}") from error
    for table, kind in TABLES.items():
        within = found.get(table, {}) if table else found
        if isinstance(within, dict):
            _refuse_unknown(text, table, kind, within, where)
    try:
        preset = msgspec.convert(found, Preset)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `$.")
        table, _, key = path.rstrip("`").rpartition(".")
        raise _wrong(text, where, table, key.partition("[")[0], _in_words(said)) from error
    if beyond := _beyond(preset):
        raise _wrong(text, where, "sampling", *beyond)
    return preset


def _beyond(preset: Preset) -> tuple[str, str] | None:
    """A setting that is beyond its limits, and what is wrong with it."""
    for key, (least, most) in _LIMITS.items():
        value = getattr(preset.sampling, key)
        if value is not None and not least <= value <= most:
            return key, f"must be from {least} to {most}"
    return None


_WORDS: Final = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}


def _in_words(said: str) -> str:
    """What msgspec says, with TOML's names for types."""
    plain = re.sub(r" ?\| ?null", "", said.replace("`", ""))
    return re.sub(r"\b(" + "|".join(_WORDS) + r")\b", lambda found: _WORDS[found[1]], plain)


def _refuse_unknown(text: str, table: str, kind: type[Struct], within: Mapping[str, object], where: str) -> None:
    for key in within:
        if key not in kind.__struct_fields__:
            near = get_close_matches(key, kind.__struct_fields__, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(kind.__struct_fields__)}."
            raise _wrong(text, where, table, key, "there is no such setting", hint)


def _wrong(text: str, where: str, table: str, key: str, said: str, hint: str = "") -> ConfigInvalid:
    line = _line(text, table, key)
    name = f"{table}.{key}" if table else key
    return ConfigInvalid(
        f"{where}, line {line}" if line else where,
        f"`{name}`: {said[:1].lower()}{said[1:].rstrip('.')}",
        hint=hint,
    )


def _line(text: str, table: str, key: str) -> int:
    """The line where a setting is, 0 if it cannot be told."""
    now = ""
    for number, line in enumerate(text.splitlines(), 1):
        if head := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
            now = head[1].strip("\"'")
            if not table and now == key:
                return number
        elif re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line) and now == table:
            return number
    return 0


def preset_of(values: Mapping[str, str]) -> Preset:
    """A preset from texts, each under the name of a setting: those of `load` and `sampling` without their table.

    Raises:
        InvalidRequest: there is no such setting, or it cannot have this value.
    """
    tables: dict[str, dict[str, object]] = {name: {} for name in TABLES}
    for key, text in values.items():
        tables[_table_of(key)][key] = [part for part in text.split(",") if part] if key == "stop" else text
    found = {**tables[""], **{name: table for name, table in tables.items() if name}}
    try:
        preset = msgspec.convert(found, Preset, strict=False)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `$.")
        key = path.rstrip("`").rpartition(".")[2]
        raise InvalidRequest(f"`{key}`: {_in_words(said)}.", param=key) from error
    if beyond := _beyond(preset):
        raise InvalidRequest(f"`{beyond[0]}`: {beyond[1]}.", param=beyond[0])
    return preset


def _table_of(key: str) -> str:
    for table, kind in TABLES.items():
        if key in kind.__struct_fields__ and key not in TABLES and key != "logit_bias":
            return table
    known = [key for kind in TABLES.values() for key in kind.__struct_fields__ if key not in TABLES]
    near = get_close_matches(key, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known)}."
    raise InvalidRequest(f"There is no setting {key!r} of a preset.", hint=hint, param=key)


def list_presets(home: Path) -> Sequence[Listed]:
    """All of them by name, those that cannot be used too."""
    return list(_listed(home))


def _listed(home: Path) -> Iterator[Listed]:
    for file in sorted(presets_folder(home).glob("*.toml")):
        if not NAME.fullmatch(file.stem):
            continue
        try:
            yield Listed(file.stem, load_preset(home, file.stem))
        except ConfigInvalid as error:
            yield Listed(file.stem, None, error.message)


def write_preset(home: Path, name: str, preset: Preset, *, replaces: bool = False) -> Path:
    """Write a preset; returns its file.

    Raises:
        InvalidRequest: there is one already, and *replaces* is false; or the name cannot be used.
        ConfigInvalid: it says what cannot be. OSError: it cannot be written.
    """
    file = _file(home, name)
    if file.exists() and not replaces:
        raise InvalidRequest(
            f"There is a preset {name!r} already.", hint="--replace writes it anew.", param="name"
        )
    text = encode_preset(preset)
    decode_preset(text, str(file))
    write_whole(file, text.encode())
    return file


def delete_preset(home: Path, name: str) -> None:
    """Remove a preset.

    Raises:
        InvalidRequest: there is none.
    """
    try:
        _file(home, name).unlink()
    except FileNotFoundError as error:
        raise _unknown(home, name) from error


def encode_preset(preset: Preset) -> str:
    """A preset as TOML, without what is not set."""
    said = msgspec.to_builtins(preset)
    tables = {name: said.pop(name, {}) for name in TABLES if name}
    parts = [_pairs(said), *(f"[{name}]\n{_pairs(table)}" for name, table in tables.items() if table)]
    return "\n".join(filter(None, parts))


def _pairs(table: Mapping[str, object]) -> str:
    return "".join(f"{key} = {_value(value)}\n" for key, value in table.items())


def _value(value: object) -> str:
    """A value as TOML, whose strings, numbers and lists are written as JSON's are."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_value(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _file(home: Path, name: str) -> Path:
    """Where a preset is; the name leads nowhere else.

    Raises:
        InvalidRequest: it cannot be a name.
    """
    if not NAME.fullmatch(name):
        hint = "Use 1 to 64 letters, digits or `._-`, beginning with a letter or digit."
        raise InvalidRequest(f"{name!r} cannot be the name of a preset.", hint=hint, param="name")
    return presets_folder(home) / f"{name}.toml"


def _unknown(home: Path, name: str) -> InvalidRequest:
    known = [listed.name for listed in list_presets(home)]
    near = get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "`lmbridge presets list` shows those that there are."
    return InvalidRequest(f"There is no preset {name!r}.", hint=hint, param="preset")
