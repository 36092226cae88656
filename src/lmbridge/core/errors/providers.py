"""What goes wrong with the places where models run, and with what they answer."""

from __future__ import annotations

from lmbridge.core.errors.error import BridgeError


class ProviderUnavailable(BridgeError):
    """A provider's server cannot be reached.

    Attributes:
        provider: its id. reason: what the attempt met.
    """

    code = "provider_unavailable"
    HINT = "Start its server, or correct its URL by `lmbridge providers set` or in lmbridge.toml."
    """For any provider; who knows better says more."""

    def __init__(self, provider: str, reason: str, *, hint: str = "") -> None:
        self.provider, self.reason = provider, reason
        super().__init__(f"The provider {provider!r} cannot be reached: {reason}.", hint=hint or self.HINT)


class ProviderRefused(BridgeError):
    """A provider answered with an error of its own, passed on with its words.

    Attributes:
        provider: its id. status: the HTTP status it gave, if any.
        retry_after: seconds after which it wants to be asked again; None where it does not say.
    """

    code = "provider_refused"
    retry_after: int | None = None

    def __init__(
        self,
        provider: str,
        status: int | None,
        message: str,
        *,
        param: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        self.provider, self.status, self.retry_after = provider, status, retry_after
        super().__init__(message, hint=_again(retry_after), param=param)


def _again(seconds: int | None) -> str:
    if seconds is None:
        return ""
    return f"Try again in {seconds} second{'s' if seconds != 1 else ''}." if seconds else "Try again."


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
            hint=hint or "Give it its key by `lmbridge providers set`, or in the variable that its table names.",
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


class RuntimeMissing(BridgeError):
    """A program that was to be used is not on this machine.

    Attributes:
        name: what people call it.
    """

    code = "runtime_missing"

    def __init__(self, name: str, reason: str, *, hint: str) -> None:
        self.name = name
        super().__init__(reason, hint=hint)


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
