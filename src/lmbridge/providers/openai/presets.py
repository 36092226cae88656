"""What is known of some servers: where they listen, whether they want a key, which fields they lack or rename.

Pure: no I/O. A field that a server would ignore in silence is refused by name, so that nobody takes an answer for
what it is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

from lmbridge.core.errors import UnsupportedParameter

PresetName: TypeAlias = Literal["ollama", "vllm", "llama.cpp", "openai"]

PRESETS_BY_NAME: Final[tuple[PresetName, ...]] = get_args(PresetName)


class ServerPreset(Struct, frozen=True):
    """One sort of server.

    Attributes:
        url: where it listens unless told otherwise.
        key_env: the variable that usually holds its key; "" where it needs none.
        calls: our names of fields with the names they have there.
        lacks: fields it would ignore or refuse, with the values that ask for nothing.
        source: where that is written.
    """

    display_name: str
    url: str
    source: str
    key_env: str = ""
    calls: Mapping[str, str] = {}
    lacks: Mapping[str, tuple[object, ...]] = {}


PRESETS: Final[Mapping[str, ServerPreset]] = MappingProxyType(
    {
        "ollama": ServerPreset(
            "Ollama",
            "http://127.0.0.1:11434/v1",
            "https://docs.ollama.com/api/openai-compatibility",
            calls={"max_completion_tokens": "max_tokens"},
            # Not among the fields it lists as supported; its decoder drops them without a word.
            lacks={
                "n": (1,),
                "logit_bias": ({},),
                "top_k": (),
                "min_p": (),
                "repeat_penalty": (1.0,),
            },
        ),
        "vllm": ServerPreset(
            "vLLM",
            "http://127.0.0.1:8000/v1",
            "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
            calls={"repeat_penalty": "repetition_penalty"},
        ),
        "llama.cpp": ServerPreset(
            "llama.cpp server",
            "http://127.0.0.1:8080/v1",
            "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
            calls={"max_completion_tokens": "max_tokens"},
        ),
        "openai": ServerPreset(
            "OpenAI",
            "https://api.openai.com/v1",
            "https://platform.openai.com/docs/api-reference/chat/create",
            key_env="OPENAI_API_KEY",
            # Its reasoning models refuse the older name.
            calls={"max_tokens": "max_completion_tokens"},
            lacks={"top_k": (), "min_p": (), "repeat_penalty": (1.0,)},
        ),
    }
)


def fitted(name: str, body: Mapping[str, object]) -> Mapping[str, object]:
    """*body* in the words of a server; the same object if nothing has to be said otherwise.

    Args:
        name: of a preset; one that is not known, such as "", changes nothing.
        body: of a chat or a completion.

    Raises:
        UnsupportedParameter: it asks for something that this server does not do.
    """
    preset = PRESETS.get(name)
    if preset is None:
        return body
    for field, harmless in preset.lacks.items():
        if body.get(field) is not None and body[field] not in harmless:
            raise UnsupportedParameter(field, f"{preset.display_name} does not know it.")
    drop = {field for field in preset.lacks if field in body}
    # An embedding or a completion keeps `max_tokens`: only chats know the newer name.
    calls = {ours: theirs for ours, theirs in preset.calls.items() if ours in body and "messages" in body}
    if not drop and not calls:
        return body
    return {calls.get(field, field): value for field, value in body.items() if field not in drop}
