"""What becomes of the fields of Ollama's requests: ignored, honoured in other words, or refused by name.

What the body structs of `requests` declare and no table here names is honoured as it is; a field in neither is
refused by its name. Fields of `options` stand in tables of their own. The reference page is made from them.
"""

from __future__ import annotations

from typing import Final

from lmbridge.wire.fields import Ignored, Refused, Translated

_SPEED: Final = "It changes how fast an answer comes and not which; the engine decides."
_LOAD: Final = (
    "Used if this request loads the model; a loaded one stays as it is, since only its speed would change."
)
_NOT_HERE: Final = "The prompt's form is the model's own chat template."

_MODEL: Final = Translated(
    "model",
    "A name as `lmbridge ls` shows it. `name:latest` is `name`, `name:q4_k_m` is `name@q4_k_m`, or the model "
    "`name` if it is of that quantization, `hf.co/owner/repository` is `owner/repository`.",
)
_KEEP_ALIVE: Final = Translated(
    "keep_alive",
    "The seconds that the model may idle, if this request loads it; below zero for ever. `0` unloads it after the "
    "answer, unless others use it.",
)
_OPTIONS: Final = Translated("options", "See the tables of options.")
_FORMAT: Final = Translated(
    "format", "The schema of the answer; `json` is any JSON object, an empty text nothing."
)
_THINK: Final = Translated(
    "think",
    "`false` is the reasoning effort `none`; `low`, `medium` and `high` are efforts; `true` is refused for a "
    "model that is known not to think. Thoughts come apart from the answer in any case.",
)
_TRUNCATE: Final = Translated(
    "truncate",
    "`true` trims the oldest turns of a conversation that is too long. Left out, which cuts in silence at Ollama, "
    "what does not fit is refused with both numbers.",
)
_PICTURES: Final = "Each becomes a `data:` URL of the kind that its first bytes tell."

CHAT_TRANSLATED: Final = (
    _MODEL,
    Translated(
        "messages",
        "Turns. Pictures come before the text of their turn. A tool's result goes to the call with its "
        "`tool_call_id`, or to the oldest call of its `tool_name` that has none. A last turn of "
        "the assistant is continued where the engine can, elsewhere refused. No message loads the model.",
    ),
    _OPTIONS,
    _FORMAT,
    _THINK,
    _KEEP_ALIVE,
    _TRUNCATE,
)
GENERATE_TRANSLATED: Final = (
    _MODEL,
    Translated("prompt", "The user's turn. None, or an empty one without pictures, loads the model."),
    Translated("system", "The system's turn before it."),
    Translated("images", _PICTURES),
    _OPTIONS,
    _FORMAT,
    _THINK,
    _KEEP_ALIVE,
    _TRUNCATE,
)
EMBED_TRANSLATED: Final = (
    _MODEL,
    _KEEP_ALIVE,
    _OPTIONS,
    Translated("input", "One vector for each text. No text at all loads the model."),
    Translated(
        "truncate",
        "`true` shortens a text that does not fit at its end until it does. Left out, which does that in silence "
        "at Ollama, such a text is refused with both numbers.",
    ),
)
EMBEDDINGS_TRANSLATED: Final = (
    _MODEL,
    _KEEP_ALIVE,
    _OPTIONS,
    Translated("prompt", "The one text. None, or an empty one, loads the model."),
)
SHOW_TRANSLATED: Final = (_MODEL, Translated("name", "The older name of `model`."))
PULL_TRANSLATED: Final = (
    Translated(
        "model",
        "A name of the catalogues that models are downloaded from here (`lmbridge get`): `owner/repository`, with "
        "a quantization after `:` or `@`, also with `hf.co/` before it. Ollama's own library is not one of them.",
    ),
    Translated("name", "The older name of `model`."),
)
OPTIONS_TRANSLATED: Final = (
    Translated(
        "num_ctx",
        "The context length, if this request loads the model; more than it was made for is cut to that. Where it "
        "is loaded with less, the request is refused with both numbers.",
    ),
    Translated("num_gpu", f"Layers on the GPU. {_LOAD}"),
    Translated("num_thread", f"Threads, `0` leaves the number to us. {_LOAD}"),
    Translated("num_predict", "The most tokens of the answer; `-1` and `-2` are no limit."),
    Translated("seed", "`-1` is any."),
)

OPTIONS_IGNORED: Final = (
    Ignored(
        "num_keep", "It says what stays when a context overflows, and none does here: what is too long is refused."
    ),
    Ignored("num_batch", _SPEED),
    Ignored("main_gpu", _SPEED),
    Ignored("low_vram", _SPEED),
    Ignored("numa", _SPEED),
    Ignored("use_mmap", _SPEED),
    Ignored("use_mlock", _SPEED),
    Ignored("f16_kv", "Ollama dropped it long ago; the number format of the cache is a setting of the load."),
)
EMBED_IGNORED: Final = (Ignored("options (of sampling)", "Nothing is sampled for a vector, at Ollama neither."),)
SHOW_IGNORED: Final = (Ignored("verbose", "It adds the words and tensors of the file, which are not read here."),)

_LOGPROBS: Final = Refused(
    "logprobs", "Probabilities do not pass through the translation.", "Use /v1/chat/completions.", (False,)
)
_TOP_LOGPROBS: Final = Refused(
    "top_logprobs", "Probabilities do not pass through the translation.", "Use /v1/chat/completions.", (0,)
)
_SHIFT: Final = Refused(
    "shift", "Nothing is dropped in the middle of an answer: a full context ends it (`length`).", "", (False,)
)
_RENDERING: Final = Refused("_debug_render_only", "Prompts are not shown.", "", (False,))
_DRAWING: Final = "No provider here can draw."

CHAT_REFUSED: Final = (_LOGPROBS, _TOP_LOGPROBS, _SHIFT, _RENDERING)
GENERATE_REFUSED: Final = (
    Refused("suffix", "Nothing here fills in the middle of a text.", "Say in `prompt` what is to follow.", ("",)),
    Refused("template", _NOT_HERE, "Use /v1/completions for a prompt in a form of your own.", ("",)),
    Refused("raw", _NOT_HERE, "Use /v1/completions for a prompt in a form of your own.", (False,)),
    Refused("context", "Ollama has retired it; tokens of one model are nothing to another.", "Use /api/chat."),
    Refused("width", _DRAWING, "", (0,)),
    Refused("height", _DRAWING, "", (0,)),
    Refused("steps", _DRAWING, "", (0,)),
    _LOGPROBS,
    _TOP_LOGPROBS,
    _SHIFT,
    _RENDERING,
)
SHOW_REFUSED: Final = (
    Refused("system", "Models here have no system message of their own.", "Send it with the request.", ("",)),
    Refused("template", _NOT_HERE, "", ("",)),
    Refused("options", "Models here have no options of their own.", "Send them with the request."),
)
PULL_REFUSED: Final = (
    Refused("insecure", "Models are downloaded over checked connections only.", "", (False,)),
    Refused("username", "There are no accounts of Ollama's here.", "Log in at Hugging Face instead.", ("",)),
    Refused("password", "There are no accounts of Ollama's here.", "Log in at Hugging Face instead.", ("",)),
)
OPTIONS_REFUSED: Final = (
    Refused("tfs_z", "Tail-free sampling has been removed from the engine.", "Use `min_p`.", (1, 1.0)),
    Refused("penalize_newline", "The engine treats a line end as any other token.", "", (True,)),
    Refused("vocab_only", "A model without its weights cannot answer.", "", (False,)),
    Refused("logits_all", "Probabilities do not pass through the translation.", "", (False,)),
    Refused("embedding_only", "A model is of one kind.", "`lmbridge ls` shows the kind of each.", (False,)),
)
