"""The MCP server: the official package's, with our tools, resources, prompts. Importing this imports it, late.

A call runs in a task of its own: the package cancels with anyio's scopes, which would strike again at every await
of the hub's cleaning up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import anyio
import mcp_types as types
import msgspec
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from lmbridge.core.depth import META, deeper
from lmbridge.core.errors import BridgeError
from lmbridge.doors.mcp import shelf
from lmbridge.doors.mcp.catalogue import BY_NAME, offered
from lmbridge.doors.mcp.codes import INVALID_PARAMS, code_of, details_of
from lmbridge.doors.mcp.lending import ASKED, Lender, Wanted
from lmbridge.doors.mcp.offer import Offer
from lmbridge.doors.mcp.prompts import INPUT, INPUT_IS, Prompts
from lmbridge.doors.mcp.shapes import Chatted, Completed, Result
from lmbridge.doors.mcp.telling import telling
from lmbridge.doors.mcp.tools import Borrow, Caller, Tools

T = TypeVar("T")
Context: TypeAlias = ServerRequestContext[Any, Any]
CheckManage: TypeAlias = Callable[[object], None]
"""Given the HTTP request that a call came with, or None, raises what keeps its sender from changing which models
are in memory."""

ERROR: Final = "lmbridge/error"
"""Under which `_meta` of a failed call has the code of its error, and what to do."""


def everybody(request: object) -> None:
    """Whoever reaches the server may do what it offers: the program that started it."""


class _Handlers:
    def __init__(self, borrow: Borrow, offer: Offer, check_manage: CheckManage) -> None:
        self._borrow, self._check_manage = borrow, check_manage
        self._tools = Tools(borrow, manage=offer.manage)
        self._listed = [types.Tool.model_validate(tool) for tool in offered(manage=offer.manage)]

    async def list_tools(
        self, context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        _check_first_page(params)
        return types.ListToolsResult(tools=self._listed)

    async def call_tool(
        self, context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        if params.name not in BY_NAME:
            raise MCPError(INVALID_PARAMS, f"There is no tool {params.name[:200]!r} here.")
        meta = context.meta or {}
        try:
            with deeper(meta.get(META)):
                return _succeeded(await apart(self._call(context, params)))
        except Wanted as wanted:
            return types.InputRequiredResult(input_requests={ASKED: wanted.request})
        except BridgeError as error:
            return _failed(error)

    async def _call(self, context: Context, params: types.CallToolRequestParams) -> Result:
        send = partial(_send, context) if "progress_token" in (context.meta or {}) else None
        async with telling(send) as told:
            lender = Lender(context, params.input_responses)
            caller = Caller(told, lender, partial(self._check_manage, context.request))
            return await self._tools.call(params.name, params.arguments or {}, caller)

    async def list_resources(
        self, context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        _check_first_page(params)
        found = await apart(self._documents())
        return types.ListResourcesResult(
            resources=[
                types.Resource(
                    uri=one.uri,
                    name=one.name,
                    title=one.title,
                    description=one.description,
                    mime_type=shelf.MEDIA,
                )
                for one in found
            ]
        )

    async def _documents(self) -> list[shelf.Document]:
        with _as_rpc():
            async with self._borrow() as hub:
                return await shelf.documents(hub)

    async def list_templates(
        self, context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        _check_first_page(params)
        template = types.ResourceTemplate(
            uri_template=shelf.TEMPLATE,
            name="model",
            title="A model",
            description="What is known of a model of `list_models`.",
            mime_type=shelf.MEDIA,
        )
        return types.ListResourceTemplatesResult(resource_templates=[template])

    async def read_resource(
        self, context: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        text = await apart(self._read(params.uri))
        contents = types.TextResourceContents(uri=params.uri, mime_type=shelf.MEDIA, text=text)
        return types.ReadResourceResult(contents=[contents])

    async def _read(self, uri: str) -> str:
        with _as_rpc():
            async with self._borrow() as hub:
                return await shelf.read(hub, uri)


class _Prompting:
    def __init__(self, prompts: Prompts) -> None:
        self._prompts = prompts

    async def list_prompts(
        self, context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        _check_first_page(params)
        with _as_rpc():
            found = await asyncio.to_thread(self._prompts.all)
        argument = types.PromptArgument(name=INPUT, description=INPUT_IS, required=False)
        return types.ListPromptsResult(
            prompts=[
                types.Prompt(name=one.name, description=one.description, arguments=[argument]) for one in found
            ]
        )

    async def get_prompt(self, context: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        with _as_rpc():
            prompt = await asyncio.to_thread(self._prompts.get, params.name)
            text = prompt.filled(params.arguments or {})
        message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))
        return types.GetPromptResult(description=prompt.description, messages=[message])


def make_server(borrow: Borrow, offer: Offer, check_manage: CheckManage = everybody) -> Server[Any]:
    """The server of one door; it may have many connections.

    Args:
        borrow: gives the hub to ask, for each call anew.
    """
    handlers = _Handlers(borrow, offer, check_manage)
    prompting = _Prompting(offer.prompts) if offer.prompts is not None else None
    return Server(
        offer.name,
        version=offer.version,
        title=offer.title,
        instructions=offer.instructions,
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
        on_list_resources=handlers.list_resources,
        on_list_resource_templates=handlers.list_templates,
        on_read_resource=handlers.read_resource,
        on_list_prompts=prompting.list_prompts if prompting else None,
        on_get_prompt=prompting.get_prompt if prompting else None,
    )


async def apart(work: Coroutine[Any, Any, T]) -> T:
    """Do *work* in a task of its own, which is cancelled once and waited for."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # nobody else will look at it
        raise


def _check_first_page(params: types.PaginatedRequestParams | None) -> None:
    """Lists are one page here, so no cursor is one of ours."""
    if params is not None and params.cursor is not None:
        raise MCPError(INVALID_PARAMS, "This cursor is not known: the list has one page.")


async def _send(context: Context, number: float, message: str) -> None:
    await context.session.report_progress(number, None, message)


def _succeeded(result: Result) -> types.CallToolResult:
    data = msgspec.json.encode(result)
    # A model reads the answer itself; what is no text it reads as JSON.
    text = result.text if isinstance(result, (Chatted, Completed)) else data.decode()
    content = types.TextContent(type="text", text=text)
    return types.CallToolResult(content=[content], structured_content=msgspec.json.decode(data))


def _failed(error: BridgeError) -> types.CallToolResult:
    content = types.TextContent(type="text", text=str(error))
    return types.CallToolResult(content=[content], is_error=True, _meta={ERROR: details_of(error)})


@contextmanager
def _as_rpc() -> Iterator[None]:
    """An error of ours is one of JSON-RPC where no result can tell of it."""
    try:
        yield
    except BridgeError as error:
        raise MCPError(code_of(error), str(error), details_of(error)) from error
