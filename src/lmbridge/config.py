"""Settings: argument > environment > lmbridge.toml > what `lmbridge providers` was told > default.

`load_config` reads file and environment; arguments are laid over it with `msgspec.structs.replace`
by whoever has them. The tables of providers are carried as they are: each provider checks its own.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from lmbridge.core.errors import ConfigInvalid
from lmbridge.core.models import LoadOptions
from lmbridge.machine.choices import Choices, read_choices, secret_tables
from lmbridge.machine.home import config_file, home

PREFIX = "LMBRIDGE_"

NOT_SETTINGS = frozenset({"HOME", "CONFIG", "NO_GATEWAY", "DEBUG"})
"""Variables that are not in the file: where it is, and switches for one run."""

OTHERS = ("LMSTUDIO_", "LM_API_TOKEN", "CODEX_OSS_")
"""How the variables of other programs begin that stand for settings of `[lmstudio]`; `LMBRIDGE_LMSTUDIO_*` win."""

EXTENSIONS = "extensions"

T = TypeVar("T")


class GatewayConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Table `[gateway]`: what `lmbridge serve` listens on and whom it lets in.

    Attributes:
        host: address to listen on. port: 0 takes a free one.
        cors: origins of web pages that may ask. require_key: ask for a key on loopback too.
        hosts: further names the gateway may be asked by, such as that of a reverse proxy before it.
        max_body: largest request body, in bytes. heartbeat_s: seconds of silence before a sign of life.
        store_days: days that answers are stored, so that one can go on from them; 0 stores none.
        log: keep a log of requests, without prompts and answers; `lmbridge log` shows it.
        stand_in: also listen where LM Studio does, if nobody else does.
        stand_in_port: where that is, on 127.0.0.1.
        lmstudio_quirks: answer as LM Studio does also where that is a trap for its clients.
        mcp: let callers with a key use the MCP servers of this user (`integrations` of `/api/v1/chat`).
        mcp_idle_s: seconds that such a server may be idle before it is ended; 0: not before the gateway stops.
        ephemeral_mcp: let them name servers on the internet by their URL, over HTTPS.
        ephemeral_mcp_local: such servers may be on this machine and in private networks, too.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 1235
    cors: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    require_key: bool = False
    max_body: Annotated[int, Meta(ge=1)] = 32 * 2**20
    heartbeat_s: Annotated[float, Meta(gt=0)] = 10.0
    store_days: Annotated[float, Meta(ge=0)] = 30.0
    log: bool = True
    stand_in: bool = False
    stand_in_port: Annotated[int, Meta(ge=1, le=65535)] = 1234
    lmstudio_quirks: bool = False
    mcp: bool = False
    mcp_idle_s: Annotated[float, Meta(ge=0)] = 600.0
    ephemeral_mcp: bool = False
    ephemeral_mcp_local: bool = False


class Config(Struct, frozen=True):
    """Every setting.

    Attributes:
        home: lmbridge's own folder.
        model, embedding_model: for callers who name none; "" lets the hub choose.
        use_gateway: whether to share the models of a running gateway of the same user.
        disabled: ids of providers and extensions that are not to be used, such as `lmstudio`.
        default_provider: id of the one that chats go to which name no model, unless `model` is set; "" lets the
            hub choose. provider_order: ids of those that come first where a name fits models of several.
        jit: whether a request loads the model it wants; false: only what `lmbridge load` loaded answers.
        auto_evict: whether only the last model that a request loaded stays in memory.
        truncate: whether a conversation that does not fit is trimmed from its oldest turns, though nobody asked.
        usage_days: days that it is kept which calls there were, for `lmbridge usage`, without their words; 0 keeps
            nothing.
        load: load options for models nobody gave options for.
        providers: the tables of the providers, by id; checked by the providers themselves.
        source: the file that was read, "" if there was none.
        mcp: the tables of MCP servers, by name; checked one by one, so that a bad one does not stop the others.
        extensions: the tables of the extensions, by id; checked by their manifests.
        extension_variables: what the environment says for them, by `ID_NAME` in small letters.
        kept: what `lmbridge providers` was told; it is in the settings above already, below the file's own.
    """

    home: Path
    model: str = ""
    embedding_model: str = ""
    use_gateway: bool = True
    disabled: tuple[str, ...] = ()
    default_provider: str = ""
    provider_order: tuple[str, ...] = ()
    jit: bool = True
    auto_evict: bool = False
    truncate: bool = False
    usage_days: Annotated[float, Meta(ge=0)] = 365.0
    load: LoadOptions = LoadOptions()
    gateway: GatewayConfig = GatewayConfig()
    providers: dict[str, dict[str, object]] = {}
    source: str = ""
    mcp: dict[str, object] = {}
    extensions: dict[str, dict[str, object]] = {}
    extension_variables: dict[str, str] = {}
    kept: Choices = Choices()


TABLES: dict[str, type[Struct]] = {"load": LoadOptions, "gateway": GatewayConfig}
SCALARS: dict[str, object] = {
    "model": str,
    "embedding_model": str,
    "use_gateway": bool,
    "disabled": tuple[str, ...],
    "default_provider": str,
    "provider_order": tuple[str, ...],
    "jit": bool,
    "auto_evict": bool,
    "truncate": bool,
    "usage_days": Annotated[float, Meta(ge=0)],
}


def load_config(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Read the settings of this user.

    Args:
        path: the file; default `$LMBRIDGE_CONFIG`, else `lmbridge.toml` in lmbridge's folder. A file that
            was named must exist.
        environ: the environment, default this process's. `LMBRIDGE_MODEL`, `LMBRIDGE_GATEWAY_PORT`,
            `LMBRIDGE_LOAD_CONTEXT_LENGTH`, … stand for the settings of those names; `LMSTUDIO_BASE_URL`,
            `LM_API_TOKEN` and others (`clients.lmstudio.settings.aliases`) for those of LM Studio.

    Raises:
        ConfigInvalid: a file that cannot be read or parsed, an unknown setting, a wrong type.
    """
    env = os.environ if environ is None else environ
    folder = home(env)
    named = path or (Path(env["LMBRIDGE_CONFIG"]).expanduser() if env.get("LMBRIDGE_CONFIG") else None)
    file = named or config_file(folder)
    data = _read(file, must_exist=named is not None)
    kept = read_choices(folder)
    extensions = _tables_of_extensions(data.pop(EXTENSIONS, {}), str(file))
    servers = _tables_of_servers(data.pop("mcp", {}), str(file))
    fields: dict[str, object] = {name: data.pop(name) for name in (*SCALARS, *TABLES) if name in data}
    providers = {k: v for k, v in data.items() if isinstance(v, dict)}
    found = bool(data or fields or extensions or servers)
    if stray := sorted(data.keys() - providers.keys()):
        raise ConfigInvalid(str(file), f"unknown setting {stray[0]!r}", hint=_near(stray[0], (*SCALARS, *TABLES)))
    checked = {name: _check(fields[name], name, str(file)) for name in fields}
    secrets = secret_tables(folder, kept, {**providers, EXTENSIONS: extensions})
    providers = _over(_over(providers, kept.providers), {k: v for k, v in secrets.items() if k != EXTENSIONS})
    checked |= _from_environment(env, checked, providers)
    # Not `_over`: an empty list in the file, or the environment, is a choice as well.
    chosen = {"default_provider": kept.default, "provider_order": kept.order}
    told = {**chosen, **checked, "disabled": _both(checked.get("disabled"), kept.disabled)}
    return msgspec.convert(
        {
            **told,
            "home": folder,
            "providers": {k: v for k, v in providers.items() if k != EXTENSIONS},
            "source": str(file) if found else "",
            "mcp": servers,
            "extensions": _over(_over(extensions, kept.extensions), secrets.get(EXTENSIONS, {})),
            "extension_variables": providers.get(EXTENSIONS, {}),
            "kept": kept,
        },
        Config,
        from_attributes=True,
    )


def _tables_of_extensions(found: object, file: str) -> dict[str, dict[str, object]]:
    if isinstance(found, dict) and all(isinstance(table, dict) for table in found.values()):
        return found
    raise ConfigInvalid(file, "`extensions` holds a table for each extension, such as [extensions.NAME]")


def _tables_of_servers(found: object, file: str) -> dict[str, object]:
    if isinstance(found, dict):
        return found
    raise ConfigInvalid(file, "`mcp` holds a table for each MCP server, such as [mcp.NAME]")


def _over(upper: Mapping[str, object], lower: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """Tables laid over others, setting by setting."""
    laid: dict[str, dict[str, object]] = dict(lower)  # type: ignore[arg-type]
    for name, value in upper.items():
        below = lower.get(name)
        both = isinstance(value, dict) and isinstance(below, dict)
        laid[name] = _over(value, below) if both else value  # type: ignore[arg-type, assignment]
    return laid


def _both(said: object, kept: tuple[str, ...]) -> tuple[str, ...]:
    """Names that either says, each once."""
    return tuple(dict.fromkeys((*(said if isinstance(said, tuple) else ()), *kept)))


def _read(file: Path, must_exist: bool) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError as error:
        if must_exist:
            raise ConfigInvalid(str(file), "there is no such file") from error
        return {}
    except OSError as error:
        raise ConfigInvalid(str(file), f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigInvalid(str(file), f"cannot be read: byte {error.start} is not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigInvalid(str(file), f"is not TOML: {error}") from error


def _check(value: object, name: str, where: str, strict: bool = True) -> object:
    kind = TABLES.get(name) or SCALARS[name]
    if isinstance(value, dict) and name in TABLES:
        known = TABLES[name].__struct_fields__
        if stray := sorted(value.keys() - set(known)):
            hint = _near(stray[0], known) or f"The table [{name}] has: {', '.join(known)}."
            raise ConfigInvalid(where, f"unknown setting {name}.{stray[0]}", hint=hint)
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        said, key = _in_words(error)
        table = TABLES.get(name)
        hint = _choices(table, key) if table is not None and key in table.__struct_fields__ else ""
        raise ConfigInvalid(where, f"setting '{name}{f'.{key}' if key else ''}': {said}", hint=hint) from error


_AT = re.compile(r" - at `\$\.?([^`]*)`$")
_WORDS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}


def _in_words(error: msgspec.ValidationError) -> tuple[str, str]:
    """What msgspec says, with TOML's names for types; and the setting it says it of, "" for the value itself."""
    text = str(error)
    at = _AT.search(text)
    said = text[: at.start()] if at else text
    said = re.sub(r"`([^`]*)`", lambda found: _of_types(found[1]), said)
    return said[:1].lower() + said[1:], at[1].partition("[")[0] if at else ""


def _of_types(names: str) -> str:
    told = [_WORDS.get(name, name) for name in names.split(" | ") if name != "null"]
    return " or ".join(told) or "nothing"


def _choices(table: type[Struct], key: str) -> str:
    """The values that a setting may have, where they are few."""
    kind = get_type_hints(table)[key]
    kinds = (kind,) if get_origin(kind) is Literal else get_args(kind)
    values = [str(value) for each in kinds if get_origin(each) is Literal for value in get_args(each)]
    return f"It may be {', '.join(values)}." if values else ""


def _from_environment(
    env: Mapping[str, str], read: Mapping[str, object], providers: dict[str, dict[str, object]]
) -> dict[str, object]:
    """The settings of the environment, laid over what was *read*; those of providers go to *providers*."""
    found: dict[str, object] = {}
    if any(variable.startswith(OTHERS) for variable in env):
        # Imported here alone: who has none of these variables need not wait for it.
        from lmbridge.clients.lmstudio.settings import aliases

        told = {name: value for name, (_, value) in aliases(env).items()}
        if told:
            providers["lmstudio"] = {**providers.get("lmstudio", {}), **told}
    for variable, text in env.items():
        if not variable.startswith(PREFIX) or variable.removeprefix(PREFIX) in NOT_SETTINGS:
            continue
        name = variable.removeprefix(PREFIX).lower()
        table, _, key = name.partition("_")
        if name in SCALARS:
            value: object = _listed(text) if name in ("disabled", "provider_order") else text
            found[name] = _check(value, name, variable, strict=False)
        elif table in TABLES and key in TABLES[table].__struct_fields__:
            before = found.get(table, read.get(table, TABLES[table]()))
            found[table] = _replaced(before, key, text, variable)
        elif key and table not in TABLES:
            providers[table] = {**providers.get(table, {}), key: text}
        else:
            names = [*SCALARS, *(f"{t}_{k}" for t, s in TABLES.items() for k in s.__struct_fields__)]
            raise ConfigInvalid(variable, "there is no such setting", hint=_near(name, names, PREFIX))
    if env.get("LMBRIDGE_NO_GATEWAY"):
        found["use_gateway"] = False
    return found


def _replaced(before: object, key: str, text: str, variable: str) -> object:
    kind = get_type_hints(type(before), include_extras=True)[key]
    value: object = _listed(text) if kind == tuple[str, ...] else text
    try:
        return msgspec.structs.replace(before, **{key: msgspec.convert(value, kind, strict=False)})  # type: ignore[type-var]
    except msgspec.ValidationError as error:
        raise ConfigInvalid(variable, _in_words(error)[0], hint=_choices(type(before), key)) from error  # type: ignore[arg-type]


def _listed(text: str) -> tuple[str, ...]:
    """A list as the environment gives it: words with commas between."""
    return tuple(word for part in text.split(",") if (word := part.strip()))


def _near(name: str, known: tuple[str, ...] | list[str], prefix: str = "") -> str:
    near = get_close_matches(name, known, n=1)
    shown = f"{prefix}{near[0].upper()}" if near and prefix else near[0] if near else ""
    return f"Did you mean {shown!r}?" if near else ""
