"""A background loop that starts when it is first needed, for objects that nobody has to open."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from threading import Lock, Thread
from typing import TypeVar, TypeVarTuple, Unpack

from anyio.from_thread import BlockingPortal, start_blocking_portal

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class LazyPortal:
    """Runs coroutines in a thread of its own, from any number of threads.

    The thread starts with the first call and ends with `close`, after which the next call starts another one.

    Args:
        leaving: awaited in the loop before it ends.
    """

    def __init__(self, leaving: Callable[[], Awaitable[None]]) -> None:
        self._leaving = leaving
        self._lock = Lock()
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

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
                self._portal = self._stack.enter_context(start_blocking_portal("asyncio", name="lmbridge"))
            return self._portal

    def close(self) -> None:
        """End the loop and its thread. Idempotent."""
        with self._lock:
            portal, self._portal = self._portal, None
            stack = self._stack.pop_all()
        if portal is not None:
            with stack:
                portal.call(self._leaving)
