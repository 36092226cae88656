"""The state LM Studio is in, in words for people and machines, with the one command that mends it. No I/O."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

from lmbridge.clients.lmstudio import Identity
from lmbridge.core.errors import BridgeError, ForeignServer, ProviderNeedsKey, ProviderUnavailable
from lmbridge.machine.lmstudio.install import Installation
from lmbridge.providers.lmstudio.look import Look
from lmbridge.wire.lmstudio.models import LMStudioModel

State: TypeAlias = Literal["not_installed", "not_bootstrapped", "server_down", "ready", "needs_token", "foreign"]

PROVIDER: Final = "lmstudio"
DOWNLOAD: Final = "https://lmstudio.ai/download"
BOOTSTRAP: Final = "lmbridge lmstudio bootstrap"
START: Final = "lmbridge lmstudio start"
RESTART: Final = "lmbridge lmstudio stop && lmbridge lmstudio start"

_INSTALL: Final = "curl -fsSL https://lmstudio.ai/install.sh | bash"
_APP: Final = f"the app with its window is at {DOWNLOAD}."
_INSTALL_ON_WINDOWS: Final = "irm https://lmstudio.ai/install.ps1 | iex"


class LMStudioStatus(Struct, frozen=True):
    """Whether LM Studio is there and answers. Read it by attribute, or as a mapping: `dict(status)`.

    Attributes:
        state: `not_installed`; `not_bootstrapped`, installed without its command; `server_down`; `ready`;
            `needs_token`, it answers and wants a token or another one; `foreign`, another program has its address.
        installed: its app, its daemon or its command is on this computer. bootstrapped: its command can be called.
        server_running: LM Studio answers at *api_endpoint*.
        api_endpoint: where its server answers, or would; without a route.
        current_model: the loaded chat model that who names none is answered by; None when none is loaded.
        models_loaded: names of everything in its memory.
        version: of the program that runs, else of its command; "" when nothing tells.
        home: its folder.
        started_by_us: lmbridge started the server that runs.
        detail: the state in a sentence or two.
        command: the one command that mends it, "" when it is ready. hint: how else, or what to know.
    """

    state: State
    installed: bool
    bootstrapped: bool
    server_running: bool
    api_endpoint: str
    current_model: str | None = None
    models_loaded: tuple[str, ...] = ()
    lms_path: str | None = None
    app_path: str | None = None
    version: str = ""
    home: str = ""
    started_by_us: bool = False
    detail: str = ""
    command: str = ""
    hint: str = ""

    def keys(self) -> tuple[str, ...]:
        """The names of everything that is told."""
        return self.__struct_fields__

    def __getitem__(self, name: str) -> object:
        if name not in self.__struct_fields__:
            raise KeyError(name)
        return getattr(self, name)

    @property
    def advice(self) -> str:
        """What mends it, as a sentence or two; "" when it is ready."""
        return " ".join(filter(None, (f"Run `{self.command}`." if self.command else "", self.hint)))


def judge(
    look: Look,
    listed: Sequence[LMStudioModel] | BridgeError | None = None,
    *,
    default_model: str = "",
    token: bool = False,
    named: bool = False,
    holder: str = "",
    holder_is_lmstudio: bool = False,
    started_by_us: bool = False,
    version: str = "",
) -> LMStudioStatus:
    """The state that the facts add up to.

    Args:
        listed: its models, or why they cannot be had; None when nobody asked.
        default_model: name in the settings for callers who name none. token: whether the settings have one.
        named: the address is one of the settings, and not found.
        holder: who listens at the address, as far as the system tells. holder_is_lmstudio: LM Studio itself does.
        version: of its command, for when the program itself does not tell.
    """
    found = look.installation
    state = _state(look, listed, named, holder_is_lmstudio)
    detail, command, hint = _words(state, look, listed, holder, token)
    loaded = [] if listed is None or isinstance(listed, BridgeError) else [m for m in listed if m.loaded]
    return LMStudioStatus(
        state,
        installed=found.installed,
        bootstrapped=found.bootstrapped,
        server_running=look.answers,
        api_endpoint=look.url,
        current_model=_current(loaded, default_model),
        models_loaded=tuple(instance.id for model in loaded for instance in model.loaded),
        lms_path=str(found.lms) if found.lms else None,
        app_path=str(found.app or found.llmster) if found.app or found.llmster else None,
        version=look.version or version,
        home=str(found.home),
        started_by_us=started_by_us and look.answers,
        detail=" ".join([detail, *_besides(look, state)]),
        command=command,
        hint=hint,
    )


def error_of(look: Look, status: LMStudioStatus) -> BridgeError:
    """The error that a state is for who needs LM Studio and does not get an answer from it."""
    if look.identity.kind == "foreign" and status.state == "foreign":
        return ForeignServer(PROVIDER, look.url, look.identity.reason, hint=status.advice)
    return ProviderUnavailable(PROVIDER, status.detail.rstrip("."), hint=status.advice)


def _state(
    look: Look, listed: Sequence[LMStudioModel] | BridgeError | None, named: bool, holder_is_lmstudio: bool
) -> State:
    if look.answers:
        if isinstance(listed, ProviderNeedsKey):
            return "needs_token"
        return "server_down" if isinstance(listed, BridgeError) else "ready"
    foreign = _is_foreign(look.identity) and not holder_is_lmstudio
    if foreign and (named or look.installation.bootstrapped):
        return "foreign"
    if not look.installation.installed and look.local:
        return "not_installed"
    if not look.installation.bootstrapped and look.local:
        return "not_bootstrapped"
    return "server_down"


def _is_foreign(identity: Identity) -> bool:
    """Whether another program has the address. One that never answers has it just as well."""
    return identity.kind in ("foreign", "silent")


def _words(
    state: State, look: Look, listed: Sequence[LMStudioModel] | BridgeError | None, holder: str, token: bool
) -> tuple[str, str, str]:
    """The state in a sentence, the command that mends it, and what else is to be known."""
    match state:
        case "ready":
            return f"LM Studio answers at {look.url}.", "", ""
        case "needs_token":
            return _needs_token(look, token)
        case "not_installed":
            said = (
                "LM Studio is not installed: neither its app nor its daemon nor its command is on this computer."
            )
            return (
                said,
                _install_command(),
                f"That installs its daemon, which needs no screen; {_APP}",
            )
        case "not_bootstrapped":
            program = look.installation.program
            said = f"LM Studio is installed ({program}), and its command `lms` is not in its place yet."
            return said, BOOTSTRAP, "That starts LM Studio once; you may start it by yourself as well."
        case "foreign":
            return _foreign(look, holder)
        case "server_down":
            return _down(look, listed)


def _needs_token(look: Look, token: bool) -> tuple[str, str, str]:
    setting = "$env:LM_API_TOKEN = 'TOKEN'" if sys.platform == "win32" else "export LM_API_TOKEN=TOKEN"
    hint = "LM Studio makes tokens in Developer > Server Settings > Manage Tokens; TOKEN stands for one of them."
    wants = "refuses the API token it was given" if token else "wants an API token"
    return f"LM Studio answers at {look.url} and {wants}.", setting, hint


def _foreign(look: Look, holder: str) -> tuple[str, str, str]:
    said = f"Not LM Studio but {holder or 'another program'} has the address {look.url}: {look.identity.reason}."
    if not look.local:
        return said, "lmbridge doctor", "Correct `url` of [lmstudio] in lmbridge.toml."
    port = other_port(look)
    return said, f"{START} --port {port}", f"Or stop that program, then `{START}`."


def _down(look: Look, listed: Sequence[LMStudioModel] | BridgeError | None) -> tuple[str, str, str]:
    if isinstance(listed, BridgeError):
        said = f"LM Studio answers its greeting at {look.url} and nothing else: {listed.message}"
        return said, RESTART, "It may need a moment more, or a restart."
    if look.identity.kind == "silent":
        said = f"LM Studio holds {look.url} and does not answer: {look.identity.reason}."
        return said, RESTART, "If that does not help, quit LM Studio itself."
    # One address in a sentence is enough.
    where = "" if urlsplit(look.url).netloc in look.identity.reason else f" at {look.url}"
    said = f"LM Studio's server does not run{where}: {look.identity.reason}."
    if not look.local:
        return (
            said,
            "lms server start --bind 0.0.0.0",
            "To be typed on that computer, or correct `url` of [lmstudio].",
        )
    hint = ""
    if look.installation.windows:
        hint = (
            "LM Studio is on the Windows side. From WSL it is reached in the networking mode `mirrored`, or when "
            "it listens beyond its own computer: `lms.exe server start --bind 0.0.0.0`."
        )
    return said, START, hint


def _besides(look: Look, state: State) -> Iterator[str]:
    """What else was seen and might matter."""
    for url, who in look.others.items():
        if who.kind == "lmstudio":
            yield f"Another LM Studio answers at {url}."
        elif state != "not_installed":
            yield f"Something else answers at {url}."
    if state != "ready":
        yield from look.installation.problems


def _current(loaded: Sequence[LMStudioModel], default: str) -> str | None:
    chat = [model for model in loaded if model.kind == "chat"]
    chosen = next((model for model in chat if default and default.casefold() in model.names), None)
    model = chosen or next(iter(chat), None)
    return model.key if model else None


def other_port(look: Look) -> int:
    """A port that LM Studio could be started on instead of its own."""
    taken = {urlsplit(url).port for url in (look.url, *look.others)}
    return next(port for port in range(1236, 1246) if port not in taken)


def _install_command() -> str:
    return _INSTALL_ON_WINDOWS if sys.platform == "win32" else _INSTALL


def no_command(found: Installation) -> tuple[str, str]:
    """Why its command cannot be called, and what to do about it."""
    if not found.installed:
        return (
            "LM Studio is not installed on this computer.",
            f"`{_install_command()}` installs its daemon; {_APP}",
        )
    return "LM Studio's command `lms` is not in its place yet.", f"`{BOOTSTRAP}` puts it there."
