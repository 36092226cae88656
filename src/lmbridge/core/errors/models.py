"""What goes wrong with models: finding, getting, loading and keeping them."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from lmbridge.core.errors.error import LONGEST_NAME, BridgeError


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
    """There is not a single model that could answer.

    Attributes:
        elsewhere: one that answers only who names it or its provider, such as a cloud's; "" for none.
    """

    code = "no_models"
    elsewhere: str = ""

    def __init__(self, elsewhere: str = "") -> None:
        self.elsewhere = elsewhere
        hint = "Download one with `lmbridge get`, put a GGUF file into ~/.lmbridge/models, "
        hint += "or start a server and name it in lmbridge.toml."
        if elsewhere:
            owner = elsewhere.partition(":")[0]
            hint = f"Name one that runs elsewhere, such as {elsewhere!r}, "
            hint += f"or make its provider the default: `lmbridge providers set-default {owner}`."
        super().__init__("No provider here has a model that can answer.", hint=hint)


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


class ModelBusy(BridgeError):
    """A model that is to be unloaded or loaded anew, or whose provider is to be unregistered, while it is needed.

    Attributes:
        name: the model. leases: how many hold it; 0 while it is being loaded or waited for.
    """

    code = "model_busy"

    def __init__(self, name: str, leases: int) -> None:
        self.name, self.leases = name, leases
        doing = f"answering {leases} request{'s' if leases != 1 else ''}" if leases else "being loaded"
        super().__init__(f"{name!r} is {doing} right now.", hint="Wait for that to end, then try again.")


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
