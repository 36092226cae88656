"""A fake LM Studio as a program of its own: what the app and the daemon of a fake installation start.

`python -m tests.fakes.lmstudio --home FOLDER --port 0` also serves a person who wants to try something: it makes
the home if there is none, and prints its URL. It reads from the home how it shall be, and ends by itself: when it
is told, when nobody asks anything of it for a while, when its test is over, and after a limit in any case.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from tests.fakes.lmstudio import home
from tests.fakes.lmstudio.home import Wishes
from tests.fakes.lmstudio.install import first_start, install_fake
from tests.fakes.lmstudio.server import FakeLMStudio, running


class Program:
    """The program, and why it should end."""

    def __init__(self, place: Path, kind: str) -> None:
        self.home = place
        wishes = home.read_wishes(place)
        self._stamp = self._look()
        self._began = self._stirred = time.monotonic()
        self.fake = FakeLMStudio(
            place, version=wishes.version, token=wishes.token, jit=wishes.jit, models=home.read_models(place)
        )
        self.fake.kind = kind
        self.fake.stir = self.stir
        self.fake.runtime.changed = lambda: home.write_models(place, self.fake.models)
        self._wishes = wishes
        self._apply()

    def _look(self) -> tuple[int, int]:
        found = (self.home / home.FAKE).stat()
        return found.st_mtime_ns, found.st_ino

    def stir(self) -> None:
        """Somebody asks for something: look whether the test wants it otherwise now."""
        self._stirred = time.monotonic()
        if self._look() != self._stamp:
            self._stamp = self._look()
            self._wishes = home.read_wishes(self.home)
            self._apply()

    def _apply(self) -> None:
        fake, wishes = self.fake, self._wishes
        fake.token, fake.pace, fake.step_s = wishes.token, wishes.pace, wishes.download_s
        fake.runtime.jit, fake.runtime.load_s, fake.runtime.outcome = wishes.jit, wishes.load_s, wishes.outcome
        fake.faults.injected = wishes.faults

    async def run(self, port: int | None) -> None:
        """Serve until there is a reason to end. *port*: of a REST server to start at once; None for none."""
        async with running(self.fake) as control:
            config = home.read(self.home / home.HTTP_SETTINGS)
            if port is None and config.get("autoStartOnLaunch"):
                port = config.get("port", 1234)
            if port is not None:
                await self.fake.start(port)
                home.configure(self.home, port=self.fake.port)
                sys.stdout.write(f"{self.fake.url}\n")
                sys.stdout.flush()
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, control.shutdown.set)
            while not self._over():
                try:
                    async with asyncio.timeout(0.5):
                        await control.shutdown.wait()
                    return
                except TimeoutError:
                    continue

    def _over(self) -> bool:
        now = time.monotonic()
        if now - self._began > self._wishes.life_s or now - self._stirred > self._wishes.idle_s:
            return True
        if not (self.home / home.FAKE).exists():
            return True
        try:
            os.kill(self._wishes.owner, 0)
        except ProcessLookupError:
            return True
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int)
    parser.add_argument("--kind", choices=["app", "llmster"], default="app")
    parser.add_argument("--app", type=Path, help="where this program lies, for a home that does not know it yet")
    parser.add_argument("--run-as-service", action="store_true", help="without a window, as there is none anyway")
    options = parser.parse_args()
    if options.app is not None:
        first_start(options.home, options.app)
    elif not (options.home / home.FAKE).exists():  # started by a person: it is he who ends it
        install_fake(options.home.parent, home_folder=options.home, configured=False, app=False)
        home.write_wishes(options.home, Wishes(os.getpid(), idle_s=3600.0, life_s=86400.0))
    asyncio.run(Program(options.home.resolve(), options.kind).run(options.port))


if __name__ == "__main__":
    main()
