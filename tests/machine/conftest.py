"""Model files that the tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes import gguf_files


@pytest.fixture(scope="session")
def chat_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gguf_files.chat_model(tmp_path_factory.mktemp("model") / "chat-F16.gguf")
