from __future__ import annotations

import pytest
from tests.fakes.provider import ScriptedProvider

from lmbridge.core.models import ModelInfo
from lmbridge.hub.hub import Hub


async def _fail_with_a_lease(hub: Hub) -> None:
    async with hub.lease("talker") as lease:
        assert (lease.name, (await hub.instances())[0].leases) == ("talker", 1)
        raise ZeroDivisionError


async def test_a_lease_ends_with_its_with_whatever_happens_inside() -> None:
    async with Hub([ScriptedProvider([ModelInfo("talker", "scripted")])]) as hub:
        with pytest.raises(ZeroDivisionError):
            await _fail_with_a_lease(hub)
        assert (await hub.instances())[0].leases == 0
