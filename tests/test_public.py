"""The small surface: what is public, and that both hubs offer the same."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from typing import get_args, get_type_hints

import pytest

import lmbridge
from lmbridge.clients.lmbridge import RemoteHub
from lmbridge.core.acting import ActCallbacks, Approve, OnInvalid
from lmbridge.core.hub import AnyHub
from lmbridge.core.model import Model
from lmbridge.hub.hub import Hub
from lmbridge.sync import BlockingHub
from lmbridge.sync.model import BlockingModel


def test_every_public_name_loads_and_the_list_is_sorted() -> None:
    assert lmbridge.__all__ == sorted(lmbridge.__all__)
    for name in lmbridge.__all__:
        assert getattr(lmbridge, name) is not None
    assert set(lmbridge.__all__) <= set(dir(lmbridge))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        lmbridge.nonsense  # noqa: B018


def test_type_checkers_see_the_public_names_and_no_others() -> None:
    body = ast.parse(inspect.getsource(lmbridge)).body
    seen = [each for each in body if isinstance(each, ast.If) and ast.unparse(each.test) == "TYPE_CHECKING"]
    imported = [each for part in seen for each in part.body if isinstance(each, ast.ImportFrom)]
    assert {alias.asname for each in imported for alias in each.names} == set(lmbridge.__all__)
    assert "__getattr__" not in [each.name for each in body if isinstance(each, ast.FunctionDef)]


def test_what_a_run_with_tools_calls_back_with_is_public() -> None:
    called = [*get_type_hints(ActCallbacks).values(), Approve, OnInvalid]
    taken = {get_args(each)[0][0].__name__ for each in called}
    assert taken <= set(lmbridge.__all__)


def test_importing_lmbridge_loads_nothing_heavy() -> None:
    heavy = ("asyncio", "msgspec", "rich", "prompt_toolkit", "uvicorn", "xllamacpp", "anyio", "click", "ssl")
    code = f"import sys, lmbridge; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def methods(of: type) -> dict[str, inspect.Signature]:
    """Public methods; what a blocking twin must differ in (that it blocks) left out."""
    found = inspect.getmembers(of, inspect.isfunction)
    return {n: inspect.signature(f).replace(return_annotation="") for n, f in found if not n.startswith("_")}


@pytest.mark.parametrize("hub", [Hub, RemoteHub])
def test_every_hub_has_the_methods_of_any_hub(hub: type) -> None:
    offered = methods(hub)
    for name, signature in methods(AnyHub).items():
        assert offered[name] == signature, name
    assert isinstance(inspect.getattr_static(hub, "where"), property)


def test_the_blocking_twin_has_the_same_methods() -> None:
    wanted = methods(AnyHub)
    del wanted["aclose"]  # leaving the `with` does it
    assert methods(BlockingHub) == wanted


def test_the_blocking_twin_of_a_model_has_the_same_methods() -> None:
    assert methods(BlockingModel) == methods(Model)
    assert isinstance(inspect.getattr_static(BlockingModel, "info"), property)
