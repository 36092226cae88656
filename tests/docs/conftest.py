from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.lmstudio import install_fake


@pytest.fixture(scope="module")
def gateway_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway of its own, as `lmbridge serve` runs it."""
    home = tmp_path_factory.mktemp("gateway-home")
    command = [sys.executable, "-m", "lmbridge", "serve", "--port", "0"]
    env = {**os.environ, "LMBRIDGE_HOME": str(home)}
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield _url(process, home)
        finally:
            process.terminate()
            process.wait(30)


def _url(process: subprocess.Popen[str], home: Path) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if (found := line.find("http://127.0.0.1:")) >= 0:
            return line[found:].split()[0].rstrip("/.,")
    raise AssertionError("the gateway ended before it was ready")


@pytest.fixture
def lmstudio(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a user who has LM Studio, fake but with a real `lms`, and nothing of it running."""
    venv = str(Path(sys.executable).parent)
    with install_fake(tmp_path / "user") as fake:
        own = {"LMBRIDGE_HOME": str(tmp_path / "home"), "LMBRIDGE_DISABLED": "", "LMSTUDIO_BASE_URL": fake.url}
        yield {**fake.environ, **own, "PATH": f"{venv}{os.pathsep}{fake.environ['PATH']}"}
