"""Programs that are told by variables: their lines are printed, to be evaluated or passed on."""

from __future__ import annotations

from lmbridge.cli import render
from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.programs import open_webui, shell
from lmbridge.machine.programs.block import line
from lmbridge.machine.programs.program import Link, Program


def can_be_printed(program: Program) -> bool:
    """Whether a program is told by variables."""
    return program.id in ("shell", "open-webui")


def show(program: Program, link: Link, places: Places, *, as_json: bool) -> None:
    """Print the variables, and to people what to do with them."""
    of_shell = program.id == "shell"
    variables = shell.variables(link) if of_shell else open_webui.variables(link)
    if as_json:
        render.json({"program": program.id, "variables": variables})
        return
    dialect = shell.dialect(places) if of_shell else "env"
    for name, value in variables.items():
        render.line(line(dialect, name, value))
    if of_shell:
        render.note('`eval "$(lmbridge connect shell)"` sets them here; --write sets them in every shell.', "dim")
    else:
        render.note(program.after, "dim")
        render.note("--file PATH writes them into a file, such as for `docker run --env-file PATH`.", "dim")
