"""The conversation in a terminal: read a line, answer it, until the user leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

from lmbridge.cli import render
from lmbridge.cli.chat.figures import Stopwatch, figures, speed
from lmbridge.cli.chat.keyboard import Keyboard, SlashCompleter, silent_keys, stoppable
from lmbridge.cli.chat.screens import screen, show
from lmbridge.cli.chat.tooling import Equipment
from lmbridge.cli.connect import THIS_PROCESS
from lmbridge.core import conversation
from lmbridge.core.conversation import Conversation
from lmbridge.core.errors import BridgeError, BrokenAnswer, Cancelled, ContextExceeded
from lmbridge.core.events import Answer, AnswerBuilder, Finished
from lmbridge.core.hub import AnyHub
from lmbridge.core.messages import Message
from lmbridge.core.models import ModelInfo
from lmbridge.core.requests import ChatRequest, Sampling
from lmbridge.machine.home import home, models_folder
from lmbridge.version import __version__


async def talk(
    hub: AnyHub,
    model: str,
    system: str,
    sampling: Sampling,
    tools: Equipment = Equipment(),
    *,
    show_stats: bool,
) -> None:
    """Talk until the user leaves.

    Args:
        tools: what the model may call.
        show_stats: tell tokens and times after each answer.

    Raises:
        ModelNotFound, NoModels, WrongModelKind: there is nobody to talk with.
    """
    chosen = await hub.resolve(model)
    conversing = Talk(hub, chosen, system, sampling, tools, show_stats=show_stats)
    async with asyncio.TaskGroup() as tasks:
        # The model loads while the first question is typed.
        warming = tasks.create_task(_warm_up(hub, chosen))
        await conversing.run()
        warming.cancel()


async def _warm_up(hub: AnyHub, model: ModelInfo) -> None:
    try:
        await hub.load(model.qualified)
    except BridgeError:
        return  # the first answer will say why


def _expire(limit: asyncio.Timeout) -> None:
    """End what it limits, now."""
    with suppress(RuntimeError):  # it has just ended by itself
        limit.reschedule(0)


class Leave(Exception):
    """The user has had enough."""


class Talk:
    """One user, one conversation at a time."""

    def __init__(
        self,
        hub: AnyHub,
        model: ModelInfo,
        system: str,
        sampling: Sampling,
        tools: Equipment,
        *,
        show_stats: bool,
    ) -> None:
        self._hub, self._model, self._system, self._sampling = hub, model, system, sampling
        self._tools, self._show_stats = tools, show_stats
        self._messages: list[Message] = []
        self._file: Path | None = None
        self._last: Finished | None = None
        self._watch = Stopwatch()
        self._answers = self._written = 0
        self._context: int | None = None
        self._names: tuple[str, ...] = ()
        commands = [(name, meaning) for name, (_, meaning) in COMMANDS.items()]
        completer = SlashCompleter(commands, self._arguments)
        self._keyboard = Keyboard(home() / "history", completer, self._status)

    async def run(self) -> None:
        """Read and answer until the user leaves."""
        models = await self._look_at_models()
        about = f"{self._model.id} ({self._model.provider}) · /help for commands, Ctrl-D to leave"
        render.line(f"{render.paint(f'lmbridge {__version__}', 'bold')} {render.paint(f'· {about}', 'dim')}")
        if self._model.builtin:
            folder = models_folder(home())
            more = (
                "/model lists the others you have"
                if len(models) > 1
                else f"for more, put a GGUF file into {folder}"
            )
            render.line(render.paint(f"A very small model, made to show and test that all works; {more}.", "dim"))
        warned = False
        while True:
            try:
                text = await self._keyboard.read()
            except EOFError:
                return
            except KeyboardInterrupt:
                if self._keyboard.pending:
                    continue  # it only dropped the line
                if warned:
                    return
                warned = True
                render.note("Ctrl-C again or Ctrl-D to leave.", "dim")
                continue
            warned = False
            try:
                await self._take(text)
            except Leave:
                return
            except ContextExceeded as error:
                render.failure(error, as_json=False)
                render.note("  /clear begins a new conversation; /save keeps this one first.", "dim")
            except (BridgeError, OSError) as error:
                render.failure(error, as_json=False)

    async def _take(self, text: str) -> None:
        """A command, or something to answer."""
        name, _, argument = text[1:].partition(" ")
        if not text.startswith("/") or not (name.isalpha() or name in ALIASES or text == "/"):
            await self._ask(text)  # words, or something like /usr/bin
            return
        name = ALIASES.get(name, name)
        if name not in COMMANDS:
            near = get_close_matches(name, COMMANDS, n=1)  # none for a mere slash
            meant = f"Did you mean /{near[0]}?" if near else "/help lists the commands."
            render.note(f"There is no command /{name}. {meant}", "yellow")
            return
        await COMMANDS[name][0](self, argument.strip())

    # -- answering ------------------------------------------------------------------------------

    async def _ask(self, text: str) -> None:
        """Answer; a question that fails or is stopped before the first word leaves no trace."""
        turns = [*self._messages, Message("user", text)]
        if self._tools:
            finish = await self._act(turns)
        else:
            answer = await self._answer(turns)
            finish = None if answer is None else answer.finish
            if answer is not None:
                self._messages = [*turns, answer.message]
        if finish is None:
            return
        self._last = finish
        self._answers += 1
        self._written += finish.usage.completion_tokens if finish.usage else 0
        if self._show_stats:
            render.line(render.paint(figures(finish, self._watch), "dim"))
        await self._look_at_context()

    async def _act(self, turns: Sequence[Message]) -> Finished | None:
        """Answer with tools; whatever stops it, every call that stays in the conversation has its result."""
        from lmbridge.cli.chat.acting import Acting

        self._watch = Stopwatch()
        acting = Acting(self._tools, lambda: screen(self._model.id), self._watch)
        render.line()
        try:
            async with asyncio.timeout(None) as limit:
                with stoppable(lambda: _expire(limit)), silent_keys():
                    await acting.run(self._hub, self._request(turns))
        except (TimeoutError, Cancelled) as error:
            if isinstance(error, TimeoutError) and not limit.expired():
                raise
            render.line(render.paint("stopped", "yellow"))
        finally:
            if acting.words:
                acting.turns.append(Message("assistant", acting.words))
            if acting.turns:
                self._messages = [*turns, *acting.turns]
        render.line()
        return acting.finish

    def _request(self, turns: Sequence[Message]) -> ChatRequest:
        before = (Message("system", self._system),) if self._system else ()
        messages = (*before, *turns)
        return ChatRequest(self._model.qualified, messages, sampling=self._sampling, task="lmbridge chat")

    async def _answer(self, turns: Sequence[Message]) -> Answer | None:
        """The answer, shown while it comes; what there is of it when Ctrl-C stops it, None if nothing."""
        builder, self._watch = AnswerBuilder(), Stopwatch()
        request = self._request(turns)
        render.line()
        try:
            async with asyncio.timeout(None) as limit:
                with stoppable(lambda: _expire(limit)), silent_keys(), screen(self._model.id) as shown:
                    async with self._hub.chat(request) as events:
                        async for event in events:
                            builder.feed(event)
                            self._watch.feed(event)
                            show(event, shown)
                    if not builder.finished:
                        raise BrokenAnswer(self._model.provider, "it ended before it was finished")
                    for call in builder.close().tool_calls:
                        shown.say(f"→ {call.name}({call.arguments})")
        except TimeoutError:
            if not limit.expired():
                raise
            render.line(render.paint("stopped", "yellow"))
            builder.feed(Finished("stopped"))
        render.line()
        answer = builder.close()
        return answer if answer.text or answer.tool_calls or answer.finish.reason != "stopped" else None

    async def _look_at_models(self) -> Sequence[ModelInfo]:
        """Those that can be talked with, also for the Tab key."""
        models = [model for model in await self._hub.models() if model.kind == "chat" and not model.problem]
        self._names = tuple(model.qualified for model in models)
        return models

    async def _look_at_context(self) -> None:
        """How long the conversation may become, for the status line."""
        for state in await self._hub.instances():
            if (state.provider, state.model) == (self._model.provider, self._model.id):
                self._context = state.context_length

    def _status(self) -> str:
        """Provider, model, speed, room: the line at the bottom."""
        parts = [f"{self._model.provider} · {self._model.id}"]
        if self._last is not None:
            if (rate := speed(self._last)) is not None:
                parts.append(f"{rate:.0f} tokens/s")
            # With tools it is the sum of several prompts, and no measure of how full the context is.
            if (usage := self._last.usage) is not None and not self._tools:
                room = f" of {self._context:,}" if self._context else ""
                parts.append(f"{usage.total_tokens:,}{room} tokens")
        if self._hub.where != THIS_PROCESS:
            parts.append(self._hub.where)
        return render.printable(" · ".join(parts))

    def _arguments(self, command: str) -> Sequence[str] | None:
        """What may follow a command, for the Tab key; None stands for a file."""
        if command in ("save", "load"):
            return None
        return self._names if command == "model" else ()

    # -- commands -------------------------------------------------------------------------------

    async def help(self, argument: str) -> None:
        """List commands and keys."""
        for name, (_, meaning) in COMMANDS.items():
            usage = f"/{name} {TAKES[name]}" if name in TAKES else f"/{name}"
            render.line(f"  {usage:<16} {meaning}")
        render.line()
        for key, meaning in KEYS:
            render.line(f"  {key:<16} {meaning}")

    async def model(self, argument: str) -> None:
        """Switch, or list what there is."""
        if argument:
            self._model = await self._hub.resolve(argument)
            self._context = self._last = None
            render.line(f"{self._model.id} ({self._model.provider}) answers from now on.")
            return
        for model in await self._look_at_models():
            mark = ">" if model.qualified == self._model.qualified else " "
            render.line(render.printable(f"{mark} {model.id}  ({model.provider})"))

    async def system(self, argument: str) -> None:
        """Set the instructions, show them, or drop them."""
        if argument:
            self._system = "" if argument == "none" else argument
        render.line(
            f"System: {self._system}" if self._system else "There are no instructions. /system TEXT sets some."
        )

    async def clear(self, argument: str) -> None:
        """Begin again."""
        self._messages, self._file, self._last = [], None, None
        render.line("A new conversation." + (" The instructions stay." if self._system else ""))

    async def save(self, argument: str) -> None:
        """Write the conversation to a file, never over another one without asking."""
        if not self._messages:
            render.note("There is nothing to save yet.", "yellow")
            return
        default = home() / "conversations" / f"{time.strftime('%Y-%m-%d %H.%M.%S')}.json"
        path = _path(argument) if argument else self._file or default
        before = (Message("system", self._system),) if self._system else ()
        kept = Conversation(self._model.qualified, (*before, *self._messages))
        try:
            conversation.save(path, kept, overwrite=False)
        except FileExistsError:
            if not await self._keyboard.confirm(f"{path} exists. Replace it?"):
                render.line("Not saved.")
                return
            conversation.save(path, kept, overwrite=True)
        self._file = path
        render.line(f"Saved to {path}")

    async def load(self, argument: str) -> None:
        """Go on with a saved conversation, with the model that is chosen now."""
        if not argument:
            render.note("Which file? /load FILE", "yellow")
            return
        path = _path(argument)
        found = conversation.load(path)
        system = [message for message in found.messages if message.role == "system"]
        self._system = system[0].text if system else ""
        self._messages = [message for message in found.messages if message.role != "system"]
        self._file, self._last = path, None
        render.line(f"{len(self._messages)} messages loaded; {self._model.id} answers (it was {found.model}).")

    async def stats(self, argument: str) -> None:
        """Tokens and times, of the last answer and of this conversation."""
        if self._last is None:
            render.line("No answer yet.")
            return
        render.line(f"Last answer: {figures(self._last, self._watch)}")
        render.line(f"All answers: {self._answers}, {self._written} tokens written")

    async def quit(self, argument: str) -> None:
        """Leave."""
        raise Leave


def _path(argument: str) -> Path:
    return Path(argument).expanduser()


COMMANDS: Mapping[str, tuple[Callable[[Talk, str], Awaitable[None]], str]] = MappingProxyType(
    {
        "help": (Talk.help, "this list"),
        "model": (Talk.model, "let another model answer, or list them"),
        "system": (Talk.system, "instructions for the model; `none` drops them"),
        "clear": (Talk.clear, "begin a new conversation"),
        "save": (Talk.save, "keep the conversation in a file"),
        "load": (Talk.load, "go on with a saved conversation"),
        "stats": (Talk.stats, "tokens and times"),
        "quit": (Talk.quit, "leave"),
    }
)

TAKES: Mapping[str, str] = MappingProxyType(
    {"model": "[NAME]", "system": "[TEXT]", "save": "[FILE]", "load": "FILE"}
)

ALIASES: Mapping[str, str] = MappingProxyType(
    {"exit": "quit", "bye": "quit", "q": "quit", "?": "help", "h": "help"}
)

KEYS = (
    ("Enter", "send"),
    ("Alt-Enter", "new line; so does Enter within a " + '""" … """ block'),
    ("Ctrl-C", "stop the answer; at the prompt drop the line, twice to leave"),
    ("Ctrl-D", "leave"),
    ("Up, Ctrl-R", "earlier lines"),
)
