"""`options` of a request: how words are chosen, and how the model is loaded if this request loads it."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.models import MAX_THREADS, LoadOptions
from lmbridge.core.requests import Sampling
from lmbridge.wire.fields import refuse
from lmbridge.wire.ollama.durations import keep_alive_seconds
from lmbridge.wire.ollama.fields import OPTIONS_REFUSED

_Probability: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
_Penalty: TypeAlias = Annotated[float, Meta(ge=-2, le=2)]
_NotNegative: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1)]
_MinusOneOrMore: TypeAlias = Annotated[int, Meta(ge=-1, le=2**31 - 1)]
_MinusTwoOrMore: TypeAlias = Annotated[int, Meta(ge=-2, le=2**31 - 1)]
_Context: TypeAlias = Annotated[int, Meta(ge=1, le=2**31 - 1)]
_Threads: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_THREADS)]
_Seed: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]

_EXTRA: Final = ("typical_p", "repeat_last_n", "mirostat", "mirostat_tau", "mirostat_eta")
"""What core has no word for, and llama.cpp the same as Ollama; a provider that cannot honour one refuses it."""


class Options(Struct, forbid_unknown_fields=True, kw_only=True):
    """What Ollama's model files and requests may set (https://github.com/ollama/ollama/blob/main/docs/modelfile.md)."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_k: _NotNegative | None = None
    top_p: _Probability | None = None
    min_p: _Probability | None = None
    num_predict: _MinusTwoOrMore | None = None
    seed: _Seed | None = None
    stop: str | Annotated[list[str], Meta(max_length=64)] | None = None
    repeat_penalty: float | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None
    typical_p: float | None = None
    repeat_last_n: _MinusOneOrMore | None = None
    mirostat: Annotated[int, Meta(ge=0, le=2)] | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    # used if this request loads the model
    num_ctx: _Context | None = None
    num_gpu: _MinusOneOrMore | None = None
    num_thread: _Threads | None = None
    # accepted and ignored: see fields.OPTIONS_IGNORED
    num_keep: int | None = None
    num_batch: int | None = None
    main_gpu: int | None = None
    low_vram: bool | None = None
    numa: bool | None = None
    use_mmap: bool | None = None
    use_mlock: bool | None = None
    f16_kv: bool | None = None
    # refused by name
    tfs_z: object = None
    penalize_newline: object = None
    vocab_only: object = None
    logits_all: object = None
    embedding_only: object = None

    def check(self) -> None:
        """Make sure that all of them can be had.

        Raises:
            UnsupportedParameter, InvalidRequest.
        """
        refuse(self, OPTIONS_REFUSED)
        if self.num_predict == 0:
            raise InvalidRequest(
                "`options.num_predict` must be at least 1, or -1 for no limit.", param="options.num_predict"
            )

    @property
    def sampling(self) -> Sampling:
        """How the next words are chosen."""
        limit, stop = self.num_predict, self.stop
        return Sampling(
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            min_p=self.min_p,
            max_tokens=limit if limit is not None and limit > 0 else None,
            seed=self.seed if self.seed != -1 else None,
            stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
            repeat_penalty=self.repeat_penalty,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
        )

    @property
    def extra(self) -> dict[str, object]:
        """What core has no word for."""
        return {name: value for name in _EXTRA if (value := getattr(self, name)) is not None}


def load_options(
    options: Options | None, keep_alive: float | str | None, context_length: int | None
) -> LoadOptions:
    """How the model is loaded if this request loads it.

    Args:
        context_length: the longest context the model was made for, None if nobody knows.

    Raises:
        InvalidRequest: `keep_alive` is no duration.
    """
    ttl = None
    if keep_alive is not None:
        seconds = keep_alive_seconds(keep_alive)
        # 0 unloads after the answer, which is the door's to do; in core's words it would be for ever.
        ttl = 0.0 if seconds is None else seconds or None
    options = options or Options()
    wanted = options.num_ctx
    if wanted is not None and context_length:
        wanted = min(wanted, context_length)
    return LoadOptions(
        context_length=wanted, gpu_layers=options.num_gpu, threads=options.num_thread or None, ttl=ttl
    )
