"""The commands about models: `ls`, `ps`, `load`, `unload`, `get`."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from tests.fakes.lms import core
from tests.fakes.lms.core import fail, out, say
from tests.fakes.lms.options import Options

Model = dict[str, Any]
BAR = 22


def compact(value: object) -> str:
    """JSON in one line, as every `--json` prints it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def size(count: float, unit: int = 1000) -> str:
    """Bytes for people: disks count in thousands, memory in 1024s."""
    names = ["B", "KB", "MB", "GB"] if unit == 1000 else ["B", "KiB", "MiB", "GiB"]
    while count >= unit and len(names) > 1:
        count /= unit
        names.pop(0)
    return f"{count:.2f} {names[0]}"


def ls(given: list[str]) -> None:
    """`lms ls`: what is on disk."""
    options = Options({"--llm": "", "--embedding": "", "--variants": "", "--json": "", "--detailed": ""}, 1, given)
    port = core.wake()
    models: list[Model] = core.ask(port, "GET", "/fake/models", limit_s=10)
    kinds = [kind for kind in ("llm", "embedding") if f"--{kind}" in options]
    models = [each for each in models if not kinds or each["type"] in kinds]
    if options.words:
        if "--variants" in options:
            fail("--variants cannot be used together with a model key.")
        models = [each for each in models if each["modelKey"] == options.words[0]]
    if "--json" in options and "--variants" in options:
        out(compact([{"model": each, "variants": each.get("variants", [])} for each in models]))
    elif "--json" in options:
        out(compact(models))
    else:
        _table(models, {each["modelKey"] for each in core.ask(port, "GET", "/fake/instances", limit_s=10)})


def _table(models: list[Model], loaded: set[str]) -> None:
    if not models:
        out("\nYou have not downloaded any models yet.\n")
        return
    total = sum(each["sizeBytes"] for each in models)
    out(f"\nYou have {len(models)} models, taking up {size(total)} of disk space.\n")
    for kind, title in (("llm", "LLM"), ("embedding", "EMBEDDING")):
        rows = [each for each in models if each["type"] == kind]
        if rows:
            out(f"{title:<40}    PARAMS    ARCH          SIZE         DEVICE")
        for each in rows:
            mark = "    ✓ LOADED" if each["modelKey"] in loaded else ""
            columns = f"{each['paramsString']:<6}    {each['architecture']:<10}    {size(each['sizeBytes']):<9}"
            out(f"{each['modelKey']:<40}    {columns}    Local{mark}")
        if rows:
            out("")


def ps(given: list[str]) -> None:
    """`lms ps`: what is in memory."""
    options = Options({"--json": ""}, 0, given)
    instances: list[Model] = core.ask(core.wake(), "GET", "/fake/instances", limit_s=10)
    if "--json" in options:
        out(compact(instances))
        return
    if not instances:
        say("No models are currently loaded.\n\nTo load a model, run:\n\n    lms load\n")
        return
    out("\nIDENTIFIER    MODEL    STATUS    SIZE    CONTEXT    PARALLEL    DEVICE    TTL")
    for each in sorted(instances, key=lambda each: str(each["identifier"])):
        ttl = each["ttlMs"]
        shown = [each["identifier"], each["modelKey"], each["status"].upper(), size(each["sizeBytes"])]
        shown += [str(each["contextLength"]), str(each["parallel"] or ""), "Local"]
        out("    ".join([*shown, f"{ttl // 60000}m / {ttl // 60000}m" if ttl else ""]))


LOAD = {
    "--gpu": "value",
    "-c, --context-length": "number",
    "--parallel": "number",
    "--ttl": "seconds",
    "--identifier": "identifier",
    "--exact": "",
    "--local": "",
    "--estimate-only": "",
    "-y, --yes": "",
}


def load(given: list[str]) -> None:
    """`lms load`: fuzzy over the keys, one more instance each time."""
    options = Options(LOAD, 1, given)
    most = 2**31
    wanted = {
        "context_length": options.number("--context-length", 1, most),
        "parallel": options.number("--parallel", 1, most),
    }
    _check_gpu(options.text("--gpu", "max"))
    ttl = options.number("--ttl", 1, most)
    port = core.wake()
    model = _choose(core.ask(port, "GET", "/fake/models", limit_s=10), options)
    if "--estimate-only" in options:
        _estimate(model, wanted["context_length"])
        return
    say(f"\nLoading model '{model['modelKey']}'...")
    began = time.monotonic()
    body = {
        "key": model["modelKey"],
        "options": {name: value for name, value in wanted.items() if value is not None},
        "identifier": options.text("--identifier"),
        "ttl": ttl,
    }
    done: Model = {}
    for done in core.lines(port, "/fake/load", body):
        if "progress" in done:
            say(f"⠋ Loading {model['modelKey']} {done['progress'] * 100:.2f}%")
    if "identifier" not in done:
        fail(done["error"]["message"])
    say(f"Model loaded successfully in {time.monotonic() - began:.2f}s.\n({size(done['sizeBytes'], 1024)})")
    say(f'To use the model in the API/SDK, use the identifier "{done["identifier"]}".')


def _check_gpu(given: str) -> None:
    if given in ("off", "max"):
        return
    try:
        fine = 0 <= float(given) <= 1
    except ValueError:
        fine = False
    if not fine:
        fail(f"Invalid --gpu value '{given}': a number from 0 to 1, 'off' or 'max'.")


def _choose(models: list[Model], options: Options) -> Model:
    name = options.words[0] if options.words else ""
    if "--exact" in options:
        found = [each for each in models if each["path"] == name]
    else:
        found = [each for each in models if _fuzzy(name.partition("@")[0], each["modelKey"])]
        found.sort(key=lambda each: each["modelKey"] != name.partition("@")[0])
    if not found:
        fail(
            f"No model found that matches '{name}'.\n\nTo see a list of all downloaded models, run:\n\n    lms ls"
        )
    if len(found) == 1 or (name and found[0]["modelKey"] == name):
        return found[0]
    if "--yes" in options:
        say(f"Warning: {len(found)} models match the provided path. Loading the first one.")
        return found[0]
    sys.stderr.write("? Select a model to load | Type to filter...\n")
    sys.stderr.flush()
    if not sys.stdin.readline():
        fail("Aborted: no answer.")
    return found[0]


def _fuzzy(wanted: str, key: str) -> bool:
    """Whether the letters of *wanted* come one after the other in *key*."""
    letters = iter(key.lower())
    return all(letter in letters for letter in wanted.lower())


def _estimate(model: Model, context_length: int | None) -> None:
    out(f"Model: {model['modelKey']}\nContext Length: {context_length or 8192}\nGPU Offload: 100%")
    out(f"Estimated GPU Memory:   {model['sizeBytes'] / 2**30:.2f} GiB")
    out(f"Estimated Total Memory: {model['sizeBytes'] / 2**30:.2f} GiB\n")
    out("Estimate: This model may be loaded based on your resource guardrails settings.")


def unload(given: list[str]) -> None:
    """`lms unload`: an identifier it does not know is no failure by its status."""
    options = Options({"-a, --all": ""}, 1, given)
    port = core.wake()
    loaded = [each["identifier"] for each in core.ask(port, "GET", "/fake/instances", limit_s=10)]
    if "--all" in options and options.words:
        say("Error: Cannot give an identifier together with --all.")
        return
    if not loaded:
        if "--all" in options:
            say("No models to unload.")
            return
        fail("No models are currently loaded.")
    if "--all" in options:
        wanted = loaded
    elif options.words:
        wanted = options.words
        if wanted[0] not in loaded:
            say(f'Error: Cannot find a model with the identifier "{wanted[0]}".')
            return
    elif len(loaded) == 1:
        wanted = loaded
    else:
        sys.stderr.write("? Select a model to unload | Type to filter...\n")
        sys.stderr.flush()
        if not sys.stdin.readline():
            fail("Aborted: no answer.")
        wanted = loaded[:1]
    for each in wanted:
        core.ask(port, "POST", "/fake/unload", {"identifier": each}, limit_s=10)
        say(f'Model "{each}" unloaded.')


def get(given: list[str]) -> None:
    """`lms get`: downloads, with a bar on standard output that is drawn again and again."""
    options = Options({"--mlx": "", "--gguf": "", "-y, --yes": "", "--select": ""}, 1, given)
    if "--select" in options and "--yes" in options:
        fail("--select and --yes cannot be used together.")
    if not options.words:
        fail("A name is needed when nobody can be asked.")
    name = options.words[0]
    port = core.wake()
    answer: Model = core.ask(port, "POST", "/fake/get", {"name": name}, limit_s=10)
    if "error" in answer:
        fail(f"Artifact '{name}' does not exist, or you do not have permission to read it.")
    if "job" not in answer:
        say("Model already downloaded. To use, run: lms load")
        return
    say(f"Downloading {name}...")
    began = time.monotonic()
    while True:
        state: Model = core.ask(port, "POST", "/fake/step", {"job": answer["job"]}, limit_s=10)
        sys.stdout.write("\r" + _bar(state["done"], state["total"], time.monotonic() - began))
        sys.stdout.flush()
        if state["status"] in ("completed", "failed", "paused"):
            break
        time.sleep(state["wait"] or (0.01 if state["done"] < state["total"] else 0.2))
    sys.stdout.write("\n")
    if state["status"] in ("failed", "paused"):
        fail(f"Download {state['status']}: the connection was lost.")
    say("Download completed.")


def _bar(done: int, total: int, seconds: float) -> str:
    part = done / total
    filled = int(part * BAR)
    speed = done / max(seconds, 0.001)
    left = int((total - done) / speed) if speed else 0
    bar = "█" * filled + " " * (BAR - filled)
    eta = f"{left // 60:02d}:{left % 60:02d}"
    return f"⠙ [{bar}] {part * 100:.2f}% | {size(done)} / {size(total)} | {size(speed)}/s | ETA {eta}"
