"""The models a fake LM Studio has, and how each of its APIs and its `lms` describe them.

Key names and their order are those of the recorded answers: the native list (`/api/v1/models`), the older
one (`/api/v0/models`), the OpenAI one, and `lms ls --json`.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Body = dict[str, Any]


class FakeModel(Struct, frozen=True):
    """A model on the disk of the fake, or in the catalogue it downloads from.

    Attributes:
        reasoning: the settings its thinking can have (`/api/v1/chat`), none for a model that does not think.
        path: relative to the models folder, as `lms ls --json` tells it.
        size_bytes: small, so that a check of the disk's space passes everywhere.
    """

    key: str
    kind: Literal["llm", "embedding"] = "llm"
    display_name: str = ""
    publisher: str = "lmstudio-community"
    architecture: str | None = "qwen3"
    quantization: str = "Q4_K_M"
    bits: float = 4
    size_bytes: int = 45_000_000
    params: str = "4B"
    max_context_length: int = 32768
    format: str = "gguf"
    vision: bool = False
    tools: bool = True
    reasoning: tuple[str, ...] = ()
    reasoning_default: str = ""
    description: str | None = None
    variants: tuple[str, ...] = ()
    path: str = ""

    @property
    def name(self) -> str:
        return self.display_name or self.key.rpartition("/")[2]

    @property
    def file(self) -> str:
        """Where its file lies below the models folder."""
        short = self.key.rpartition("/")[2]
        return self.path or f"{self.publisher}/{short}-GGUF/{short}-{self.quantization}.gguf"

    @property
    def names(self) -> tuple[str, ...]:
        """What it can be asked by, in small letters: its key and those of its variants."""
        return (self.key.lower(), *(variant.lower() for variant in self.variants))


QWEN = FakeModel("qwen/qwen3-4b-2507", display_name="Qwen3 4B 2507", publisher="qwen", max_context_length=262144)
THINKER = FakeModel(
    "qwen/qwen3-1.7b",
    display_name="Qwen3 1.7B",
    publisher="qwen",
    params="1.7B",
    reasoning=("off", "on"),
    reasoning_default="on",
)
GEMMA = FakeModel(
    "google/gemma-3-4b",
    display_name="Gemma 3 4B",
    publisher="google",
    architecture="gemma3",
    max_context_length=131072,
    vision=True,
    tools=False,
    description="Sees pictures.",
    variants=("google/gemma-3-4b@q4_k_m", "google/gemma-3-4b@q8_0"),
)
NOMIC = FakeModel(
    "text-embedding-nomic-embed-text-v1.5",
    kind="embedding",
    display_name="Nomic Embed Text v1.5",
    publisher="nomic-ai",
    architecture="nomic-bert",
    size_bytes=8_000_000,
    params="137M",
    max_context_length=2048,
    tools=False,
)
GPT_OSS = FakeModel(
    "openai/gpt-oss-20b",
    display_name="gpt-oss 20B",
    publisher="openai",
    architecture="gpt-oss",
    quantization="MXFP4",
    params="20B",
    max_context_length=131072,
    reasoning=("low", "medium", "high"),
    reasoning_default="low",
)
LINKED = FakeModel("qwen3-0.6b", display_name="Qwen3 0.6B", params="0.6B", size_bytes=4_000_000)

ON_DISK = (QWEN, THINKER, GEMMA, NOMIC)
"""What a fake has when it is told nothing else."""

CATALOGUE = {
    "openai/gpt-oss-20b": GPT_OSS,
    "https://huggingface.co/lmstudio-community/qwen3-0.6b-gguf": LINKED,
    "lmstudio-community/qwen3-0.6b-gguf": LINKED,
    **{model.key: model for model in ON_DISK},
}
"""What it can download, by what one asks for, in small letters."""


def native_model(model: FakeModel, loaded: list[Body]) -> Body:
    """An entry of `/api/v1/models`. Embedding models have neither architecture nor capabilities."""
    body: Body = {"type": model.kind, "publisher": model.publisher, "key": model.key, "display_name": model.name}
    if model.kind == "llm":
        body["architecture"] = model.architecture
    body["quantization"] = {"name": model.quantization, "bits_per_weight": model.bits}
    body |= {"size_bytes": model.size_bytes, "params_string": model.params, "loaded_instances": loaded}
    body |= {"max_context_length": model.max_context_length, "format": model.format}
    if model.kind == "llm":
        abilities: Body = {"vision": model.vision, "trained_for_tool_use": model.tools}
        if model.reasoning:
            abilities["reasoning"] = {
                "allowed_options": list(model.reasoning),
                "default": model.reasoning_default,
            }
        body |= {"capabilities": abilities, "description": model.description}
    if model.variants:
        body |= {"variants": list(model.variants), "selected_variant": model.variants[0]}
    return body


def older_model(
    model: FakeModel, name: str, state: str, context_length: int | None, *, abilities: bool = True
) -> Body:
    """An entry of `/api/v0/models`."""
    kind = "embeddings" if model.kind == "embedding" else "vlm" if model.vision else "llm"
    body: Body = {"id": name, "object": "model", "type": kind, "publisher": model.publisher}
    body |= {"arch": model.architecture, "compatibility_type": model.format, "quantization": model.quantization}
    body |= {"state": state, "max_context_length": model.max_context_length}
    if context_length is not None:
        body["loaded_context_length"] = context_length
    if abilities and model.kind == "llm":
        body["capabilities"] = ["tool_use"] if model.tools else []
    return body


def command_model(model: FakeModel) -> Body:
    """An entry of `lms ls --json`; MLX models are `safetensors` here."""
    body: Body = {
        "type": model.kind,
        "modelKey": model.key,
        "format": "safetensors" if model.format == "mlx" else model.format,
        "displayName": model.name,
        "publisher": model.publisher,
        "path": model.file,
        "sizeBytes": model.size_bytes,
        "indexedModelIdentifier": model.file,
        "deviceIdentifier": None,
        "paramsString": model.params,
        "architecture": model.architecture,
        "quantization": {"name": model.quantization, "bits": model.bits},
    }
    if model.variants:
        body |= {"variants": list(model.variants), "selectedVariant": model.variants[0]}
    if model.kind == "llm":
        body |= {"vision": model.vision, "trainedForToolUse": model.tools}
    return {**body, "maxContextLength": model.max_context_length}
