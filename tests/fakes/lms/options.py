"""Reads the arguments of a command as the real one's parser does: what it does not know ends with status 1."""

from __future__ import annotations

from tests.fakes.lms.core import Failure


class UsageError(Failure):
    """Wrong arguments. Told as `error: …` in small letters."""


LOG = {"--log-level": "level", "--verbose": "", "--quiet": ""}


class Options:
    """What was given: `values` by long name, flags are "yes"; `words` the rest."""

    def __init__(self, known: dict[str, str], most_words: int, given: list[str]) -> None:
        """Read *given*.

        Args:
            known: options by their names, as `-c, --context-length`; their value's name, "" for a flag.
            most_words: arguments it takes besides.
        """
        self.values: dict[str, str] = {}
        self.words: list[str] = []
        names = {name: each.split(", ")[-1] for each in {**known, **LOG} for name in each.split(", ")}
        takes = {each.split(", ")[-1]: value for each, value in {**known, **LOG}.items()}
        rest = list(given)
        while rest:
            word = rest.pop(0)
            name, equals, value = word.partition("=")
            if not word.startswith("-") or word == "-":
                self.words.append(word)
                continue
            if name not in names:
                raise UsageError(f"unknown option '{name}'")
            long = names[name]
            if not takes[long]:
                self.values[long] = "yes"
            elif equals:
                self.values[long] = value
            elif rest:
                self.values[long] = rest.pop(0)
            else:
                raise UsageError(f"option '{name} <{takes[long]}>' argument missing")
        if len(self.words) > most_words:
            raise UsageError(f"too many arguments. Expected {most_words} arguments but got {len(self.words)}.")
        if sum(name in self.values for name in LOG) > 1:
            raise Failure("Only one of --log-level, --verbose and --quiet can be given.")

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str, default: str = "") -> str:
        return self.values.get(name, default)

    def number(self, name: str, least: int, most: int) -> int | None:
        """A whole number.

        Raises:
            UsageError: it is none, or out of range.
        """
        given = self.values.get(name)
        if given is None:
            return None
        if not given.lstrip("-").isdigit() or not least <= int(given) <= most:
            raise UsageError(
                f"option '{name}' argument '{given}' is invalid. Not a number from {least} to {most}."
            )
        return int(given)
