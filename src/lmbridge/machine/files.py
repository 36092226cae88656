"""Files of our own: written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lmbridge.machine.home import private_folder


def write_whole(path: Path, data: bytes) -> None:
    """Put *data* into the place of a file, readable for its owner only, as are folders made for it.

    Raises:
        OSError: it cannot be written; then it is as it was, and nothing is left beside it.
    """
    private_folder(path.parent)
    # mkstemp makes the file with mode 0600 and under a name nobody can foresee.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with naming(path), os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An `OSError` of writing names *path*: that of a full disk names nothing."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
