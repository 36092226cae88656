"""The line one types in, and Ctrl-C while an answer comes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.styles import Style

QUOTES = '"""'

STYLE = Style.from_dict(
    {"bottom-toolbar": "noreverse ansibrightblack", "prompt": "bold ansigreen", "placeholder": "ansibrightblack"}
)


class SlashCompleter(Completer):
    """Completes commands, and behind them what each takes: a model, a file.

    Args:
        commands: name without slash, what it does.
        arguments: for a command, the names it may be followed by; None for a file.
    """

    def __init__(
        self, commands: Sequence[tuple[str, str]], arguments: Callable[[str], Sequence[str] | None]
    ) -> None:
        self._commands, self._arguments = commands, arguments
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """What may follow the text before the cursor."""
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        name, space, argument = text[1:].partition(" ")
        if not space:
            for command, meaning in self._commands:
                if command.startswith(name):
                    yield Completion(command, -len(name), display=f"/{command}", display_meta=meaning)
            return
        names = self._arguments(name)
        if names is None:
            yield from self._paths.get_completions(Document(argument), complete_event)
            return
        for candidate in names:
            if argument.lower() in candidate.lower():
                yield Completion(candidate, -len(argument))


class Keyboard:
    """Reads what the user types. Enter sends, Alt-Enter makes a new line, what is pasted stays whole.

    Args:
        history: file of earlier lines, made so that only its owner can read it.
        completer: for the Tab key and while a command is typed.
        status: the text of the line at the bottom.
    """

    def __init__(self, history: Path, completer: Completer, status: Callable[[], str]) -> None:
        self._session: PromptSession[str] = PromptSession(
            history=_private_history(history),
            completer=completer,
            complete_while_typing=Condition(lambda: self._session.default_buffer.text.startswith("/")),
            key_bindings=_bindings(),
            multiline=True,
            prompt_continuation=FormattedText([("", "  ")]),
            bottom_toolbar=lambda: FormattedText([("", f" {status()}")]),
            style=STYLE,
            reserve_space_for_menu=6,
        )

    async def read(self) -> str:
        """What was typed, without the quotes around a `\"\"\"` block.

        Raises:
            EOFError: Ctrl-D on an empty line. KeyboardInterrupt: Ctrl-C; what was typed is dropped.
        """
        text = await self._session.prompt_async(
            FormattedText([("class:prompt", "> ")]),
            placeholder=FormattedText([("class:placeholder", "Ask something, or /help")]),
        )
        text = text.strip()
        return text[3:].removesuffix(QUOTES).strip("\n") if text.startswith(QUOTES) else text

    async def confirm(self, question: str) -> bool:
        """Ask for yes or no; anything but a yes is a no, Ctrl-C and Ctrl-D too."""
        asked: PromptSession[str] = PromptSession(history=InMemoryHistory())
        try:
            return (await asked.prompt_async(f"{question} [y/N] ")).strip().lower() in ("y", "yes")
        except (EOFError, KeyboardInterrupt):
            return False

    @property
    def pending(self) -> str:
        """What stands in the line, not sent yet."""
        return self._session.default_buffer.text


def _private_history(path: Path) -> History:
    """The file as a history; a folder that cannot be written to is no reason not to talk."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
    except OSError:
        return InMemoryHistory()
    return FileHistory(path)


def _bindings() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        open_block = buffer.text.lstrip().startswith(QUOTES) and not _closed(buffer.text)
        if open_block:
            buffer.insert_text("\n")
        elif buffer.text.strip():
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _closed(block: str) -> bool:
    return len(block.strip()) >= 2 * len(QUOTES) and block.rstrip().endswith(QUOTES)


@contextmanager
def stoppable(stop: Callable[[], None]) -> Iterator[None]:
    """While the `with` lasts, the first Ctrl-C calls *stop* in the event loop; a second one ends the program."""
    loop = asyncio.get_running_loop()
    pressed = False

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True
        loop.call_soon_threadsafe(stop)

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def silent_keys() -> Iterator[None]:
    """While the `with` lasts, keys are not echoed into the answer; they wait for the next line to be typed."""
    if sys.platform == "win32" or not sys.stdin.isatty():
        yield
        return
    else:
        import termios

        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
        quiet = termios.tcgetattr(descriptor)
        quiet[0] &= ~termios.ICRNL  # Enter stays Enter for the line editor
        quiet[3] &= ~(termios.ECHO | termios.ICANON)  # Ctrl-C remains a signal
        termios.tcsetattr(descriptor, termios.TCSADRAIN, quiet)
        try:
            yield
        finally:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
