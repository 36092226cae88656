"""What is told of LM Studio's state: one screen for people, one object for programs."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

from lmbridge.cli import render
from lmbridge.cli.lmstudio.program import ERRORS
from lmbridge.cli.provider import WITHOUT_LMSTUDIO
from lmbridge.core.errors import BridgeError, ProviderUnavailable, error_from_code
from lmbridge.providers.lmstudio.status import LMStudioStatus


def json(status: LMStudioStatus, **more: object) -> None:
    """All of it, and the code of the error that using LM Studio would meet now; "" when it is ready."""
    facts = msgspec.structs.asdict(status)
    render.json({**facts, "code": ERRORS.get(status.state, ""), **more})


def show(status: LMStudioStatus) -> None:
    """One screen: what there is, what is missing, what mends it."""
    ready = status.state == "ready"
    mark = render.paint("●", "green") if ready else render.paint("○", "yellow")
    render.sentence(f"{mark} {render.printable(status.detail)}", 2)
    render.line()
    for good, name, text in _facts(status):
        sign = {True: render.paint("✓", "green"), False: render.paint("✗", "red"), None: " "}[good]
        render.sentence(f"  {sign} {name:<13}{render.printable(text)}", 17)
    if ready:
        return
    render.line()
    if status.command:
        render.sentence(f"What mends it:  {render.paint(render.printable(status.command), 'cyan')}")
    if status.hint:
        render.sentence(render.printable(status.hint))
    if status.state == "not_installed":
        render.sentence(WITHOUT_LMSTUDIO)


def _facts(status: LMStudioStatus) -> Iterator[tuple[bool | None, str, str]]:
    """Whether it is as it should be (None: a mere fact), its name, what is known."""
    yield status.installed, "installed", status.app_path or ("yes" if status.installed else "no")
    yield status.bootstrapped, "command", status.lms_path or "there is no `lms`"
    yield status.server_running, "server", status.api_endpoint if status.server_running else "not running"
    if status.server_running and status.state != "foreign":
        yield (
            status.state != "needs_token",
            "token",
            "one that is valid is wanted" if status.state == "needs_token" else "accepted, or not asked for",
        )
        by = "lmbridge" if status.started_by_us else "somebody else"
        yield None, "started by", by
        yield None, "in memory", ", ".join(status.models_loaded) or "no model"
    if status.version:
        yield None, "version", status.version
    if status.home:
        yield None, "folder", status.home


def check_port(status: LMStudioStatus, port: int | None) -> None:
    """Make sure that a server that runs already has the port that was asked for.

    Raises:
        AlreadyRunning: it has another one.
    """
    if port is None or urlsplit(status.api_endpoint).port == port:
        return
    message = f"LM Studio's server runs at {status.api_endpoint} already, not on port {port}."
    hint = f"`lmbridge lmstudio stop && lmbridge lmstudio start --port {port}` changes that."
    raise error_from_code("already_running", message, hint) or BridgeError(message, hint=hint)


def check_answers(status: LMStudioStatus) -> None:
    """Make sure that a server which was started is of use.

    Raises:
        ProviderUnavailable: it takes connections and answers nothing, or was stopped at once.
    """
    if status.state not in ("ready", "needs_token"):
        hint = " ".join(filter(None, (f"`{status.command}` may help." if status.command else "", status.hint)))
        raise ProviderUnavailable("lmstudio", status.detail.removesuffix("."), hint=hint)


def started(status: LMStudioStatus, *, already: bool) -> None:
    """Where it answers, who started it, and what comes next."""
    where = render.paint(render.printable(status.api_endpoint), "bold")
    if already:
        by = "lmbridge started it" if status.started_by_us else "lmbridge did not start it"
        render.sentence(f"LM Studio's server runs already at {where}; {by}.")
    else:
        by = "lmbridge" if status.started_by_us else "somebody else meanwhile"
        render.sentence(f"LM Studio's server answers at {where}, started by {by}.")
    if status.state == "needs_token":
        render.note(f"{status.detail} {status.hint}".strip(), "yellow")
    loaded = ", ".join(map(render.printable, status.models_loaded))
    next_step = (
        f"In memory: {loaded}"
        if loaded
        else "No model is in memory; `lmbridge ls --provider lmstudio` lists what it has"
    )
    render.sentence(render.paint(f"{next_step}.", "dim"))
