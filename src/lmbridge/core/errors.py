"""Errors that say what to do next.

Every error that leaves lmbridge is a `BridgeError`: a stable `code` that outlives its wording, the
facts as attributes, and a `hint` a person can act on. Which HTTP status, exit code or JSON-RPC code
belongs to a code is each door's own table; nothing here knows about doors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import ClassVar, Final, Literal, TypeAlias

LONGEST_NAME: Final = 512
"""Letters of a name that are looked at and repeated; no model has more."""

Flaw: TypeAlias = Literal["", "missing", "unknown", "forms"]


class BridgeError(Exception):
    """Base of every error lmbridge raises.

    Attributes:
        code: stable machine-readable name; part of the public contract.
        message: what went wrong, in one sentence, without the hint.
        hint: what to do about it; empty when there is nothing useful to say.
        param: name of the offending request field, if one is to blame.
    """

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, hint: str = "", param: str | None = None) -> None:
        self.message, self.hint, self.param = message, hint, param
        super().__init__(f"{message} {hint}".rstrip())


class InvalidRequest(BridgeError):
    """The request itself is wrong: malformed JSON, a wrong type, a value out of range.

    Attributes:
        flaw: the sort of mistake, where an API has a word for it: a field that is `missing` or `unknown`, or
            one that has none of the `forms` it may have.
    """

    code = "invalid_request"
    flaw: Flaw = ""

    def __init__(self, message: str, *, hint: str = "", param: str | None = None, flaw: Flaw = "") -> None:
        self.flaw = flaw
        super().__init__(message, hint=hint, param=param)


class UnsupportedParameter(InvalidRequest):
    """A parameter that nobody here can honour; refused by name instead of silently ignored."""

    code = "unsupported_parameter"

    def __init__(self, name: str, reason: str = "", *, hint: str = "") -> None:
        self.name = name
        why = reason or "No provider here can honour it."
        super().__init__(f"Unsupported parameter {name!r}. {why}", hint=hint or "Leave it out.", param=name)


class RequestTooLarge(BridgeError):
    """The body is over the limit.

    Attributes:
        limit: bytes allowed.
    """

    code = "request_too_large"

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"The request body is larger than {limit:,} bytes.",
            hint="Send less, or raise `gateway.max_body` in lmbridge.toml.",
        )


class UnsupportedMediaType(BridgeError):
    """A body that is not `application/json`. Refused so that a web page cannot post without a preflight."""

    code = "unsupported_media_type"

    def __init__(self, content_type: str) -> None:
        self.content_type = content_type
        shown = f"{content_type[:80]!r}" if content_type else "none"
        super().__init__(
            f"The content type must be application/json, not {shown}.",
            hint="Send the header `Content-Type: application/json`.",
        )


class Unauthorized(BridgeError):
    """No key, or one that is not known here."""

    code = "unauthorized"

    def __init__(self, message: str = "This gateway needs an API key.", *, hint: str = "") -> None:
        super().__init__(
            message,
            hint=hint or "Create one with `lmbridge keys create NAME` and send `Authorization: Bearer KEY`.",
        )


class Forbidden(BridgeError):
    """A request from a place that may not ask: a foreign Host or Origin."""

    code = "forbidden"


class RouteNotFound(BridgeError):
    """No such path, or not with this method."""

    code = "route_not_found"


class MethodNotAllowed(BridgeError):
    """The path exists, the method does not.

    Attributes:
        allowed: the methods this path answers.
    """

    code = "method_not_allowed"

    def __init__(self, method: str, path: str, allowed: Sequence[str]) -> None:
        self.allowed = tuple(allowed)
        super().__init__(f"{path} does not answer {method}.", hint=f"Use {' or '.join(self.allowed)}.")


class ModelNotFound(BridgeError):
    """No model of that name.

    Attributes:
        name: what was asked for.
        known: the names that would have worked.
        where: a catalogue elsewhere that was searched; "" for the models here.
    """

    code = "model_not_found"

    def __init__(self, name: str, known: Sequence[str], *, where: str = "", hint: str = "") -> None:
        self.name, self.known, self.where = name, tuple(known), where
        # Whoever asks writes the name: a longer one is near to none, and finding that out would take long.
        near = get_close_matches(name, known, n=1) if len(name) <= LONGEST_NAME else []
        hint = hint or (f"Did you mean {near[0]!r}?" if near else "Run `lmbridge ls` to list them.")
        place = f"at {where}" if where else f"({len(known)} known)"
        super().__init__(f"No model named {name[:LONGEST_NAME]!r} {place}.", hint=hint, param="model")


class ModelNotLoaded(BridgeError):
    """A request for a model that is not in memory, where the settings let no request load one.

    Attributes:
        name: the model.
    """

    code = "model_not_loaded"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"{name!r} is not loaded, and requests load no models here (`jit = false` in lmbridge.toml).",
            hint=f"Load it with `lmbridge load {name}`.",
            param="model",
        )


class NoModels(BridgeError):
    """There is not a single model that could answer."""

    code = "no_models"

    def __init__(self) -> None:
        super().__init__(
            "No provider here has a model that can answer.",
            hint="Download one with `lmbridge get`, put a GGUF file into ~/.lmbridge/models, "
            "or start a server and name it in lmbridge.toml.",
        )


class WrongModelKind(BridgeError):
    """A chat was asked of an embedding model, or embeddings of a chat model.

    Attributes:
        name: the model. kind: what it is. wanted: what was asked of it.
    """

    code = "wrong_model_kind"

    def __init__(self, name: str, kind: str, wanted: str) -> None:
        self.name, self.kind, self.wanted = name, kind, wanted
        super().__init__(
            f"{name!r} is of kind {kind!r} and cannot serve {wanted}.",
            hint="`lmbridge ls` shows the kind of each model.",
            param="model",
        )


class BadModelFile(BridgeError):
    """A model file that cannot be used: truncated, foreign, or refused by the engine.

    Attributes:
        path: the file. reason: what is wrong with it, as precisely as it is known.
    """

    code = "bad_model_file"

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"Cannot use {path}: {reason}.", hint="Download the file again, or remove it.")


class NotEnoughMemory(BridgeError):
    """A load that cannot fit, refused before it is tried.

    Attributes:
        name: the model. needed, available: bytes.
    """

    code = "not_enough_memory"

    def __init__(self, name: str, needed: int, available: int) -> None:
        self.name, self.needed, self.available = name, needed, available
        super().__init__(
            f"{name!r} needs about {needed / 2**30:.1f} GiB, and {available / 2**30:.1f} GiB can be made free.",
            hint="Use a smaller context (`--context-length`), a smaller model, or unload another one.",
        )


class NoSpace(BridgeError):
    """The disk is full, or would be.

    Attributes:
        path: what was to be written. needed, available: bytes; None where they are not known.
    """

    code = "no_space"

    def __init__(self, path: str, needed: int | None = None, available: int | None = None) -> None:
        self.path, self.needed, self.available = path, needed, available
        said = f"No space left on the disk for {path}."
        if needed is not None and available is not None:
            said = f"{path} needs {needed / 1e9:.2f} GB on a disk that has {available / 1e9:.2f} GB left."
        super().__init__(said, hint="Free some space and try again.")


class ContextExceeded(BridgeError):
    """The prompt does not fit the loaded context.

    Attributes:
        prompt_tokens: what the prompt needs. context_length: what the loaded model has.
        tool_tokens: how many of the prompt's tokens describe its tools; None where nobody counted them.
    """

    code = "context_length_exceeded"

    def __init__(self, prompt_tokens: int, context_length: int, tool_tokens: int | None = None) -> None:
        self.prompt_tokens, self.context_length, self.tool_tokens = prompt_tokens, context_length, tool_tokens
        tools = f" ({tool_tokens:,} of them for its tools)" if tool_tokens else ""
        super().__init__(
            f"The prompt has {prompt_tokens:,} tokens{tools} and the loaded context has room for "
            f"{context_length:,}.",
            hint=f"Shorten it, {'send fewer tools, ' if tools else ''}"
            "or load the model with a larger `--context-length`.",
            param="messages",
        )


_NOT_STORED = "It was sent with `store: false`, has been deleted, or is older than `gateway.store_days`."


class ResponseNotFound(BridgeError):
    """No stored answer of that id.

    Attributes:
        id: what was asked for.
    """

    code = "response_not_found"

    def __init__(self, id: str) -> None:
        self.id = id
        super().__init__(f"No stored response {id[:100]!r}.", hint=_NOT_STORED)


class PreviousResponseNotFound(InvalidRequest):
    """The answer that a request goes on from is not stored, or no longer.

    Attributes:
        id: what was asked for.
    """

    code = "previous_response_not_found"

    def __init__(self, id: str, message: str = "", *, hint: str = "") -> None:
        self.id = id
        super().__init__(
            message or f"No stored response {id[:100]!r} to go on from.",
            hint=hint or _NOT_STORED,
            param="previous_response_id",
        )


class EngineMissing(BridgeError):
    """The embedded engine is not installed, or this machine lacks what it needs."""

    code = "engine_missing"

    def __init__(self, reason: str, *, hint: str = "") -> None:
        self.reason = reason
        super().__init__(
            f"The embedded engine cannot run: {reason}.",
            hint=hint or "Install it with `pip install xllamacpp`, or name a `llama-server` in lmbridge.toml.",
        )


class LoadFailed(BridgeError):
    """The engine would not load the model, for a reason that is not the file's fault.

    Attributes:
        name: the model. reason: the engine's own last words.
    """

    code = "load_failed"

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(
            f"Loading {name!r} failed: {reason}.", hint="`lmbridge status` shows the machine's state."
        )


class EngineCrashed(BridgeError):
    """The engine's process died while it was needed. The next request starts a new one.

    Attributes:
        name: the model. reason: exit status or signal, with the engine's last words.
    """

    code = "engine_crashed"

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"The engine of {name!r} ended unexpectedly: {reason}.", hint="Send the request again.")


class ProviderUnavailable(BridgeError):
    """A provider's server cannot be reached.

    Attributes:
        provider: its id. reason: what the attempt met.
    """

    code = "provider_unavailable"
    HINT = "Start its server, or correct its URL in lmbridge.toml."
    """For any provider; who knows better says more."""

    def __init__(self, provider: str, reason: str, *, hint: str = "") -> None:
        self.provider, self.reason = provider, reason
        super().__init__(f"The provider {provider!r} cannot be reached: {reason}.", hint=hint or self.HINT)


class ProviderRefused(BridgeError):
    """A provider answered with an error of its own, passed on with its words.

    Attributes:
        provider: its id. status: the HTTP status it gave, if any.
    """

    code = "provider_refused"

    def __init__(self, provider: str, status: int | None, message: str, *, param: str | None = None) -> None:
        self.provider, self.status = provider, status
        super().__init__(message, param=param)


class ProviderNeedsKey(BridgeError):
    """A provider's server wants a key, or refuses the one it was given. It is up, not down.

    Attributes:
        provider: its id. status: 401 or 403, None inside a stream.
    """

    code = "provider_needs_key"

    def __init__(self, provider: str, status: int | None, *, hint: str = "") -> None:
        self.provider, self.status = provider, status
        told = f" ({status})" if status else ""
        super().__init__(
            f"The provider {provider!r} wants an API key, or refuses the one it was given{told}.",
            hint=hint or "Put its API key into lmbridge.toml or the environment variable that its table names.",
        )


class ForeignServer(BridgeError):
    """Something else answers where a provider's server should be.

    Attributes:
        provider: its id. url: where. reason: what gave it away.
    """

    code = "foreign_server"

    def __init__(self, provider: str, url: str, reason: str, *, hint: str = "") -> None:
        self.provider, self.url, self.reason = provider, url, reason
        super().__init__(
            f"Something other than the provider {provider!r} answers at {url}: {reason}.",
            hint=hint or "Stop that program, or correct the URL in lmbridge.toml.",
        )


class WrongModel(BridgeError):
    """Another model answered than the one that was asked.

    Attributes:
        provider: its id. asked, answered: names of models.
    """

    code = "wrong_model"

    def __init__(self, provider: str, asked: str, answered: str) -> None:
        self.provider, self.asked, self.answered = provider, asked, answered
        super().__init__(
            f"The provider {provider!r} answered with {answered!r} although {asked!r} was asked.",
            hint="The model was unloaded meanwhile, or its name is wrong: `lmbridge ls` shows the names.",
        )


class ModelGone(BridgeError):
    """A loaded model was unloaded by somebody else. The next request loads it again.

    Attributes:
        name: the model. provider: id of the provider that had it.
    """

    code = "model_gone"

    def __init__(self, provider: str, name: str) -> None:
        self.provider, self.name = provider, name
        super().__init__(
            f"{name!r} was unloaded from {provider} by somebody else.", hint="Send the request again."
        )


class RuntimeMissing(BridgeError):
    """A program that was to be used is not on this machine.

    Attributes:
        name: what people call it.
    """

    code = "runtime_missing"

    def __init__(self, name: str, reason: str, *, hint: str) -> None:
        self.name = name
        super().__init__(reason, hint=hint)


class MissingExtra(BridgeError):
    """A part of lmbridge needs a package that is not installed with it by itself.

    Attributes:
        extra: the extra of lmbridge that brings it. what: the part, as people call it.
    """

    code = "missing_extra"

    def __init__(self, extra: str, what: str) -> None:
        self.extra, self.what = extra, what
        super().__init__(
            f"{what} needs a package that is not installed.",
            hint=f"Install it with `pip install 'lmbridge[{extra}]'`.",
        )


class TooDeep(BridgeError):
    """A model's tool asked lmbridge for a model, whose tool asked lmbridge for one again."""

    code = "too_deep"

    def __init__(self) -> None:
        super().__init__(
            "This was asked by a tool of a model that a tool asked itself: lmbridge will not go round and round.",
            hint="Give the model that is asked through MCP no server of lmbridge among its tools.",
        )


class CommandFailed(BridgeError):
    """A command of another program failed, printed something unintelligible, or never ended.

    Attributes:
        command: as one would type it. reason: its own words, or what was wrong.
        status: exit status; None when it did not end by itself.
    """

    code = "command_failed"

    def __init__(self, command: str, reason: str, *, status: int | None = None, hint: str = "") -> None:
        self.command, self.reason, self.status = command, reason, status
        super().__init__(f"`{command}` failed: {reason.rstrip('.')}.", hint=hint)


class DownloadFailed(BridgeError):
    """A model could not be downloaded.

    Attributes:
        name: what was asked for. reason: why not.
    """

    code = "download_failed"

    def __init__(self, name: str, reason: str, *, hint: str = "") -> None:
        self.name, self.reason = name, reason
        super().__init__(
            f"Downloading {name!r} failed: {reason.rstrip('.')}.",
            hint=hint or "Run it again: what is here already is not downloaded twice.",
        )


class JobNotFound(BridgeError):
    """No download job of that id.

    Attributes:
        id: what was asked for.
    """

    code = "job_not_found"

    def __init__(self, id: str) -> None:
        self.id = id
        super().__init__(
            f"No download job {id[:100]!r}.", hint="Jobs are forgotten when the gateway stops; download it again."
        )


class BrokenAnswer(BridgeError):
    """A provider's answer breaks its own protocol: cut off, not JSON, of a wrong shape.

    Attributes:
        provider: its id. reason: what was wrong.
    """

    code = "broken_answer"

    def __init__(self, provider: str, reason: str) -> None:
        self.provider, self.reason = provider, reason
        super().__init__(
            f"The provider {provider!r} gave a broken answer: {reason}.", hint="Send the request again."
        )


class ProviderTimeout(BridgeError):
    """A provider was silent for longer than the limit that applies.

    Attributes:
        provider: its id. phase: `connect`, `first byte` or `idle`. seconds: the limit.
    """

    code = "provider_timeout"

    def __init__(self, provider: str, phase: str, seconds: float) -> None:
        self.provider, self.phase, self.seconds = provider, phase, seconds
        super().__init__(
            f"The provider {provider!r} was silent for {seconds:g} s ({phase}).",
            hint="Raise the timeout in lmbridge.toml if the machine is merely slow.",
        )


class ModelBusy(BridgeError):
    """An explicit unload or reload of a model that is answering somebody.

    Attributes:
        name: the model. leases: how many hold it.
    """

    code = "model_busy"

    def __init__(self, name: str, leases: int) -> None:
        self.name, self.leases = name, leases
        super().__init__(
            f"{name!r} is answering {leases} request{'s' if leases != 1 else ''} right now.",
            hint="Wait for the answers to end, then try again.",
        )


class ShuttingDown(BridgeError):
    """The hub is closing and takes no more work."""

    code = "shutting_down"

    def __init__(self) -> None:
        super().__init__("lmbridge is shutting down.", hint="Start it again with `lmbridge serve`.")


class ConfigInvalid(BridgeError):
    """A setting that cannot be used: unknown name, wrong type, unreadable file.

    Attributes:
        where: file, environment variable or argument that holds it.
    """

    code = "config_invalid"

    def __init__(self, where: str, reason: str, *, hint: str = "") -> None:
        self.where, self.reason = where, reason
        super().__init__(f"{where}: {reason}.", hint=hint)


class AddressInUse(BridgeError):
    """The port is taken.

    Attributes:
        host, port: the address. holder: who holds it, if the system tells.
    """

    code = "address_in_use"

    def __init__(self, host: str, port: int, holder: str = "") -> None:
        self.host, self.port, self.holder = host, port, holder
        by = f" by {holder}" if holder else ""
        super().__init__(
            f"{host}:{port} is already in use{by}.", hint="Choose another with `--port`, or stop that program."
        )


class UnsafeBind(BridgeError):
    """A bind wider than loopback without a key: it would open the models to the network."""

    code = "unsafe_bind"

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(
            f"Refusing to listen on {host} without an API key: everyone in the network could use this machine.",
            hint="Create one with `lmbridge keys create NAME`, or listen on 127.0.0.1.",
        )


class NotRunning(BridgeError):
    """No gateway of this user runs."""

    code = "not_running"

    def __init__(self) -> None:
        super().__init__("No gateway is running.", hint="Start one with `lmbridge gateway start`.")


class AlreadyRunning(BridgeError):
    """A gateway of this user runs already; there is one for each home folder.

    Attributes:
        url: where it answers. pid: its process.
    """

    code = "already_running"

    def __init__(self, url: str, pid: int) -> None:
        self.url, self.pid = url, pid
        super().__init__(
            f"A gateway is already running at {url} (pid {pid}).", hint="Stop it with `lmbridge gateway stop`."
        )


class ToolServerUnavailable(BridgeError):
    """A server of tools (MCP) that cannot be had, or that ended.

    Attributes:
        name: what it is called here. reason: why.
    """

    code = "tool_server_unavailable"

    def __init__(self, name: str, reason: str, *, hint: str = "") -> None:
        self.name, self.reason = name, reason
        hint = hint or f"`lmbridge mcp servers tools {name}` tries it."
        super().__init__(f"The MCP server {name!r} cannot be used: {reason}.", hint=hint)


class ToolServerNotFound(BridgeError):
    """No server of tools (MCP) of that name.

    Attributes:
        name: what was asked for. known: the names that would have worked.
    """

    code = "tool_server_not_found"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        near = get_close_matches(name, known, n=1) if len(name) <= LONGEST_NAME else []
        hint = f"Did you mean {near[0]!r}?" if near else "`lmbridge mcp servers list` shows those there are."
        super().__init__(f"There is no MCP server named {name[:LONGEST_NAME]!r}.", hint=hint)


class ToolServerNotAllowed(BridgeError):
    """A server of tools (MCP), or a tool of it, that the user has not agreed to.

    Attributes:
        name: what the server is called here.
    """

    code = "tool_server_not_allowed"

    def __init__(self, name: str, message: str, *, hint: str = "") -> None:
        self.name = name
        super().__init__(message, hint=hint or f"`lmbridge mcp servers allow {name}` agrees to it.")


class Cancelled(BridgeError):
    """The user stopped it (Ctrl-C)."""

    code = "cancelled"

    def __init__(self) -> None:
        super().__init__("Cancelled.")


def all_errors() -> Iterator[type[BridgeError]]:
    """Every error class of the vocabulary, the base first."""
    waiting: list[type[BridgeError]] = [BridgeError]
    while waiting:
        error = waiting.pop(0)
        yield error
        waiting.extend(error.__subclasses__())


def error_from_code(code: str, message: str, hint: str = "", param: str | None = None) -> BridgeError | None:
    """The error another lmbridge sent, as the class it was there; its facts stay in the wording.

    Returns None for a code that is not of this vocabulary.
    """
    for error in all_errors():
        if error.code == code and error is not BridgeError:
            made = error.__new__(error)
            BridgeError.__init__(made, message, hint=hint, param=param)
            return made
    return None
