"""What happens, one thing at a time, for those who listen to the hub's `Activity`. Names and numbers only.

Each is written with its `type`, so that a listener elsewhere can tell them apart.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct


class RequestStarted(Struct, frozen=True, kw_only=True, tag_field="type", tag="request_started"):
    """A request has its model and is being answered.

    Attributes:
        number: of the request since the start; its end has the same.
        door: the language it came in. route: what was asked for.
        caller: name of the key that was shown; "" for none.
        waited_s: seconds in the queue, a load included. ahead: callers who were before it.
    """

    number: int
    door: str
    route: str
    provider: str
    model: str
    caller: str = ""
    waited_s: float = 0.0
    ahead: int = 0


class RequestEnded(Struct, frozen=True, kw_only=True, tag_field="type", tag="request_ended"):
    """A request has ended, however it did.

    Attributes:
        first_event_s: seconds to the first byte of a streamed answer; None if it did not come to that.
        cancelled: the caller went away. error: the code of what ended it; "" for none.
    """

    number: int
    door: str
    route: str
    provider: str
    model: str
    caller: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_event_s: float | None = None
    total_s: float = 0.0
    cancelled: bool = False
    error: str = ""


class ModelLoading(Struct, frozen=True, tag_field="type", tag="model_loading"):
    """A load begins."""

    provider: str
    model: str


class ModelLoaded(Struct, frozen=True, tag_field="type", tag="model_loaded"):
    """A load has ended well."""

    provider: str
    model: str
    seconds: float


class ModelFailed(Struct, frozen=True, tag_field="type", tag="model_failed"):
    """A load has ended with the error of this code."""

    provider: str
    model: str
    error: str


class ModelUnloaded(Struct, frozen=True, tag_field="type", tag="model_unloaded"):
    """A model has left memory: `asked`, `idle`, `evicted` or `crashed`."""

    provider: str
    model: str
    reason: str


class QueueChanged(Struct, frozen=True, tag_field="type", tag="queue_changed"):
    """So many callers wait for a model now."""

    waiting: int


class ProviderRegistered(Struct, frozen=True, tag_field="type", tag="provider_registered"):
    """A provider is there from now on, beside those that the hub began with."""

    provider: str


class ProviderUnregistered(Struct, frozen=True, tag_field="type", tag="provider_unregistered"):
    """A provider has gone, with its models.

    Attributes:
        default: id of the provider that answers who names no model now; "" where the hub chooses.
    """

    provider: str
    default: str = ""


Happening: TypeAlias = (
    RequestStarted
    | RequestEnded
    | ModelLoading
    | ModelLoaded
    | ModelFailed
    | ModelUnloaded
    | QueueChanged
    | ProviderRegistered
    | ProviderUnregistered
)
