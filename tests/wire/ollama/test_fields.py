from __future__ import annotations

import pytest
from msgspec import Struct

from lmbridge.wire.fields import Ignored, Refused, Translated
from lmbridge.wire.ollama import fields
from lmbridge.wire.ollama.requests import ChatBody, EmbedBody, EmbeddingsBody, GenerateBody, PullBody, ShowBody

TABLES = {
    "chat": (ChatBody, (*fields.CHAT_TRANSLATED, *fields.CHAT_REFUSED)),
    "generate": (GenerateBody, (*fields.GENERATE_TRANSLATED, *fields.GENERATE_REFUSED)),
    "embed": (EmbedBody, fields.EMBED_TRANSLATED),
    "embeddings": (EmbeddingsBody, fields.EMBEDDINGS_TRANSLATED),
    "show": (ShowBody, (*fields.SHOW_TRANSLATED, *fields.SHOW_REFUSED, *fields.SHOW_IGNORED)),
    "pull": (PullBody, (*fields.PULL_TRANSLATED, *fields.PULL_REFUSED)),
}


@pytest.mark.parametrize("route", TABLES)
def test_every_field_of_a_table_is_one_of_its_body_and_stands_in_one_table(route: str) -> None:
    body, table = TABLES[route]
    assert issubclass(body, Struct)
    names = [field.name for field in table]
    assert set(names) <= set(body.__struct_fields__)
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "field", [field for _, table in TABLES.values() for field in table], ids=lambda field: field.name
)
def test_every_field_says_why_or_how(field: Ignored | Refused | Translated) -> None:
    match field:
        case Ignored(_, words) | Refused(_, words) | Translated(_, words):
            assert words.endswith(".")
