"""Write the trained chat model as a GGUF file that llama.cpp runs.

python -m models.export OUTPUT.gguf
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer

from models import tokens
from models.network import Shape
from models.places import BUILD, BUILTIN
from models.render import TEMPLATE

BLOCK = {
    "attn.q": "attn_q",
    "attn.k": "attn_k",
    "attn.v": "attn_v",
    "attn.output": "attn_output",
    "attn_norm": "attn_norm",
    "ffn_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
"""Our name of a layer's part, and llama.cpp's."""


def tensor_name(ours: str) -> str:
    """llama.cpp's name of a tensor of ours."""
    if ours == "embedding.weight":
        return "token_embd.weight"
    if ours == "norm.gain":
        return "output_norm.weight"
    _, number, rest = ours.split(".", 2)
    return f"blk.{number}.{BLOCK[rest.rpartition('.')[0]]}.weight"


def write_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    """Tokens in the order of their ids, their kinds, and the merges."""
    words = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    kinds = dict.fromkeys(tokens.CONTROL, gguf.TokenType.CONTROL)
    kinds |= dict.fromkeys(tokens.MARKERS, gguf.TokenType.USER_DEFINED)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([word for word, _ in words])
    writer.add_token_types([kinds.get(word, gguf.TokenType.NORMAL) for word, _ in words])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    ids = dict(words)
    writer.add_bos_token_id(ids["<|endoftext|>"])
    writer.add_eos_token_id(ids["<|im_end|>"])
    writer.add_pad_token_id(ids["<|endoftext|>"])
    writer.add_add_bos_token(False)


def write_shape(writer: gguf.GGUFWriter, shape: Shape) -> None:
    """The sizes of the network."""
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(shape.vocabulary)


def write_tensors(writer: gguf.GGUFWriter, weights: dict[str, torch.Tensor]) -> None:
    """Matrices in 8 bits, norms in 32."""
    for name, tensor in weights.items():
        values = tensor.float().numpy()
        if values.ndim == 1:
            writer.add_tensor(tensor_name(name), values)
        else:
            coded = gguf.quants.quantize(np.ascontiguousarray(values), gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(tensor_name(name), coded, raw_dtype=gguf.GGMLQuantizationType.Q8_0)


@dataclass(frozen=True)
class Kind:
    """What sets the two models apart in their files."""

    name: str
    checkpoint: str
    description: str
    pooling: gguf.PoolingType | None = None
    template: str = ""


KINDS = {
    "chat": Kind(
        "lmbridge-tiny",
        "chat-5.pt",
        "A very small demonstration and test model, trained from scratch on generated text. "
        "It knows lmbridge and a few simple tasks, and nothing else.",
        template=TEMPLATE.read_text(encoding="utf-8"),
    ),
    "embed": Kind(
        "lmbridge-tiny-embed",
        "embed.pt",
        "A very small embedding model for demonstrations and tests, trained from scratch on generated text.",
        pooling=gguf.PoolingType.MEAN,
    ),
}


def describe(writer: gguf.GGUFWriter, kind: Kind, parameters: int) -> None:
    """Who made what, under which licence."""
    writer.add_name(kind.name)
    writer.add_basename(kind.name)
    writer.add_author("The lmbridge authors")
    writer.add_license("apache-2.0")
    writer.add_description(kind.description)
    writer.add_languages(["en"])
    writer.add_size_label(f"{parameters / 1e6:.1f}M")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    if kind.pooling is not None:
        writer.add_pooling_type(kind.pooling)
    if kind.template:
        writer.add_chat_template(kind.template)


def export(kind: Kind, checkpoint: Path, output: Path) -> None:
    """Read *checkpoint* and write *output*."""
    saved = torch.load(checkpoint, weights_only=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(str(output), "llama")
    describe(writer, kind, sum(w.numel() for w in saved["weights"].values()))
    write_shape(writer, Shape(**saved["shape"]))
    write_tokenizer(writer, tokens.load(BUILD / "tokenizer.json"))
    write_tensors(writer, saved["weights"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("--checkpoint", type=Path, help="default: the one in the build folder")
    parser.add_argument("--output", type=Path, help="default: where the package has it")
    given = parser.parse_args()
    kind = KINDS[given.kind]
    checkpoint = given.checkpoint or BUILD / kind.checkpoint
    export(kind, checkpoint, given.output or BUILTIN / f"{kind.name}.gguf")


if __name__ == "__main__":
    main()
