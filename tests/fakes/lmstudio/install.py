"""A user's folder with a fake LM Studio in it: its home, its `lms`, its app, in whatever state a test wants.

Nothing runs in the test's process: `lms` starts the fake's server as a program of its own, which `stop` ends, and
which ends by itself when its test is gone.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

from msgspec.structs import replace
from tests.fakes.lms.faults import LMS_FAULTS
from tests.fakes.lmstudio import home
from tests.fakes.lmstudio.faults import FAULTS, Injected
from tests.fakes.lmstudio.home import Wishes
from tests.fakes.lmstudio.models import ON_DISK, FakeModel

ROOT: Final = Path(__file__).resolve().parents[3]
LMS: Final = ROOT / "tests" / "fakes" / "lms" / "__main__.py"
APP: Final = "LM-Studio-0.4.25-1-x64.AppImage"


class FakeInstall:
    """What `install_fake` made.

    Attributes:
        user_home: the user's folder, `~`. home: LM Studio's, whether there or not.
        environ: the environment of a program of that user: HOME and PATH, no more.
        port: of the REST server, as configured; None if it never was.
        app: the AppImage, lms: the command; where they are or would be.
    """

    def __init__(
        self, user_home: Path, place: Path, port: int | None, environ: dict[str, str], owner: int
    ) -> None:
        self.user_home, self.home, self.port, self.environ = user_home, place, port, environ
        self.app, self.lms = user_home / "Applications" / APP, place / "bin" / "lms"
        self.wishes = Wishes(owner)
        self._started: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where its REST server answers when it runs."""
        return f"http://127.0.0.1:{self.port or 1234}"

    @property
    def pid(self) -> int | None:
        """The process of its server; None when none runs."""
        pid = home.read(self.home / home.SDK_SERVER).get("pid")
        return pid if isinstance(pid, int) and pid != os.getpid() and alive(pid) else None

    def run(
        self, *arguments: str, stdin: int = subprocess.DEVNULL, limit_s: float = 30
    ) -> subprocess.CompletedProcess[str]:
        """Run its `lms` as a person would."""
        command = [str(self.lms), *arguments]
        pipes = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        done = subprocess.run(command, env=self.environ, timeout=limit_s, check=False, **pipes)
        texts = (done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))
        return subprocess.CompletedProcess(command, done.returncode, *texts)

    def wish(self, **changes: object) -> None:
        """Have the server and `lms` be otherwise from now on; see `Wishes`."""
        self.wishes = replace(self.wishes, **changes)
        home.write_wishes(self.home, self.wishes)

    @property
    def fault(self) -> str:
        """What is wrong with every command; "" for nothing."""
        return self.wishes.lms_faults[0].fault if self.wishes.lms_faults else ""

    @fault.setter
    def fault(self, name: str) -> None:
        self.wish(lms_faults=[])
        if name:
            self.inject(name)

    def inject(self, fault: str, command: str = "", *, times: int | None = None) -> None:
        """Let something go wrong with `lms`, from *command* on (`server start`), so many times."""
        if fault not in LMS_FAULTS:
            raise ValueError(f"no fault is called {fault!r}; see LMS_FAULTS")
        self.wish(lms_faults=[*self.wishes.lms_faults, Injected(fault, command, "", times)])

    def inject_server(self, fault: str, route: str = "", *, times: int | None = None) -> None:
        """Let something go wrong with the server that `lms` starts; `refuse` is none of its faults."""
        if fault not in FAULTS or fault == "refuse":
            raise ValueError(f"no fault of a server in its own process is called {fault!r}")
        self.wish(faults=[*self.wishes.faults, Injected(fault, route, "", times)])

    def start_app(self) -> None:
        """Start the app as a person would, and wait until it is up. The first start puts `lms` into place."""
        self._started = subprocess.Popen(
            [self.app],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.environ,
            start_new_session=True,
        )
        until(lambda: self.pid is not None)

    def stop(self) -> None:
        """End what runs. May be called again."""
        if (pid := self.pid) is not None:
            os.kill(pid, signal.SIGTERM)
            try:
                until(lambda: self._gone(pid), 5)
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                until(lambda: self._gone(pid))
        if self._started is not None:
            self._started.wait(10)

    def _gone(self, pid: int) -> bool:
        if self._started is not None:
            self._started.poll()  # or it would stay as a zombie of ours
        return not alive(pid)

    def __enter__(self) -> FakeInstall:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def install_fake(
    folder: Path,
    *,
    version: str = "0.4",
    app: bool = True,
    llmster: bool = False,
    bootstrapped: bool = True,
    on_path: bool = False,
    where: Literal["default", "legacy", "pointer"] = "default",
    configured: bool = True,
    port: int | None = None,
    token: str = "",
    jit: bool = True,
    models: Sequence[FakeModel] = ON_DISK,
    owner: int | None = None,
    home_folder: Path | None = None,
) -> FakeInstall:
    """Make a user's folder with LM Studio in it. Use it in a `with`, or call `stop`.

    Args:
        folder: becomes the user's folder; its path may hold spaces and any letters.
        app, llmster: which programs are installed. Neither, and not bootstrapped: LM Studio is not installed.
        bootstrapped: `lms` is in its place; without it the app was never started.
        on_path: `lms` is found by its name.
        where: LM Studio's home: `~/.lmstudio`, the old place, or a place that the pointer file names.
        configured: its REST server has run before, so that its port is known.
        port: of that server; None for a free one.
        owner: process that the server lives for; None for this one.
        home_folder: LM Studio's home; None for the one of *where*.
    """
    folder.mkdir(parents=True, exist_ok=True)
    user_home = folder.resolve()
    place = (
        home_folder
        or {
            "default": user_home / ".lmstudio",
            "legacy": user_home / ".cache" / "lm-studio",
            "pointer": user_home / "elsewhere" / "LM Studio home",
        }[where]
    )
    if where == "pointer":
        (user_home / ".lmstudio-home-pointer").write_text(str(place), "utf-8")
    search = [str(place / "bin")] * on_path + ["/usr/bin", "/bin"]
    environ = {"HOME": str(user_home), "PATH": os.pathsep.join(search), "LANG": "C.UTF-8"}
    number = port or (free_port() if configured else None)
    install = FakeInstall(user_home, place, number, environ, owner or os.getpid())
    if not (app or llmster or bootstrapped):
        return install
    install.wish(version=version, token=token, jit=jit)
    home.write_models(place, list(models))
    if bootstrapped:
        home.furnish(place, port=number, jit=jit)
        put_command(place)
    if app:
        _program(install, install.app, "app", home.APP_NOTE, noted=bootstrapped)
    if llmster:
        _program(install, place / "llmster" / "0.0.20-1" / "llmster", "llmster", home.LLMSTER_NOTE, noted=True)
    return install


def _program(install: FakeInstall, path: Path, kind: str, note: str, *, noted: bool) -> None:
    """Put a program into place; the app leaves its note when it is started for the first time."""
    about = ["--home", str(install.home), "--kind", kind, *(["--app", str(path)] if kind == "app" else [])]
    script(path, [sys.executable, "-m", "tests.fakes.lmstudio", *about], folder=ROOT)
    if noted:
        home.write(install.home / note, {"path": str(path), "argv": [], "cwd": str(path.parent)})


def put_command(place: Path) -> None:
    """Put `lms` into its place."""
    script(place / "bin" / "lms", [sys.executable, "-S", "-E", str(LMS)])


def first_start(place: Path, app: Path) -> None:
    """What the app does when it is started: its note, and the first time everything else that is missing."""
    if not (place / "bin" / "lms").exists():
        home.furnish(place, port=None)
        put_command(place)
    home.write(place / home.APP_NOTE, {"path": str(app), "argv": [], "cwd": str(app.parent)})


def script(path: Path, command: Sequence[str], folder: Path | None = None) -> None:
    """An executable that runs a command with whatever it is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = f"cd {shlex.quote(str(folder))}\n" if folder else ""
    path.write_text(f'#!/bin/sh\n{place}exec {shlex.join(command)} "$@"\n', "utf-8")
    path.chmod(0o755)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def alive(pid: int) -> bool:
    """Whether that process runs; one that is over and not yet waited for does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text("utf-8") if sys.platform == "linux" else ""
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state.rpartition(")")[2].split()[:1] != ["Z"]


def until(condition: Callable[[], bool], limit_s: float = 20) -> None:
    """Wait for another process.

    Raises:
        TimeoutError: it takes too long.
    """
    ends = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError
        time.sleep(0.01)
