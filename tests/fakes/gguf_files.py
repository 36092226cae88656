"""Model files for tests: tiny, random weights, made in a few milliseconds, the same bytes for the same seed.

Random weights are enough for everything that is protocol: sampling, streaming, limits, schemas, forced tool
calls. A grammar that holds one literal string makes such a model print exactly that text. The models here say
printable ASCII only and never stop by themselves, so that an answer is as long as was asked for, and valid UTF-8.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
from msgspec import Struct


class Shape(Struct, frozen=True):
    """How large a model is. The default is for tests; the benchmark makes larger ones."""

    width: int = 64
    heads: int = 4
    kv_heads: int = 2
    layers: int = 2
    ffn: int = 128


SMALL = Shape()
WIDTH = SMALL.width
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKERS = ["<tool_call>", "</tool_call>", "<think>", "</think>"]

TEMPLATE = """\
{%- if tools %}<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content + '\\n' }}{% endif -%}
You may call functions. <tools>
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}</tools>
Answer a call as <tool_call>
{"name": NAME, "arguments": OBJECT}
</tool_call><|im_end|>
{% elif messages[0].role == 'system' %}<|im_start|>system
{{ messages[0].content }}<|im_end|>
{% endif -%}
{%- for message in messages %}
{%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% elif message.role == 'assistant' %}<|im_start|>assistant
{% if message.content %}{{ message.content }}{% endif %}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% elif message.role == 'tool' %}<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

PLAIN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# A template that opens the model's thoughts itself, so that the model begins in the middle of them.
THINKING_TEMPLATE = TEMPLATE.removesuffix("{% endif %}") + "<think>\n{% endif %}"


def byte_alphabet() -> list[str]:
    """The 256 letters that byte-level BPE (GPT-2) writes bytes as."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


VOCABULARY = [*CONTROL, *MARKERS, *byte_alphabet(), "he", "lo"]


def sayable(token: str) -> bool:
    """Whether the models may choose it: one character of printable ASCII (BPE writes it as itself) or the space.

    One, so that tests can count tokens by the characters of an answer.
    """
    return len(token) == 1 and (token.isascii() or token == "\u0120")


def _tokenizer(writer: gguf.GGUFWriter, template: str | None) -> int:
    merges = ["h e", "l o"]
    tokens = VOCABULARY
    types = [gguf.TokenType.CONTROL] * len(CONTROL) + [gguf.TokenType.USER_DEFINED] * len(MARKERS)
    types += [gguf.TokenType.NORMAL] * (len(tokens) - len(types))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([int(kind) for kind in types])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)
    if template is not None:
        writer.add_chat_template(template)
    return len(tokens)


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _llama(
    path: Path,
    *,
    seed: int,
    name: str,
    context_length: int,
    template: str | None,
    shape: Shape = SMALL,
    extra: Callable[[gguf.GGUFWriter], None] = lambda writer: None,
) -> Path:
    width, ffn = shape.width, shape.ffn
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name(name)
    writer.add_context_length(context_length)
    writer.add_embedding_length(width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // shape.heads)
    writer.add_rope_freq_base(10_000.0)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    extra(writer)
    vocabulary = _tokenizer(writer, template)
    writer.add_vocab_size(vocabulary)
    random = np.random.default_rng(seed)

    def weight(tensor: str, *size: int) -> None:
        values = random.normal(0.0, 0.4 / np.sqrt(size[-1] / 8), size).astype(np.float16)
        if tensor.endswith(("attn_output", "ffn_down")):
            values[0] = 0.0
        writer.add_tensor(f"{tensor}.weight", values)

    def norm(tensor: str) -> None:
        writer.add_tensor(f"{tensor}.weight", np.ones(width, np.float32))

    kv = width // shape.heads * shape.kv_heads
    # Dimension 0 says the same for every token and no layer writes to it: a bias for the output.
    embedding = random.normal(0.0, 1.0, (vocabulary, width)).astype(np.float16)
    embedding[:, 0] = 4.0
    writer.add_tensor("token_embd.weight", embedding)
    output = random.normal(0.0, 0.5, (vocabulary, width)).astype(np.float16)
    output[:, 0] = [0.0 if sayable(token) else -100.0 for token in VOCABULARY]
    writer.add_tensor("output.weight", output)
    norm("output_norm")
    for layer in range(shape.layers):
        for tensor in ("attn_norm", "ffn_norm"):
            norm(f"blk.{layer}.{tensor}")
        for tensor, rows, columns in [
            ("attn_q", width, width),
            ("attn_k", kv, width),
            ("attn_v", kv, width),
            ("attn_output", width, width),
            ("ffn_gate", ffn, width),
            ("ffn_up", ffn, width),
            ("ffn_down", width, ffn),
        ]:
            weight(f"blk.{layer}.{tensor}", rows, columns)
    _finish(writer)
    return path


def chat_model(
    path: Path,
    *,
    seed: int = 1,
    name: str = "Random Chat",
    context_length: int = 2048,
    template: str | None = TEMPLATE,
    shape: Shape = SMALL,
) -> Path:
    """A chat model with a byte tokenizer; its template offers tools unless told otherwise."""
    return _llama(path, seed=seed, name=name, context_length=context_length, template=template, shape=shape)


def embedding_model(path: Path, *, seed: int = 2, name: str = "Random Embed", context_length: int = 512) -> Path:
    """A model whose pooling type makes it an embedding model; vectors have `WIDTH` dimensions."""

    def pooling(writer: gguf.GGUFWriter) -> None:
        writer.add_pooling_type(gguf.PoolingType.MEAN)

    return _llama(path, seed=seed, name=name, context_length=context_length, template=None, extra=pooling)


def vision_model(folder: Path, *, seed: int = 3, name: str = "random-vision") -> tuple[Path, Path]:
    """A chat model and, beside it, the projector that lets it take pictures: `(model, mmproj)`."""
    model = chat_model(folder / f"{name}-F16.gguf", seed=seed, name="Random Vision")
    return model, _projector(folder / f"mmproj-{name}-F16.gguf", seed=seed)


def _projector(path: Path, *, seed: int) -> Path:
    """A two-layer vision transformer over 28 x 28 pictures in patches of 14, and a two-layer projection."""
    width, ffn, layers, image, patch = 64, 128, 2, 28, 14
    writer = gguf.GGUFWriter(str(path), "clip")
    writer.add_name("Random Projector")
    writer.add_type("mmproj")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_bool("clip.use_gelu", True)
    for key, value in {
        "image_size": image,
        "patch_size": patch,
        "embedding_length": width,
        "feed_forward_length": ffn,
        "projection_dim": WIDTH,
        "block_count": layers,
        "attention.head_count": 4,
    }.items():
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    random = np.random.default_rng(seed)

    def linear(tensor: str, rows: int, columns: int) -> None:
        writer.add_tensor(f"{tensor}.weight", random.normal(0, 0.1, (rows, columns)).astype(np.float16))
        writer.add_tensor(f"{tensor}.bias", np.zeros(rows, np.float32))

    def norm(tensor: str) -> None:
        writer.add_tensor(f"{tensor}.weight", np.ones(width, np.float32))
        writer.add_tensor(f"{tensor}.bias", np.zeros(width, np.float32))

    writer.add_tensor("v.class_embd", np.zeros(width, np.float32))
    patches = random.normal(0, 0.1, (width, 3, patch, patch)).astype(np.float16)
    writer.add_tensor("v.patch_embd.weight", patches)
    positions = (image // patch) ** 2 + 1
    writer.add_tensor("v.position_embd.weight", random.normal(0, 0.1, (positions, width)).astype(np.float16))
    norm("v.pre_ln")
    norm("v.post_ln")
    for layer in range(layers):
        block = f"v.blk.{layer}"
        for tensor in ("attn_q", "attn_k", "attn_v", "attn_out"):
            linear(f"{block}.{tensor}", width, width)
        norm(f"{block}.ln1")
        norm(f"{block}.ln2")
        linear(f"{block}.ffn_up", ffn, width)
        linear(f"{block}.ffn_down", width, ffn)
    linear("mm.0", WIDTH, width)
    linear("mm.2", WIDTH, WIDTH)
    _finish(writer)
    return path


def truncated(path: Path, whole: Path, *, keep: float = 0.5) -> Path:
    """The first part of *whole*, as an interrupted download leaves it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = whole.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def damaged(path: Path, whole: Path) -> Path:
    """*whole* with the count of its metadata made absurd."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = bytearray(whole.read_bytes())
    struct.pack_into("<Q", data, 16, 2**60)
    path.write_bytes(data)
    return path


def foreign(path: Path) -> Path:
    """A file of another format that only carries the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"PK\x03\x04" + bytes(4096))
    return path
