"""Between our pipe and the streams that the official package's server runs on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import CancelledError
from typing import Any, Protocol

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.server.lowlevel import Server
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

from lmbridge.doors.mcp.codes import INVALID_REQUEST
from lmbridge.doors.mcp.lines import Message, id_of, refusal


class Talk(Protocol):
    """A host that is talked with over two pipes; a `Pipe`."""

    def write(self, data: bytes) -> None:
        """Write one line."""

    def answered(self, id: object) -> bool:
        """Whether a request has its answer already."""

    def take_over(self, give: Callable[[Message | None], None]) -> list[Message | None]:
        """What the host has said; the rest is given to *give*, in another thread."""


async def serve(pipe: Talk, server: Server[Any]) -> None:
    """Answer the host until it closes our input, or is gone. Calls under way are stopped then."""
    give, take = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    put, said = anyio.create_memory_object_stream[SessionMessage](0)
    async with anyio.create_task_group() as group:

        async def write() -> None:
            try:
                await _write(pipe, said)
            except OSError:
                group.cancel_scope.cancel()

        group.start_soon(_read, pipe, give)
        group.start_soon(write)
        await server.run(take, put, server.create_initialization_options())
        group.cancel_scope.cancel()


async def messages(pipe: Talk) -> AsyncIterator[Message]:
    """What the host says that is not answered yet, until it says no more."""
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[Message | None](1)

    def give(message: Message | None) -> None:
        put = queue.put(message)
        try:
            asyncio.run_coroutine_threadsafe(put, loop).result()
        except (RuntimeError, CancelledError):
            put.close()  # the server has ended

    for message in pipe.take_over(give):
        if message is None:
            return
        yield message
    while (message := await queue.get()) is not None:
        yield message


async def _read(pipe: Talk, give: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
    async with give:
        async for message in messages(pipe):
            try:
                checked = types.jsonrpc_message_adapter.validate_python(message, by_name=False)
            except ValidationError:
                line = refusal(INVALID_REQUEST, "This is no message of JSON-RPC 2.0.", id_of(message))
                await asyncio.to_thread(pipe.write, line)
            else:
                await give.send(SessionMessage(checked))


async def _write(pipe: Talk, said: MemoryObjectReceiveStream[SessionMessage]) -> None:
    async with said:
        async for item in said:
            message = item.message
            if isinstance(message, types.JSONRPCResponse | types.JSONRPCError) and pipe.answered(message.id):
                continue
            line = message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
            await asyncio.to_thread(pipe.write, line)
