"""`lmbridge lmstudio status | start | stop | bootstrap | log | setup`: the program LM Studio itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, BridgeGroup, json_option

if TYPE_CHECKING:
    from lmbridge.providers.lmstudio.program import LMStudioProgram
    from lmbridge.providers.lmstudio.status import LMStudioStatus

T = TypeVar("T")


@click.group(
    "lmstudio",
    cls=BridgeGroup,
    examples=[
        ("lmbridge lmstudio status", "whether it is there, and what mends it if not"),
        ("lmbridge lmstudio start", "start its server"),
        ("lmbridge lmstudio stop", "stop it"),
    ],
)
def command() -> None:
    """Find, start and stop LM Studio on this computer.

    Its models are used like all others: `lmbridge ls`, `get`, `load`, `chat`, each with `--provider lmstudio`.
    """


yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def with_program(work: Callable[[LMStudioProgram], Coroutine[Any, Any, T]]) -> T:
    """Run *work* with LM Studio as the settings describe it.

    Raises:
        RuntimeMissing: it is not here; told with what works anyway. And whatever *work* raises.
    """
    from lmbridge.cli import ending
    from lmbridge.cli.lmstudio.program import missing, program_of
    from lmbridge.config import load_config
    from lmbridge.core.errors import RuntimeMissing

    program = program_of(load_config())
    try:
        return ending.run(work(program))
    except RuntimeMissing as error:
        raise missing(error) from error


@command.command(
    "status",
    cls=BridgeCommand,
    short_help="Tell whether it is there and answers, and what mends it.",
    examples=[
        ("lmbridge lmstudio status", "for people"),
        ("lmbridge lmstudio status --json | jq -r .command", "the command that mends it; empty when it is ready"),
    ],
)
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Tell whether LM Studio is there, runs and answers, and the one command that mends it.

    Starts nothing. Ends with 0 when it is ready, 4 when it is not installed, not bootstrapped, not running or
    something else has its port, 7 when it wants a token.
    """
    from lmbridge.cli.lmstudio import screen
    from lmbridge.cli.lmstudio.program import state_exit
    from lmbridge.cli.progress import waiting

    async def work(program: LMStudioProgram) -> LMStudioStatus:
        with waiting("Looking for LM Studio", quiet=True):
            return await program.status()

    found = with_program(work)
    if as_json:
        screen.json(found)
    else:
        screen.show(found)
    ctx.exit(state_exit(found))


@command.command(
    "start",
    cls=BridgeCommand,
    examples=[
        ("lmbridge lmstudio start", "on the port it had last, else 1234"),
        ("lmbridge lmstudio start --port 1240", "on another one"),
    ],
)
@click.option("--port", metavar="N", type=click.IntRange(1, 65535), help="Port to listen on.")
@json_option
def start(port: int | None, as_json: bool) -> None:
    """Start LM Studio's server and wait until it answers. Running already, it is left as it is.

    LM Studio itself is started without a window if need be, which takes up to a minute. A gateway of yours that
    stands in for it at its port gives that up first.
    """
    from lmbridge.cli.lmstudio import screen
    from lmbridge.cli.lmstudio.program import make_way
    from lmbridge.cli.progress import waiting
    from lmbridge.providers.lmstudio.look import port_of

    async def work(program: LMStudioProgram) -> tuple[LMStudioStatus, bool]:
        with waiting("Looking for LM Studio", quiet=True):
            before = await program.status()
        if before.state in ("ready", "needs_token"):
            screen.check_port(before, port)
            return before, True
        await make_way(port or port_of(before.api_endpoint))
        try:
            with waiting("Starting LM Studio") as tell:
                return await program.start(port=port, waiting=tell), False
        except asyncio.CancelledError:
            render.note("LM Studio itself may still be starting; `lmbridge lmstudio status` tells.", "dim")
            raise

    found, already = with_program(work)
    screen.check_answers(found)
    if as_json:
        screen.json(found, already_running=already)
        return
    screen.started(found, already=already)


@command.command("stop", cls=BridgeCommand, examples=[("lmbridge lmstudio stop", "its server; the app goes on")])
@json_option
def stop(as_json: bool) -> None:
    """Stop LM Studio's server, whoever started it. The app itself and the models in its memory stay."""
    from lmbridge.cli.lmstudio import screen
    from lmbridge.cli.progress import waiting

    async def work(program: LMStudioProgram) -> tuple[LMStudioStatus, bool]:
        with waiting("Looking for LM Studio", quiet=True):
            before = await program.status()
        if not before.server_running:
            return await program.stop(), False  # or says what is missing, or in its place
        with waiting("Stopping LM Studio's server") as tell:
            return await program.stop(waiting=tell), True

    found, ran = with_program(work)
    if as_json:
        screen.json(found, stopped=ran)
    elif ran:
        render.sentence("LM Studio's server has stopped. `lmbridge lmstudio start` starts it again.")
    else:
        render.line("LM Studio's server is not running.")


@command.command(
    "bootstrap",
    cls=BridgeCommand,
    short_help="Put its command `lms` into place and on PATH.",
    examples=[("lmbridge lmstudio bootstrap", "asks first"), ("lmbridge lmstudio bootstrap --yes", "does not")],
)
@yes_option
@json_option
def bootstrap(yes: bool, as_json: bool) -> None:
    """Put LM Studio's command `lms` into place and on the PATH of your shells, as `lms bootstrap` does.

    LM Studio writes a line into the profiles of your shells; one that was never started is started once.
    lmbridge itself finds `lms` without being on PATH.
    """
    from lmbridge.cli.lmstudio import screen
    from lmbridge.cli.progress import waiting

    async def work(program: LMStudioProgram) -> LMStudioStatus:
        with waiting("Preparing LM Studio's command") as tell:
            return await program.bootstrap(waiting=tell)

    if not yes and not render.confirmed("LM Studio will write a line into the profiles of your shells. Go on?"):
        render.line("Nothing was changed.")
        return
    found = with_program(work)
    if as_json:
        screen.json(found)
    else:
        render.sentence(
            f"{found.lms_path or '`lms`'} is there, and on the PATH of every shell that is opened from now on."
        )


@command.command(
    "log",
    cls=BridgeCommand,
    examples=[
        ("lmbridge lmstudio log", "what its server does, until Ctrl-C"),
        ("lmbridge lmstudio log --source model", "prompts and answers, of everybody who uses it"),
        ("lmbridge lmstudio log --source model --stats --json", "one JSON object a line"),
    ],
)
@click.option(
    "--source",
    type=click.Choice(["server", "model", "runtime"]),
    default="server",
    show_default=True,
    help="`model` shows whole prompts and answers.",
)
@click.option("--stats", is_flag=True, help="Tokens and speed of each answer; for --source model.")
@json_option
def log(source: Literal["server", "model", "runtime"], stats: bool, as_json: bool) -> None:
    """Show what LM Studio logs from now on, until Ctrl-C.

    Prompts and answers are in it with --source model, and may be in its server's log: keep it to yourself.
    """
    from lmbridge.cli.lmstudio.stream import follow

    with_program(lambda program: follow(program, source, stats=stats, as_json=as_json))


@command.command(
    "setup",
    cls=BridgeCommand,
    short_help="Have it run without its window, and its server with it.",
    examples=[
        ("lmbridge lmstudio setup --dry-run", "what would be changed"),
        ("lmbridge lmstudio setup", "shows it, asks, and keeps a copy of each file"),
        ("lmbridge lmstudio setup --daemon --yes", "its daemon, without asking"),
    ],
)
@click.option(
    "--daemon/--app",
    "daemon",
    default=None,
    help="Its daemon, or the app as a service.  [default: what is installed]",
)
@click.option("--dry-run", is_flag=True, help="Show what would be changed, and change nothing.")
@yes_option
@json_option
def setup(daemon: bool | None, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Prepare LM Studio for a computer without a screen: it runs without its window, its server with it.

    A copy of each file that is changed is kept beside it.
    """
    from lmbridge.cli.lmstudio.headless import set_up

    with_program(lambda program: set_up(program, daemon, ask=not yes, dry_run=dry_run, as_json=as_json))
