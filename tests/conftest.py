"""What every test has: one event loop flavour, a way to ask a real LM Studio, a count of the faults tried."""

import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

TRIED = pytest.StashKey[Counter[str]]()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def tried(request: pytest.FixtureRequest) -> Callable[[str, int], None]:
    """Counts combinations of a fault and a call, by whose they are; the end of the session tells how many."""

    def add(whose: str, number: int) -> None:
        request.config.stash.setdefault(TRIED, Counter())[whose] += number

    return add


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the counts of one of several workers to the process that started it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tried"] = dict(session.config.stash.get(TRIED, Counter()))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the counts of a worker that has ended."""
    counted = getattr(node, "workeroutput", {}).get("tried", {})
    node.config.stash.setdefault(TRIED, Counter()).update(counted)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tell how many combinations were tried, if any."""
    counts = config.stash.get(TRIED, Counter())
    for whose, number in sorted(counts.items()):
        terminalreporter.write_line(f"{whose}: {number} combinations of a fault and a call, each as it should be")


def pytest_configure(config: pytest.Config) -> None:
    """Let what ends programs reach those under test: `make test &` starts with Ctrl-C ignored, `nohup make test`
    with the end of the terminal, and both are inherited."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--live", action="store_true", help="also test the real LM Studio at $LMSTUDIO_BASE_URL")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a real LM Studio, unless it was asked for: by `--live`, or by `-m live`."""
    if config.getoption("--live") or "live" in config.option.markexpr:
        return
    live = [item for item in items if item.get_closest_marker("live")]
    if live:
        config.hook.pytest_deselected(items=live)
        items[:] = [item for item in items if not item.get_closest_marker("live")]
