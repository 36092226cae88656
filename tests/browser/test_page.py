"""The page at `/` of a real gateway in a real browser."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from tests.fakes.gguf_files import chat_model, truncated

PATIENCE_S = 60.0
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium: none of chromium, chromium-browser, google-chrome is on PATH"
)


def environment(home: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("LMBRIDGE_")}
    # LM Studio and the models of whoever runs the tests are no part of them.
    theirs = {"LMBRIDGE_DISABLED": "lmstudio", "LMBRIDGE_EMBEDDED_LMSTUDIO_MODELS": "false"}
    return {**own, **theirs, "LMBRIDGE_HOME": str(home)}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    models = tmp_path / "home" / "models"
    models.mkdir(parents=True)
    whole = chat_model(models / "able.gguf")
    truncated(models / "a-broken-one.gguf", whole)
    return models.parent


@pytest.fixture
def gateway(home: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a gateway process; what it is started with may be given as the parameter."""
    command = [sys.executable, "-m", "lmbridge", "serve", "--port", "0", "--json", *getattr(request, "param", [])]
    process = subprocess.Popen(command, env=environment(home), stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)


class Shown:
    """What a browser made of a page.

    Attributes:
        dom: the document after its scripts ran. console: what they complained of.
    """

    def __init__(self, url: str, profile: Path) -> None:
        assert BROWSER is not None
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        options += [f"--user-data-dir={profile}", "--window-size=390,844", "--enable-logging=stderr"]
        done = subprocess.run(
            [BROWSER, *options, "--virtual-time-budget=1500", "--dump-dom", url],
            capture_output=True,
            timeout=PATIENCE_S,
            check=True,
        )
        self.dom = done.stdout.decode()
        self.console = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if "CONSOLE" in line]

    def text(self, id: str) -> str:
        """The text of the element with this id, one space between its parts."""
        found = re.search(rf'<(\w+) id="{id}"[^>]*>(.*?)</\1>', self.dom, re.DOTALL)
        assert found is not None, f"the page has no element {id!r}"
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", found[2])).split())

    def hidden(self, id: str) -> bool:
        return re.search(rf'id="{id}"[^>]* hidden', self.dom) is not None


@pytest.mark.parametrize("gateway", [["--model", "able"]], indirect=True)
def test_the_page_shows_the_models_the_routes_and_the_state(gateway: str, home: Path, tmp_path: Path) -> None:
    able = home / "models" / "able.gguf"
    shown = Shown(gateway, tmp_path / "profile")
    models = shown.text("models")
    assert "able" in models
    assert "lmbridge-tiny-embed embedding" in models
    assert "a-broken-one" not in models
    assert f"{able.stat().st_size / 1e3:.1f} kB" in models  # as `lmbridge ls` tells it
    assert shown.text("providers").startswith("embedded ready")
    assert re.search(r"able (ready|loading)", shown.text("memory"))
    assert "running for" in shown.text("state")
    assert shown.text("base") == f"{gateway}/v1"
    assert '"model": "able"' in shown.text("example")
    for route in ("GET /v1/models", "POST /v1/chat/completions", "POST /v1/embeddings", "GET /health"):
        assert route in re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", shown.dom))
    assert shown.hidden("locked")
    assert shown.hidden("today")  # nobody has asked anything yet
    assert shown.console == []


@pytest.mark.parametrize("gateway", [["--require-key"]], indirect=True)
def test_without_a_key_the_page_asks_for_one_and_shows_no_models(gateway: str, tmp_path: Path) -> None:
    shown = Shown(gateway, tmp_path / "profile")
    assert not shown.hidden("locked")
    assert shown.hidden("known")
    assert shown.text("state") == "needs an API key"
    assert shown.text("models") == ""
    assert shown.console == []


@contextmanager
def asking(gateway: str) -> Iterator[None]:
    """Somebody asks one thing after the other."""
    over = threading.Event()
    body = {"model": "lmbridge-tiny", "max_tokens": 4, "messages": [{"role": "user", "content": "secret words"}]}
    headers = {"content-type": "application/json"}

    def ask() -> None:
        while not over.is_set():
            with urlopen(Request(f"{gateway}/v1/chat/completions", json.dumps(body).encode(), headers)) as answer:  # noqa: S310
                answer.read()

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        yield
    finally:
        over.set()
        asker.join(PATIENCE_S)


def test_the_page_shows_requests_as_they_happen_and_no_word_of_them(gateway: str, tmp_path: Path) -> None:
    with asking(gateway):
        shown = Shown(gateway, tmp_path / "profile")
    assert not shown.hidden("requests-section")
    assert re.search(r"lmbridge-tiny openai chat done \d+ \+ 4 tokens · [\d.]+ s", shown.text("requests"))
    assert "secret" not in shown.dom
    assert shown.console == []
    again = Shown(gateway, tmp_path / "profile")
    assert re.fullmatch(r"Today: [\d,]+ calls? · [\d,]+ tokens in · [\d,]+ out", again.text("today"))
    assert not again.hidden("today")


def test_what_a_page_complains_of_would_be_heard(tmp_path: Path) -> None:
    shown = Shown(
        "data:text/html,<p id='told'>told</p><script>nothing_of_that_name()</script>", tmp_path / "profile"
    )
    assert shown.text("told") == "told"
    assert "nothing_of_that_name is not defined" in "".join(shown.console)
