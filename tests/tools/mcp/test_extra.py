"""What needs the package `mcp` says how to get it."""

import pytest

from lmbridge.core.errors import MissingExtra
from lmbridge.tools.mcp import extra


def test_it_is_looked_for_and_its_absence_told(monkeypatch: pytest.MonkeyPatch) -> None:
    extra.need_mcp()
    monkeypatch.setattr(extra, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as caught:
        extra.need_mcp()
    assert "pip install 'lmbridge[mcp]'" in caught.value.hint
