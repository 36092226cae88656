"""The tools of a Python file. Loading it runs it, with all that it may do: only for files that the user names."""

from __future__ import annotations

import inspect
import sys
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from lmbridge.core.errors import BridgeError, InvalidRequest
from lmbridge.tools.functions import MARK, FunctionTools
from lmbridge.tools.signature import Function


def box_of_file(path: Path) -> FunctionTools:
    """The functions of a file as a box: those marked by `tool`; where none is, the public ones with a docstring.

    Raises:
        InvalidRequest: the file cannot be run, holds no tool, or one that cannot be.
    """
    module = _run(path)
    own = [value for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
    marked = [value for value in own if hasattr(value, MARK)]
    functions = marked or [value for value in own if _is_documented(value, module)]
    if not functions:
        raise InvalidRequest(
            f"{path} holds no tools.", hint="Give its functions docstrings, or mark them with `lmbridge.tool`."
        )
    try:
        return FunctionTools(functions, name=path.stem)
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}: {error.message}", hint=error.hint) from error


def _is_documented(value: Function, module: ModuleType) -> bool:
    return inspect.isfunction(value) and value.__module__ == module.__name__ and bool(inspect.getdoc(value))


def _run(path: Path) -> ModuleType:
    where = path.resolve()
    # A name of its own, so that no file can take the place of a module that somebody else imports.
    name = f"lmbridge_tools_{sha256(str(where).encode()).hexdigest()[:12]}"
    spec = spec_from_file_location(name, where)
    if spec is None or spec.loader is None:
        raise InvalidRequest(f"{path} is no Python file.", hint="Its name has to end in .py.")
    module = module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(where.parent))  # as for any program: what lies beside it can be imported
    try:
        spec.loader.exec_module(module)
    except BridgeError as error:
        raise InvalidRequest(f"{path}: {error.message}", hint=error.hint) from error
    except (Exception, SystemExit) as error:
        raise InvalidRequest(f"{path} cannot be run: {type(error).__name__}: {error}.") from error
    finally:
        sys.path.remove(str(where.parent))
    return module
