"""How a wish for a loaded model is fulfilled. Pure: what is there goes in, what to do comes out.

The rules:

- An instance that suffices is used as it is, whoever loaded it: LM Studio would make a second copy of the weights.
- One that does not is unloaded first where this client loaded it. Somebody else's is never unloaded unless that
  is asked for (`replace`): it may be answering them. Then the load is refused, with the command that makes room.
- What only one road can do decides the road; what none can is refused by its name.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, TypeAlias

from msgspec import Struct

from lmbridge.core.errors import BridgeError, InvalidRequest, UnsupportedParameter
from lmbridge.wire.lmstudio.models import Generation, LMStudioModel, LoadedInstance

Road: TypeAlias = Literal["native", "request", "lms"]
"""`native` is LM Studio's own load, `request` a tiny prompt for which it loads the model, `lms` its command."""


class Wish(Struct, frozen=True):
    """How a model is wanted. None and "" leave it to LM Studio.

    Attributes:
        context_length: tokens, at least. parallel: answers at the same time, at least.
        flash_attention, ttl: for a fresh load; what is loaded keeps its own.
        ttl: seconds it may stay idle. identifier: name of the instance.
        replace: also unload an instance in the way that somebody else loaded.
    """

    context_length: int | None = None
    parallel: int | None = None
    flash_attention: bool | None = None
    ttl: int | None = None
    identifier: str = ""
    replace: bool = False


def check(wish: Wish) -> None:
    """Make sure that every number is one that can be.

    Raises:
        InvalidRequest: naming the option.
    """
    for name in ("context_length", "parallel", "ttl"):
        value = getattr(wish, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31):
            raise InvalidRequest(f"`{name}` must be a positive whole number, not {value!r}.", param=name)


def reusable(model: LMStudioModel, wish: Wish) -> LoadedInstance | None:
    """The instance that fulfils *wish* as it is, the first one there is."""
    return next((instance for instance in _candidates(model, wish) if _suffices(instance, wish)), None)


def in_the_way(model: LMStudioModel, wish: Wish, ours: Collection[str]) -> list[LoadedInstance]:
    """The instances to unload before loading, when none is reusable.

    Args:
        ours: ids of instances that this client loaded.

    Raises:
        InvalidRequest: one is somebody else's.
    """
    unfit = _candidates(model, wish)
    foreign = next((instance for instance in unfit if instance.id not in ours), None)
    if foreign is not None and not wish.replace:
        raise _refused(foreign, wish)
    return unfit


def road(model: LMStudioModel, wish: Wish, generation: Generation, *, lms: bool) -> Road:
    """The road to a fresh load.

    Args:
        generation: of the server's API. lms: whether its command can be used.

    Raises:
        UnsupportedParameter: nothing here can do what is wished.
    """
    needs_command = next((name for name in ("ttl", "identifier") if getattr(wish, name)), "")
    if generation == "v1" and not needs_command:
        return "native"
    if generation != "v1":
        needs_command = needs_command or next(
            (name for name in ("context_length", "parallel") if getattr(wish, name)), ""
        )
    if wish.flash_attention is not None:
        raise UnsupportedParameter(
            "flash_attention", "Only LM Studio's own API (0.4.0 or newer) takes it, and not together with a `ttl`."
        )
    if needs_command and not lms:
        raise _no_road(needs_command, generation)
    return "lms" if needs_command else "request"


def _candidates(model: LMStudioModel, wish: Wish) -> list[LoadedInstance]:
    """With a name of its own only the instance of that name counts: further ones are what is wished."""
    return [instance for instance in model.loaded if wish.identifier in ("", instance.id)]


def _suffices(instance: LoadedInstance, wish: Wish) -> bool:
    context, parallel = instance.context_length, instance.parallel
    if wish.context_length is not None and (context is None or context < wish.context_length):
        return False
    return wish.parallel is None or parallel is None or parallel >= wish.parallel


def _refused(instance: LoadedInstance, wish: Wish) -> BridgeError:
    has = f"with a context of {instance.context_length:,} tokens" if instance.context_length else "otherwise"
    name = "context_length" if wish.context_length is not None else "parallel"
    return InvalidRequest(
        f"{instance.id!r} is in LM Studio's memory {has}, and LM Studio cannot change that while it is there.",
        hint=f"`lmbridge unload {instance.id}` unloads it; then load it again.",
        param=name,
    )


def _no_road(name: str, generation: Generation) -> BridgeError:
    old = "" if generation == "v1" else " older than 0.4.0"
    return UnsupportedParameter(
        name,
        f"LM Studio{old} takes it only through its command `lms`, which cannot be used here.",
        hint="Leave it out, or run this on the computer of LM Studio, after `lmbridge lmstudio bootstrap`.",
    )
