from __future__ import annotations

from msgspec.structs import replace
from tests.fakes.provider import ScriptedProvider, ScriptedRuntime

from lmbridge.core.provider import nearby


class Server(ScriptedProvider):
    manifest = replace(ScriptedProvider.manifest, runs="server")


def test_what_runs_here_and_a_server_that_says_so_are_nearby_and_no_other() -> None:
    near, far = ScriptedRuntime([]), ScriptedRuntime([])
    far.nearby = False
    assert nearby(ScriptedProvider([]))
    assert nearby(near)
    assert not nearby(far)
    assert not nearby(Server([]))
