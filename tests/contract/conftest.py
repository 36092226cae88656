"""The LM Studio that a test of the contract asks for by its parameter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contract.lmstudio import STUDIOS, Studio


@pytest.fixture
async def studio(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Studio]:
    async with STUDIOS[request.param](tmp_path) as studio:
        yield studio
