"""`lmbridge gateway start | stop | status`: the gateway in the background."""

from __future__ import annotations

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, BridgeGroup, json_option, listening_options


@click.group(
    "gateway",
    cls=BridgeGroup,
    examples=[
        ("lmbridge gateway start", "run it in the background"),
        ("lmbridge gateway status", "where it answers, and what is loaded"),
        ("lmbridge gateway stop", "end it"),
    ],
)
def command() -> None:
    """Run the gateway in the background, so that terminal, programs and browser share loaded models."""


@command.command(
    "start",
    cls=BridgeCommand,
    examples=[
        ("lmbridge gateway start", "on http://127.0.0.1:1235"),
        ("lmbridge gateway start --port 8080", "on another port"),
        ("lmbridge gateway start --model qwen3-8b", "with a model loaded already"),
    ],
)
@listening_options
@json_option
def start(
    host: str | None,
    port: int | None,
    cors: tuple[str, ...],
    require_key: bool,
    as_lmstudio: bool,
    lmstudio_quirks: bool,
    models: tuple[str, ...],
    as_json: bool,
) -> None:
    """Start it and wait until it answers. It lives on when the terminal closes."""
    import asyncio

    from lmbridge.cli import background, stand_in
    from lmbridge.config import load_config
    from lmbridge.core.errors import AlreadyRunning
    from lmbridge.machine.gateway_file import running

    config = load_config()
    if (found := running(config.home)) is not None:
        raise AlreadyRunning(found.url, found.pid)
    arguments = [
        *(["--host", host] if host is not None else []),
        *(["--port", str(port)] if port is not None else []),
    ]
    arguments += [word for origin in cors for word in ("--cors", origin)]
    arguments += [word for name in models for word in ("--model", name)]
    flags = {"--require-key": require_key, "--stand-in": as_lmstudio, "--lmstudio-quirks": lmstudio_quirks}
    arguments += [flag for flag, given in flags.items() if given]
    if not as_json:
        loading = f" and loading {', '.join(models)}" if models else ""
        render.note(f"Starting the gateway{loading} …", "dim")
    found = background.start(config, arguments, background.LOAD_S if models else background.START_S)
    second = f"http://127.0.0.1:{config.gateway.stand_in_port}" if as_lmstudio or config.gateway.stand_in else ""
    taken = asyncio.run(stand_in.why_not(found.url, config.gateway.stand_in_port)) if second else ""
    if as_json:
        also = {"stand_in": None if taken else second, "stand_in_reason": taken} if second else {}
        render.json({"running": True, "url": found.url, "pid": found.pid, "version": found.version, **also})
        return
    render.line(f"The gateway answers at {render.paint(found.url, 'bold')} (pid {found.pid}).")
    if second:
        render.line(
            f"It does not answer at {second}: {taken}." if taken else f"At {second}, LM Studio's address, too."
        )
    render.line(render.paint(f"OpenAI API: {found.url}/v1    log: {background.log_file(config.home)}", "dim"))


@command.command(
    "stop", cls=BridgeCommand, examples=[("lmbridge gateway stop", "answers under way get a few seconds to end")]
)
@json_option
def stop(as_json: bool) -> None:
    """Stop it, however it was started. Its models leave the memory."""
    from lmbridge.cli import background
    from lmbridge.core.errors import NotRunning
    from lmbridge.machine.gateway_file import GatewayFile
    from lmbridge.machine.home import home

    found = GatewayFile.read(home())
    if found is None or not found.alive:
        if found is not None:
            found.remove(home())  # left behind by one that was killed
        raise NotRunning
    background.stop(found, home(), lambda text: render.note(text, "yellow"))
    if as_json:
        render.json({"running": False, "url": found.url, "pid": found.pid})
    else:
        render.line(f"The gateway at {found.url} has stopped.")


@command.command(
    "status",
    cls=BridgeCommand,
    examples=[
        ("lmbridge gateway status", "for people"),
        ("lmbridge gateway status --json", "for programs; exit code 11 when none runs"),
    ],
)
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Tell whether it runs, where it answers, and what it has in memory."""
    import asyncio

    import msgspec

    from lmbridge.cli import background
    from lmbridge.cli.exits import NOT_RUNNING
    from lmbridge.cli.ps import show
    from lmbridge.machine.gateway_file import running
    from lmbridge.machine.home import home

    found = running(home())
    if found is None:
        if as_json:
            render.json({"running": False})
        else:
            render.line("No gateway is running. `lmbridge gateway start` starts one.")
        ctx.exit(NOT_RUNNING)
    told = asyncio.run(background.look(found))
    if as_json:
        states = [msgspec.structs.asdict(state) for state in told.instances]
        facts = {"running": True, "url": found.url, "pid": found.pid, "version": told.version}
        render.json({**facts, "uptime_s": told.uptime_s, "instances": states})
        return
    since = render.duration(told.uptime_s)
    render.line(f"The gateway answers at {found.url} (pid {found.pid}, version {told.version}, for {since}).")
    show(told.instances)
