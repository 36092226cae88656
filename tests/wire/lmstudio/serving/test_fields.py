from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec import Struct

from lmbridge.wire.fields import Refused, Translated
from lmbridge.wire.lmstudio.serving.asked import DownloadBody, LoadBody, NativeChatBody
from lmbridge.wire.lmstudio.serving.fields import (
    CHAT_TRANSLATED,
    DOWNLOAD_TRANSLATED,
    LOAD_REFUSED,
    LOAD_TRANSLATED,
)


@pytest.mark.parametrize(
    ("body", "table"),
    [
        (NativeChatBody, CHAT_TRANSLATED),
        (LoadBody, (*LOAD_TRANSLATED, *LOAD_REFUSED)),
        (DownloadBody, DOWNLOAD_TRANSLATED),
    ],
)
def test_every_field_of_a_table_is_one_of_the_body_and_told_once(
    body: type[Struct], table: Sequence[Refused | Translated]
) -> None:
    names = [field.name for field in table]
    assert len(set(names)) == len(names)
    assert set(names) <= set(body.__struct_fields__)
