"""lmbridge makes the models on your own computer usable from everywhere.

    async with lmbridge.connect() as hub:
        print((await hub.answer(lmbridge.ChatRequest("", "Hello"))).text)

The public names load when they are first used: asyncio and msgspec alone would take more than the
time that `import lmbridge` may cost. `errors` and `sync` are modules.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmbridge import sync as sync
    from lmbridge.assembly import connect as connect
    from lmbridge.assembly import mcp_server as mcp_server
    from lmbridge.clients.lmstudio import LMStudioClient as LMStudioClient
    from lmbridge.clients.lmstudio import LMStudioSettings as LMStudioSettings
    from lmbridge.config import Config as Config
    from lmbridge.config import load_config as load_config
    from lmbridge.core import errors as errors
    from lmbridge.core.acting import ActOptions as ActOptions
    from lmbridge.core.acting import ActResult as ActResult
    from lmbridge.core.acting import ActState as ActState
    from lmbridge.core.acting import Allow as Allow
    from lmbridge.core.acting import CallAnswered as CallAnswered
    from lmbridge.core.acting import CallProgressed as CallProgressed
    from lmbridge.core.acting import CallRequested as CallRequested
    from lmbridge.core.acting import Deny as Deny
    from lmbridge.core.acting import Edit as Edit
    from lmbridge.core.acting import FirstToken as FirstToken
    from lmbridge.core.acting import Fragment as Fragment
    from lmbridge.core.acting import InvalidCall as InvalidCall
    from lmbridge.core.acting import Pause as Pause
    from lmbridge.core.acting import PromptRead as PromptRead
    from lmbridge.core.acting import RoundEnded as RoundEnded
    from lmbridge.core.acting import RoundStarted as RoundStarted
    from lmbridge.core.chat import Chat as Chat
    from lmbridge.core.errors import BridgeError as BridgeError
    from lmbridge.core.events import (
        Answer as Answer,
    )
    from lmbridge.core.events import (
        Embeddings as Embeddings,
    )
    from lmbridge.core.events import (
        Event as Event,
    )
    from lmbridge.core.events import (
        Finished as Finished,
    )
    from lmbridge.core.events import (
        PromptProgress as PromptProgress,
    )
    from lmbridge.core.events import (
        ReasoningDelta as ReasoningDelta,
    )
    from lmbridge.core.events import (
        Started as Started,
    )
    from lmbridge.core.events import (
        TextDelta as TextDelta,
    )
    from lmbridge.core.events import (
        Timings as Timings,
    )
    from lmbridge.core.events import (
        ToolCallDelta as ToolCallDelta,
    )
    from lmbridge.core.events import (
        Usage as Usage,
    )
    from lmbridge.core.handle import ProviderHandle as ProviderHandle
    from lmbridge.core.hub import AnyHub as AnyHub
    from lmbridge.core.messages import (
        ChatMessage as ChatMessage,
    )
    from lmbridge.core.messages import (
        ImagePart as ImagePart,
    )
    from lmbridge.core.messages import (
        Message as Message,
    )
    from lmbridge.core.messages import (
        MessageRole as MessageRole,
    )
    from lmbridge.core.messages import (
        TextPart as TextPart,
    )
    from lmbridge.core.messages import (
        Tool as Tool,
    )
    from lmbridge.core.messages import (
        ToolCall as ToolCall,
    )
    from lmbridge.core.model import Model as Model
    from lmbridge.core.models import (
        Download as Download,
    )
    from lmbridge.core.models import (
        InstanceState as InstanceState,
    )
    from lmbridge.core.models import (
        LoadOptions as LoadOptions,
    )
    from lmbridge.core.models import (
        ModelInfo as ModelInfo,
    )
    from lmbridge.core.requests import (
        ChatRequest as ChatRequest,
    )
    from lmbridge.core.requests import (
        EmbedRequest as EmbedRequest,
    )
    from lmbridge.core.requests import (
        NamedTool as NamedTool,
    )
    from lmbridge.core.requests import (
        Sampling as Sampling,
    )
    from lmbridge.core.requests import (
        Schema as Schema,
    )
    from lmbridge.core.tools import Toolbox as Toolbox
    from lmbridge.core.tools import ToolProgress as ToolProgress
    from lmbridge.core.tools import ToolResult as ToolResult
    from lmbridge.hub.act.telling import replay as replay
    from lmbridge.providers.lmstudio.status import LMStudioStatus as LMStudioStatus
    from lmbridge.sync.lmstudio import InferenceSettings as InferenceSettings
    from lmbridge.sync.lmstudio import LMStudioManager as LMStudioManager
    from lmbridge.tools.files import FileTools as FileTools
    from lmbridge.tools.functions import tool as tool
    from lmbridge.version import __version__ as __version__
    from lmbridge.wire.lmstudio.models import LMStudioModel as LMStudioModel
    from lmbridge.wire.lmstudio.models import LoadedInstance as LoadedInstance

_HOME = {
    "ActOptions": "core.acting",
    "ActResult": "core.acting",
    "ActState": "core.acting",
    "Allow": "core.acting",
    "Answer": "core.events",
    "AnyHub": "core.hub",
    "BridgeError": "core.errors",
    "CallAnswered": "core.acting",
    "CallProgressed": "core.acting",
    "CallRequested": "core.acting",
    "Chat": "core.chat",
    "ChatMessage": "core.messages",
    "ChatRequest": "core.requests",
    "Config": "config",
    "Deny": "core.acting",
    "Download": "core.models",
    "Edit": "core.acting",
    "EmbedRequest": "core.requests",
    "Embeddings": "core.events",
    "Event": "core.events",
    "FileTools": "tools.files",
    "Finished": "core.events",
    "FirstToken": "core.acting",
    "Fragment": "core.acting",
    "ImagePart": "core.messages",
    "InferenceSettings": "sync.lmstudio",
    "InstanceState": "core.models",
    "InvalidCall": "core.acting",
    "LMStudioClient": "clients.lmstudio",
    "LMStudioManager": "sync.lmstudio",
    "LMStudioModel": "wire.lmstudio.models",
    "LMStudioSettings": "clients.lmstudio",
    "LMStudioStatus": "providers.lmstudio.status",
    "LoadOptions": "core.models",
    "LoadedInstance": "wire.lmstudio.models",
    "Message": "core.messages",
    "MessageRole": "core.messages",
    "Model": "core.model",
    "ModelInfo": "core.models",
    "NamedTool": "core.requests",
    "Pause": "core.acting",
    "PromptProgress": "core.events",
    "PromptRead": "core.acting",
    "ProviderHandle": "core.handle",
    "ReasoningDelta": "core.events",
    "RoundEnded": "core.acting",
    "RoundStarted": "core.acting",
    "Sampling": "core.requests",
    "Schema": "core.requests",
    "Started": "core.events",
    "TextDelta": "core.events",
    "TextPart": "core.messages",
    "Timings": "core.events",
    "Tool": "core.messages",
    "ToolCall": "core.messages",
    "ToolCallDelta": "core.events",
    "ToolProgress": "core.tools",
    "ToolResult": "core.tools",
    "Toolbox": "core.tools",
    "Usage": "core.events",
    "__version__": "version",
    "connect": "assembly",
    "errors": "core.errors",
    "load_config": "config",
    "mcp_server": "assembly",
    "replay": "hub.act.telling",
    "sync": "sync",
    "tool": "tools.functions",
}

__all__ = sorted(_HOME)


if not TYPE_CHECKING:  # which would make type checkers take every misspelt name for one of ours

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module 'lmbridge' has no attribute {name!r}")
        module = import_module(f"lmbridge.{_HOME[name]}")
        value = module if name in ("errors", "sync") else getattr(module, name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
