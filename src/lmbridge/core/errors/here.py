"""What is wrong with this installation and its gateway, or ends it."""

from __future__ import annotations

from lmbridge.core.errors.error import BridgeError


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
    """No gateway of this user runs, or none at an address that was named.

    Attributes:
        url: the address; "" for this user's own.
    """

    code = "not_running"

    def __init__(self, url: str = "") -> None:
        self.url = url
        other = ", or correct the address" if url else ""
        said = f"No gateway answers at {url}." if url else "No gateway is running."
        super().__init__(said, hint=f"Start one with `lmbridge gateway start`{other}.")


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


class Cancelled(BridgeError):
    """The user stopped it (Ctrl-C)."""

    code = "cancelled"

    def __init__(self) -> None:
        super().__init__("Cancelled.")
