"""Writes docs/reference/ anew from the code: commands, settings, errors, parameters.

Run it as `.venv/bin/python scripts/reference.py`; a test fails while the pages and the code differ.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from lmbridge.cli.exits import exit_code
from lmbridge.cli.main import lmbridge
from lmbridge.config import SCALARS, TABLES, Config
from lmbridge.core.errors import all_errors
from lmbridge.doors.gateway.status import STATUS
from lmbridge.registry.registry import ORDER, PROVIDERS
from lmbridge.wire.anthropic import fields as anthropic_fields
from lmbridge.wire.anthropic import requests as anthropic
from lmbridge.wire.anthropic.asking import fields as asking_fields
from lmbridge.wire.fields import Ignored, Refused, Translated
from lmbridge.wire.lmstudio.serving import asked as lmstudio
from lmbridge.wire.lmstudio.serving import fields as studio
from lmbridge.wire.ollama import fields as ollama_fields
from lmbridge.wire.ollama import options as ollama_options
from lmbridge.wire.ollama import requests as ollama
from lmbridge.wire.openai import fields as openai_fields
from lmbridge.wire.openai import requests as openai
from lmbridge.wire.openai.responding import fields as responses_fields
from lmbridge.wire.openai.responding import requests as responses

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
NOTE = "<!-- Made by scripts/reference.py from the code; do not edit. -->"


def pages() -> dict[str, str]:
    """Every page by its file name."""
    return {
        "commands.md": page("Commands", commands()),
        "settings.md": page("Settings", settings()),
        "errors.md": page("Errors", errors()),
        "parameters.md": page("Parameters", parameters()),
    }


def page(title: str, lines: Iterable[str]) -> str:
    """A page of Markdown."""
    return "\n".join([f"# {title}", "", NOTE, "", *lines]).rstrip() + "\n"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """A table of Markdown, and an empty line."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"
    yield ""


def commands() -> Iterator[str]:
    """The help of every command."""
    for command, context in walk(lmbridge, "lmbridge"):
        yield f"## {context.command_path}"
        yield ""
        yield "```text"
        yield command.get_help(context)
        yield "```"
        yield ""


def walk(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[tuple[click.Command, click.Context]]:
    """A command and all below it."""
    settings = {**command.context_settings, "terminal_width": 100, "max_content_width": 100}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    yield command, context
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            if (found := command.get_command(context, child)) is not None:
                yield from walk(found, child, context)


def settings() -> Iterator[str]:
    """Every setting, with its variable and default."""
    yield "In `~/.lmbridge/lmbridge.toml`, `$LMBRIDGE_HOME/lmbridge.toml`, or the file `$LMBRIDGE_CONFIG` names."
    yield "An argument wins over the environment, the environment over the file, the file over the default."
    yield ""
    yield from setting_rows("", Config, SCALARS)
    for name, kind in TABLES.items():
        yield f"## [{name}]"
        yield ""
        yield from setting_rows(name, kind, kind.__struct_fields__)
    points = [point for point in entry_points(group=PROVIDERS) if point.name in ORDER]
    for point in sorted(points, key=lambda p: ORDER.index(p.name)):
        manifest = point.load().manifest
        yield f"## [{manifest.id}]{f' or [{manifest.id}.NAME]' if manifest.named else ''}"
        yield ""
        yield manifest.description
        yield ""
        rows = ((f"`{s.name}`", s.type, show(s.default), s.description) for s in manifest.settings)
        yield from table(("setting", "type", "default", "meaning"), rows)


def setting_rows(prefix: str, kind: type[Struct], names: Iterable[str]) -> Iterator[str]:
    """The table of the settings of one struct, explained by its docstring."""
    meanings = attributes(kind)
    known = {f.name: f for f in msgspec.structs.fields(kind)}
    rows = (
        (
            f"`{name}`",
            f"`LMBRIDGE_{f'{prefix}_{name}'.strip('_').upper()}`",
            show(known[name].default),
            meanings.get(name, ""),
        )
        for name in names
    )
    yield from table(("setting", "variable", "default", "meaning"), rows)


def attributes(kind: type) -> dict[str, str]:
    """What the `Attributes:` section of a docstring says of each name."""
    text = (inspect.getdoc(kind) or "").partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    for part in text.replace("\n        ", " ").splitlines():
        for names, _, meaning in split_sentences(part.strip()):
            for name in names.split(", "):
                found[name] = meaning
    return found


def split_sentences(part: str) -> Iterator[tuple[str, str, str]]:
    """`a: first thing. b, c: second` as its pairs."""
    pieces: list[tuple[str, str, str]] = []
    for sentence in part.split(". "):
        names, colon, meaning = sentence.partition(": ")
        if colon and all(n.isidentifier() for n in names.split(", ")):
            pieces.append((names, colon, meaning))
        elif pieces:
            pieces[-1] = (pieces[-1][0], ":", f"{pieces[-1][2]}. {sentence}")
    yield from pieces


def show(value: object) -> str:
    """A default as a reader wants to see it."""
    return "" if value in (None, msgspec.NODEFAULT, "", ()) else f"`{value}`"


def errors() -> Iterator[str]:
    """Every code with what each door makes of it."""
    yield "Every error has a `code` that does not change with its wording, and mostly a hint what to do."
    yield ""
    rows = (
        (f"`{e.code}`", f"`{e.__name__}`", str(STATUS[e.code]), str(exit_code(e.code)), first_line(e))
        for e in all_errors()
    )
    yield from table(("code", "Python", "HTTP", "exit", "when"), rows)


def first_line(thing: object) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


class Told(Struct, frozen=True):
    """What is told of one route's fields; whatever the body declares and no table names is honoured."""

    route: str
    body: type[Struct]
    translated: tuple[Translated, ...] = ()
    refused: tuple[Refused, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    shared: bool = False


def told() -> Iterator[tuple[str, list[Told]]]:
    """Every API with its routes."""
    yield (
        "OpenAI",
        [
            *(
                Told(
                    route,
                    body,
                    openai_fields.TRANSLATED,
                    refused,
                    openai_fields.IGNORED,
                    shared=True,
                )
                for route, body, refused in (
                    ("/v1/chat/completions", openai.ChatBody, openai_fields.CHAT_REFUSED),
                    ("/v1/completions", openai.CompletionBody, openai_fields.COMPLETION_REFUSED),
                    ("/v1/embeddings", openai.EmbeddingBody, openai_fields.EMBEDDING_REFUSED),
                )
            ),
            Told(
                "/v1/responses",
                responses.ResponseBody,
                responses_fields.TRANSLATED,
                (*responses_fields.REFUSED, *responses_fields.REFUSED_INSIDE),
                responses_fields.IGNORED,
            ),
        ],
    )
    yield (
        "Anthropic",
        [
            Told(
                "/v1/messages",
                anthropic.MessagesBody,
                anthropic_fields.TRANSLATED,
                (*anthropic_fields.REFUSED, *anthropic_fields.REFUSED_INSIDE),
                anthropic_fields.IGNORED,
            )
        ],
    )
    yield (
        "LM Studio",
        [
            Told("/api/v1/chat", lmstudio.NativeChatBody, studio.CHAT_TRANSLATED),
            Told("/api/v1/models/load", lmstudio.LoadBody, studio.LOAD_TRANSLATED, studio.LOAD_REFUSED),
            Told("/api/v1/models/unload", lmstudio.UnloadBody),
            Told("/api/v1/models/download", lmstudio.DownloadBody, studio.DOWNLOAD_TRANSLATED),
        ],
    )
    f = ollama_fields
    yield (
        "Ollama",
        [
            Told("/api/chat", ollama.ChatBody, f.CHAT_TRANSLATED, f.CHAT_REFUSED),
            Told("/api/generate", ollama.GenerateBody, f.GENERATE_TRANSLATED, f.GENERATE_REFUSED),
            Told("/api/embed", ollama.EmbedBody, f.EMBED_TRANSLATED, (), f.EMBED_IGNORED),
            Told("/api/embeddings", ollama.EmbeddingsBody, f.EMBEDDINGS_TRANSLATED, (), f.EMBED_IGNORED),
            Told("/api/show", ollama.ShowBody, f.SHOW_TRANSLATED, f.SHOW_REFUSED, f.SHOW_IGNORED),
            Told("/api/pull", ollama.PullBody, f.PULL_TRANSLATED, f.PULL_REFUSED),
            Told(
                "/api/chat, `options`",
                ollama_options.Options,
                f.OPTIONS_TRANSLATED,
                f.OPTIONS_REFUSED,
                f.OPTIONS_IGNORED,
            ),
        ],
    )


def parameters() -> Iterator[str]:
    """What the gateway does with every field of a request."""
    yield "A field that is in none of these tables is refused by its name, with status 400; so is what a model's"
    yield "provider cannot do. Nothing is ignored in silence. The routes of LM Studio's API v0 take the fields of"
    yield "OpenAI's routes of the same name; those that count tokens take what makes up the prompt."
    yield ""
    for api, routes in told():
        yield f"## {api}"
        yield ""
        for route in routes:
            yield f"### POST {route.route}"
            yield ""
            yield from table(("field", "is", "how, or why"), field_rows(route))
    yield "## Servers that speak Anthropic's language"
    yield ""
    yield "What becomes of a request of any of these APIs whose model the provider `anthropic` has. Requests to"
    yield "`/v1/messages` pass as they are."
    yield ""
    yield from table(("field", "is", "how, or why"), rows_of_asking())


def rows_of_asking() -> Iterator[tuple[str, str, str]]:
    """A row for each wish that a server of Anthropic's language is told otherwise, or not at all."""
    f = asking_fields
    yield from ((f"`{t.name}`", "translated", t.how) for t in f.TRANSLATED)
    yield from (
        (f"`{name}`", "honoured", "In Python's `ChatRequest.extra`: carried as it is.") for name in f.CARRIED
    )
    yield from ((f"`{i.name}`", "ignored", i.why) for i in f.IGNORED)
    yield from ((f"`{r.name}`", "refused", refusal(r)) for r in (*f.REFUSED, *f.REFUSED_INSIDE))


def field_rows(told: Told) -> Iterator[tuple[str, str, str]]:
    """A row for each field: first those that the body declares, in its order, then those inside them."""
    declared = told.body.__struct_encode_fields__
    rows: dict[str, tuple[str, str]] = {
        **{t.name: ("translated", t.how) for t in told.translated},
        **{i.name: ("ignored", i.why) for i in told.ignored},
        **{r.name: ("refused", refusal(r)) for r in told.refused},
    }
    for name in declared:
        yield (f"`{name}`", *rows.pop(name, ("honoured", "")))
    for name, row in rows.items():
        # OpenAI's routes share their tables: of the others' fields nothing needs to be said.
        if not told.shared or name.partition(".")[0] in declared:
            yield (f"`{name}`" if " " not in name else name, *row)


def refusal(field: Refused) -> str:
    """Why a field is refused, and what helps."""
    unless = f"Unless it is {' or '.join(f'`{show_json(u)}`' for u in field.unless)}: " if field.unless else ""
    reason = field.reason if not unless else field.reason[:1].lower() + field.reason[1:]
    return " ".join(part for part in (f"{unless}{reason}", field.hint) if part)


def show_json(value: object) -> str:
    """A value as it stands in a body."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{name}: {len(text.splitlines())} lines\n")


if __name__ == "__main__":
    main()
