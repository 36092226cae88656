"""A background loop that starts when it is first needed, for objects that nobody has to open."""

from __future__ import annotations

import os
import weakref
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from threading import Lock, Thread
from typing import TypeVar, TypeVarTuple, Unpack

import anyio
from anyio.from_thread import BlockingPortal

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class LazyPortal:
    """Runs coroutines in a thread of its own, from any number of threads.

    The thread starts with the first call and ends with `close`, after which the next call starts another one. It
    keeps no interpreter from ending, whether anybody closed it or not.

    Args:
        leaving: awaited in the loop before it ends.
        forked: called in the child after a fork, which has neither the thread nor its loop: to let go of what
            belongs to them. The next call there starts anew.
    """

    def __init__(self, leaving: Callable[[], Awaitable[None]], forked: Callable[[], None] = lambda: None) -> None:
        self._leaving, self._forked = leaving, forked
        self._lock = Lock()
        self._portal: BlockingPortal | None = None
        self._thread: Thread | None = None
        _PORTALS.add(self)

    def close_with(self, owner: object) -> None:
        """End the loop when *owner* is garbage, should nobody have closed it.

        Not at the end of the interpreter: the thread does not keep it, and no other may be started then.
        """
        weakref.finalize(owner, self._close_elsewhere).atexit = False

    def _close_elsewhere(self) -> None:
        # Garbage is collected in any thread, the loop's own among them, which cannot wait for its own end.
        if self._portal is not None:
            Thread(target=self.close, daemon=True, name="lmbridge-close").start()

    def call(self, function: Callable[[Unpack[Arguments]], Awaitable[T]], *arguments: *Arguments) -> T:
        """Await *function* in the loop. When the waiting is interrupted, as by Ctrl-C, it is cancelled there."""
        future = self._started().start_task_soon(function, *arguments)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    @contextmanager
    def entered(self, context: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Enter and leave an async context manager in the loop."""
        with self._started().wrap_async_context_manager(context) as entered:
            yield entered

    def _started(self) -> BlockingPortal:
        with self._lock:
            if self._portal is None:
                begun: Future[BlockingPortal] = Future()
                # anyio's own `start_blocking_portal` waits for the loop when it is collected as garbage: at the
                # end of the interpreter, when the thread is gone, for ever.
                self._thread = Thread(target=_run, args=(begun,), daemon=True, name="lmbridge")
                self._thread.start()
                self._portal = begun.result()
            return self._portal

    def close(self) -> None:
        """End the loop and its thread. Idempotent."""
        with self._lock:
            portal, self._portal = self._portal, None
            thread, self._thread = self._thread, None
        if portal is None or thread is None:
            return
        failed = True
        try:
            portal.call(self._leaving)
            failed = False
        finally:
            with suppress(RuntimeError):  # it ended by itself
                portal.call(portal.stop, failed)
            thread.join()

    def begin_anew(self) -> None:
        """Forget the thread: this process is the child of the one that has it."""
        self._lock = Lock()  # somebody may have held it
        self._portal = self._thread = None
        self._forked()


def _run(begun: Future[BlockingPortal]) -> None:
    """What the thread does."""

    async def stay() -> None:
        async with BlockingPortal() as portal:
            begun.set_result(portal)
            await portal.sleep_until_stopped()

    try:
        anyio.run(stay)
    except BaseException as error:  # noqa: BLE001 - it is told to whoever waits, as no one else would hear of it
        if not begun.done():
            begun.set_exception(error)


def _after_fork() -> None:
    for portal in list(_PORTALS):
        portal.begin_anew()


_PORTALS: weakref.WeakSet[LazyPortal] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
