"""Errors that say what to do next.

Every error that leaves lmbridge is a `BridgeError`: a stable `code` that outlives its wording, the
facts as attributes, and a `hint` a person can act on. Which HTTP status, exit code or JSON-RPC code
belongs to a code is each door's own table; nothing here knows about doors.
"""

from __future__ import annotations

from collections.abc import Iterator

from lmbridge.core.errors.error import (
    LONGEST_NAME as LONGEST_NAME,
)
from lmbridge.core.errors.error import (
    BridgeError as BridgeError,
)
from lmbridge.core.errors.here import (
    AddressInUse as AddressInUse,
)
from lmbridge.core.errors.here import (
    AlreadyRunning as AlreadyRunning,
)
from lmbridge.core.errors.here import (
    Cancelled as Cancelled,
)
from lmbridge.core.errors.here import (
    ConfigInvalid as ConfigInvalid,
)
from lmbridge.core.errors.here import (
    MissingExtra as MissingExtra,
)
from lmbridge.core.errors.here import (
    NotRunning as NotRunning,
)
from lmbridge.core.errors.here import (
    ShuttingDown as ShuttingDown,
)
from lmbridge.core.errors.here import (
    UnsafeBind as UnsafeBind,
)
from lmbridge.core.errors.models import (
    BadModelFile as BadModelFile,
)
from lmbridge.core.errors.models import (
    DownloadFailed as DownloadFailed,
)
from lmbridge.core.errors.models import (
    EngineCrashed as EngineCrashed,
)
from lmbridge.core.errors.models import (
    EngineMissing as EngineMissing,
)
from lmbridge.core.errors.models import (
    LoadFailed as LoadFailed,
)
from lmbridge.core.errors.models import (
    ModelBusy as ModelBusy,
)
from lmbridge.core.errors.models import (
    ModelGone as ModelGone,
)
from lmbridge.core.errors.models import (
    ModelNotFound as ModelNotFound,
)
from lmbridge.core.errors.models import (
    ModelNotLoaded as ModelNotLoaded,
)
from lmbridge.core.errors.models import (
    NoModels as NoModels,
)
from lmbridge.core.errors.models import (
    NoSpace as NoSpace,
)
from lmbridge.core.errors.models import (
    NotEnoughMemory as NotEnoughMemory,
)
from lmbridge.core.errors.models import (
    WrongModel as WrongModel,
)
from lmbridge.core.errors.models import (
    WrongModelKind as WrongModelKind,
)
from lmbridge.core.errors.providers import (
    BrokenAnswer as BrokenAnswer,
)
from lmbridge.core.errors.providers import (
    CommandFailed as CommandFailed,
)
from lmbridge.core.errors.providers import (
    ForeignServer as ForeignServer,
)
from lmbridge.core.errors.providers import (
    ProviderNeedsKey as ProviderNeedsKey,
)
from lmbridge.core.errors.providers import (
    ProviderRefused as ProviderRefused,
)
from lmbridge.core.errors.providers import (
    ProviderTimeout as ProviderTimeout,
)
from lmbridge.core.errors.providers import (
    ProviderUnavailable as ProviderUnavailable,
)
from lmbridge.core.errors.providers import (
    RuntimeMissing as RuntimeMissing,
)
from lmbridge.core.errors.requests import (
    ContextExceeded as ContextExceeded,
)
from lmbridge.core.errors.requests import (
    Flaw as Flaw,
)
from lmbridge.core.errors.requests import (
    Forbidden as Forbidden,
)
from lmbridge.core.errors.requests import (
    InvalidRequest as InvalidRequest,
)
from lmbridge.core.errors.requests import (
    JobNotFound as JobNotFound,
)
from lmbridge.core.errors.requests import (
    MethodNotAllowed as MethodNotAllowed,
)
from lmbridge.core.errors.requests import (
    PreviousResponseNotFound as PreviousResponseNotFound,
)
from lmbridge.core.errors.requests import (
    RequestTooLarge as RequestTooLarge,
)
from lmbridge.core.errors.requests import (
    ResponseNotFound as ResponseNotFound,
)
from lmbridge.core.errors.requests import (
    RouteNotFound as RouteNotFound,
)
from lmbridge.core.errors.requests import (
    TooDeep as TooDeep,
)
from lmbridge.core.errors.requests import (
    Unauthorized as Unauthorized,
)
from lmbridge.core.errors.requests import (
    UnsupportedMediaType as UnsupportedMediaType,
)
from lmbridge.core.errors.requests import (
    UnsupportedParameter as UnsupportedParameter,
)
from lmbridge.core.errors.tools import (
    ToolServerNotAllowed as ToolServerNotAllowed,
)
from lmbridge.core.errors.tools import (
    ToolServerNotFound as ToolServerNotFound,
)
from lmbridge.core.errors.tools import (
    ToolServerUnavailable as ToolServerUnavailable,
)


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
