"""A background loop that starts when it is first needed."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from lmbridge.sync.portal import LazyPortal


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "lmbridge"]


class Owner:
    """Somebody with a loop."""

    def __init__(self) -> None:
        self.left: list[int] = []
        left = self.left

        async def leaving() -> None:
            left.append(threading.get_ident())

        self.portal = LazyPortal(leaving)
        self.portal.close_with(self)


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def test_no_thread_before_the_first_call_and_none_after_the_end() -> None:
    before = threads()
    owner = Owner()
    assert threads() == before
    assert owner.portal.call(double, 21) == 42
    assert len(threads()) == len(before) + 1
    owner.portal.close()
    owner.portal.close()
    assert threads() == before
    assert len(owner.left) == 1
    assert owner.portal.call(double, 1) == 2
    owner.portal.close()
    assert len(owner.left) == 2


def test_what_is_garbage_leaves_no_thread() -> None:
    before = threads()
    owner = Owner()
    owner.portal.call(double, 1)
    (thread,) = [thread for thread in threads() if thread not in before]
    left = owner.left
    del owner
    gc.collect()
    thread.join(20)
    assert not thread.is_alive()
    assert left


def test_garbage_that_never_called_starts_nothing() -> None:
    before = set(threading.enumerate())
    owner = Owner()
    del owner
    gc.collect()
    assert not set(threading.enumerate()) - before


ENDS = """
from lmbridge.sync.portal import LazyPortal
async def nothing() -> None: pass
portal = LazyPortal(nothing)
portal.call(nothing)
print("told")
"""


def test_who_forgets_to_close_it_can_still_end() -> None:
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "told\n", "")


FORKS = """
import os, sys
from lmbridge.sync.portal import LazyPortal
async def answer() -> int: return 42
async def nothing() -> None: pass
portal = LazyPortal(nothing, lambda: print("forked", flush=True))
portal.call(answer)
portal._lock.acquire()  # as another thread might have it just then
child = os.fork()
if child:
    portal._lock.release()
    portal.call(answer)
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))
print(portal.call(answer), flush=True)
portal.close()
os._exit(7)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is nothing to fork with")
def test_the_child_of_a_fork_has_a_loop_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (7, "forked\n42\n")


def test_a_loop_whose_leaving_fails_ends_all_the_same() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    before, portal = threads(), LazyPortal(fail)
    assert portal.call(double, 1) == 2
    with pytest.raises(ZeroDivisionError):
        portal.close()
    assert threads() == before


def test_several_threads_share_one_loop() -> None:
    owner, loops = Owner(), set[int]()

    async def where(number: int) -> int:
        loops.add(id(asyncio.get_running_loop()))
        return await double(number)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda n: owner.portal.call(where, n), range(50))) == list(range(0, 100, 2))
    owner.portal.close()
    assert len(loops) == 1


def test_errors_come_back_to_the_caller() -> None:
    owner = Owner()

    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        owner.portal.call(fail)
    owner.portal.close()


def test_a_context_is_entered_and_left_in_the_loop() -> None:
    owner, seen = Owner(), list[str]()

    @asynccontextmanager
    async def context() -> AsyncIterator[int]:
        seen.append("in")
        try:
            yield await double(2)
        finally:
            await double(3)
            seen.append("out")

    with owner.portal.entered(context()) as value:
        assert value == 4
    assert seen == ["in", "out"]
    owner.portal.close()


def test_an_interrupted_call_is_cancelled_in_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    owner, cancelled = Owner(), threading.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    class Interrupted:
        """A future whose waiting is interrupted, as Ctrl-C does it."""

        def __init__(self, future: object) -> None:
            self.cancel = future.cancel  # type: ignore[attr-defined]

        def result(self) -> None:
            raise KeyboardInterrupt

    started = owner.portal._started()
    start = started.start_task_soon
    monkeypatch.setattr(started, "start_task_soon", lambda *a: Interrupted(start(*a)))
    with pytest.raises(KeyboardInterrupt):
        owner.portal.call(endless)
    monkeypatch.undo()
    assert cancelled.wait(20)
    owner.portal.close()
