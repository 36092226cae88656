"""What becomes of the fields of LM Studio's own API (`/api/v1`): honoured in other words, or refused by name.

What the body structs of `asked` declare and no table here names is honoured as it is; a field in neither is
refused by its name, as LM Studio does. The reference page is made from them.
"""

from __future__ import annotations

from typing import Final

from lmbridge.wire.fields import Refused, Translated

_MODEL: Final = Translated("model", "A name as `lmbridge ls` shows it, or that of an instance, such as `key:2`.")

CHAT_TRANSLATED: Final = (
    _MODEL,
    Translated("input", "The newest turn of the user. A text may be of type `message` or `text`."),
    Translated("system_prompt", "The system message; it takes the place of the one of the conversation so far."),
    Translated("max_output_tokens", "The most tokens of the answer."),
    Translated(
        "reasoning",
        "`off` is the reasoning effort `none`, `on` the model's own; the others are efforts. Refused for a model "
        "that is known not to think, unless it is `off`.",
    ),
    Translated("context_length", "Used if this request loads the model."),
    Translated("store", "Whether one can go on from the answer; with `gateway.store_days = 0` never."),
    Translated(
        "previous_response_id", "The conversation up to that answer comes first; ids of `/v1/responses` will do."
    ),
    Translated(
        "integrations",
        "MCP servers whose tools the model may use: `mcp/NAME` with the setting `gateway.mcp`, and of these only "
        "tools that are called without asking; servers named by their URL with `gateway.ephemeral_mcp`. Other "
        "plugins are refused.",
    ),
)
LOAD_TRANSLATED: Final = (
    _MODEL,
    Translated("context_length", "At most what the model was made for; `echo_load_config` tells what it became."),
)
LOAD_REFUSED: Final = (
    Refused("eval_batch_size", "The engine chooses it by the context.", "Leave it out."),
    Refused("flash_attention", "The engine uses it wherever it can.", "Leave it out.", (True,)),
    Refused("num_experts", "The engine uses as many experts as the model was made with.", "Leave it out."),
    Refused("offload_kv_cache_to_gpu", "The cache lies where the layers are.", "Leave it out.", (True,)),
)
DOWNLOAD_TRANSLATED: Final = (
    Translated("model", "`owner/repository`, or a link to that of Hugging Face."),
    Translated("quantization", "With a link: `owner/repository@quantization`."),
)
