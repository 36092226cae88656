"""Messages over the standard input and output of a server that we started.

The official package has such a transport too; this one starts the server through `machine.mcp.child`, which ends
it surely and lets no message be without end.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from lmbridge.core.errors import ToolServerUnavailable
from lmbridge.machine.mcp.child import Child
from lmbridge.tools.mcp.hearing import broken_answer

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.client._transport import TransportStreams
    from mcp.shared.message import SessionMessage

log = logging.getLogger("lmbridge.tools.mcp")


@asynccontextmanager
async def over_child(child: Child) -> AsyncIterator[TransportStreams]:
    """The streams of a session; leaving ends the server."""
    from mcp.shared.message import SessionMessage

    to_session, heard = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    said, from_session = anyio.create_memory_object_stream[SessionMessage](0)
    async with to_session, heard, said, from_session:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_hear, child, to_session)
                tasks.start_soon(_say, child, from_session, to_session)
                try:
                    yield heard, said
                finally:
                    tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await child.aclose()


async def _hear(child: Child, to_session: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
    """Pass on what the server says. What is no message is left out: many write a line of log there."""
    from mcp.shared.message import SessionMessage
    from mcp_types import jsonrpc_message_adapter

    async with to_session:
        try:
            async for line in child.lines():
                try:
                    message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError:
                    if (answer := broken_answer(line)) is None:
                        log.debug("%s wrote a line that is no message", child.name)
                        continue
                    message = answer
                await to_session.send(SessionMessage(message))
        except ToolServerUnavailable as error:
            child.fault = error.reason
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # the session is over


async def _say(
    child: Child,
    from_session: MemoryObjectReceiveStream[SessionMessage],
    to_session: MemoryObjectSendStream[SessionMessage | Exception],
) -> None:
    """Pass on what the session says; when nobody listens any more, the session learns that it is over."""
    async with from_session:
        try:
            async for item in from_session:
                text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                await child.write(text.encode() + b"\n")
        except (OSError, ValueError, RuntimeError):
            await to_session.aclose()
