"""The client lies next to the loop, and the gateway runs on uvloop where there is one: both are tried."""

from importlib.util import find_spec

import pytest

LOOPS = {"asyncio": {}, "uvloop": {"use_uvloop": True}}
if find_spec("uvloop") is None:
    del LOOPS["uvloop"]


@pytest.fixture(params=LOOPS, scope="session")
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", LOOPS[request.param]
