"""`python -m bench [PART…] [--quick] [--json FILE]`: measures, prints a table, and says what was reached."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from pathlib import Path
from time import perf_counter, strftime

import msgspec

from bench.processes import ROOT, Failed
from bench.report import Part, machine, machine_line

PARTS = ("decode", "gateway", "languages", "engine", "startup", "act", "mcp_start")
MORE = ("choices", "tools")
"""Only when they are asked for."""
OUTPUT = ROOT / "bench" / "out"


def main(arguments: list[str] | None = None) -> int:
    """Measure the parts that were asked for; 1 if one of them could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="How fast it is, on this machine.")
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (the default), {', '.join(MORE)}"
    )
    parser.add_argument("--quick", action="store_true", help="a rough look, in less than a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures are written")
    given = parser.parse_args(arguments)
    if stray := sorted(set(given.parts) - {*PARTS, *MORE}):
        parser.error(f"there is no part {stray[0]!r}; choose from {', '.join((*PARTS, *MORE))}")
    about = machine()
    print(machine_line(about), flush=True)
    load = about["load_before"]
    if isinstance(load, float) and load > 0.5:
        print("The machine is busy: ratios suffer where a figure needs a core to itself (engine, latency).")
    began, found, failed = perf_counter(), [], {}
    for name in given.parts or PARTS:
        try:
            part: Part = importlib.import_module(f"bench.{name}").run(quick=given.quick)
        except Failed as error:
            failed[name] = str(error)
            print(f"\n{name}: could not be measured. {error}", file=sys.stderr, flush=True)
        else:
            found.append(part)
            print(f"\n{part}", flush=True)
    targets = [f"  {target}" for part in found for target in part.targets]
    if targets:
        print("\nTargets", *targets, sep="\n")
    seconds = perf_counter() - began
    file = given.json or OUTPUT / f"{'-'.join(given.parts) or 'bench'}{'-quick' if given.quick else ''}.json"
    _write(file, about, found, failed, seconds, quick=given.quick)
    rough = " Rough figures: do not quote them." if given.quick else ""
    print(f"\n{seconds:.0f} s. Figures written to {file}.{rough}")
    return 1 if failed else 0


def _write(
    file: Path, about: dict[str, object], parts: list[Part], failed: dict[str, str], seconds: float, *, quick: bool
) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = {
        "when": strftime("%Y-%m-%dT%H:%M:%S%z"),
        "quick": quick,
        "seconds": seconds,
        "machine": about,
        "parts": {part.name: part.as_json() for part in parts},
        "failed": failed,
    }
    file.write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n")


if __name__ == "__main__":
    # Ended from outside, it ends what it started too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sys.exit(main())
