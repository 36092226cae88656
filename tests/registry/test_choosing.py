from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
from tests.fakes.extensions import Installed, extension, provider
from tests.registry.conftest import Home

from lmbridge.core.errors import BridgeError, ConfigInvalid, InvalidRequest
from lmbridge.machine.choices import Choices, read_choices
from lmbridge.machine.secrets import SecretStore
from lmbridge.registry import PROVIDERS, Registry
from lmbridge.registry.choosing import OTHER, Chooser

POINTS = Installed(extension("good", "Good"), extension("ready", "ready"), provider("second", "Second"))


class Choosing:
    """Each call opens everything anew, as each run of the command does."""

    def __init__(self, home: Home, toml: str = "", points: Installed = POINTS) -> None:
        self.home, self.points = home, points
        home.config(toml)

    def open(self) -> tuple[Registry, Chooser]:
        config = self.home.config()
        registry = Registry(config, self.points)
        return registry, Chooser(config, registry, SecretStore(self.home.folder, None))

    @property
    def chooser(self) -> Chooser:
        return self.open()[1]

    @property
    def ids(self) -> list[str]:
        return [each.id for each in self.open()[0].providers]

    @property
    def kept(self) -> Choices:
        return read_choices(self.home.folder)


@pytest.fixture
def choosing(home: Home) -> Choosing:
    return Choosing(home)


def test_what_is_disabled_is_not_used_until_it_is_enabled(choosing: Choosing) -> None:
    assert choosing.ids == ["embedded", "second", "echo", "made"]
    for id in ("second", "good-one"):
        choosing.chooser.disable(id)
    assert choosing.ids == ["embedded", "made"]
    for id in ("second", "good-one", "embedded"):
        choosing.chooser.enable(id)
    assert choosing.ids == ["embedded", "second", "echo", "made"]


def test_the_file_of_the_user_goes_first_and_is_never_written(home: Home) -> None:
    toml = 'disabled = ["second"]  # mine\ndefault_provider = "embedded"\nprovider_order = ["echo"]\n'
    choosing = Choosing(home, toml)
    for change in (
        lambda chooser: chooser.enable("second"),
        lambda chooser: chooser.set_default("echo"),
        lambda chooser: chooser.order(["made"]),
    ):
        with pytest.raises(ConfigInvalid, match=r"lmbridge\.toml"):
            change(choosing.chooser)
    assert (home.folder / "lmbridge.toml").read_text() == toml
    assert choosing.kept == Choices()


def test_the_default_is_kept_and_when_it_is_disabled_the_next_takes_its_place(choosing: Choosing) -> None:
    choosing.chooser.set_default("echo")
    assert choosing.open()[0].default == "echo"
    assert choosing.chooser.disable("second") == "echo"
    assert choosing.chooser.disable("good-one") == "embedded"  # which gave echo
    assert choosing.open()[0].default == "embedded"
    choosing.chooser.set_default("")
    assert choosing.open()[0].default == ""
    for refused in ("second", "echo", "nobody"):
        with pytest.raises(InvalidRequest):
            choosing.chooser.set_default(refused)


def test_the_order_is_kept_and_put_back(choosing: Choosing) -> None:
    choosing.chooser.order(["made", "echo"])
    assert choosing.ids == ["made", "echo", "embedded", "second"]
    choosing.chooser.order([])
    assert choosing.ids[0] == "embedded"
    with pytest.raises(InvalidRequest, match="twice"):
        choosing.chooser.order(["echo", "echo"])
    with pytest.raises(InvalidRequest, match="Did you mean 'echo'"):
        choosing.chooser.order(["ecko"])


@pytest.mark.parametrize("act", ["enable", "disable", "targets"])
def test_who_does_not_exist_is_told_with_the_nearest(choosing: Choosing, act: str) -> None:
    with pytest.raises(InvalidRequest, match="Did you mean 'second'"):
        getattr(choosing.chooser, act)("secnd")
    with pytest.raises(InvalidRequest, match="lmbridge providers add ollama"):
        getattr(choosing.chooser, act)("ollama")


def test_a_setting_is_checked_by_the_manifest_before_it_is_kept(choosing: Choosing) -> None:
    assert choosing.chooser.set_value("echo", "before", "> ") == "> "
    assert choosing.chooser.set_value("good-one", "retries", "5") == 5
    assert choosing.chooser.set_value("embedded", "folders", "/a,/b") == ("/a", "/b")
    assert choosing.kept.providers == {"echo": {"before": "> "}, "embedded": {"folders": ["/a", "/b"]}}
    assert choosing.kept.extensions == {"good-one": {"retries": 5}}
    before = choosing.kept
    for id, name, text in (("good-one", "retries", "many"), ("echo", "bfore", "x"), ("made", "before", "x")):
        with pytest.raises(BridgeError):
            choosing.chooser.set_value(id, name, text)
    assert choosing.kept == before


def test_a_value_that_its_provider_refuses_is_not_kept(choosing: Choosing) -> None:
    choosing.chooser.add("ollama")
    with pytest.raises(ConfigInvalid, match="http://"):
        choosing.chooser.set_value("ollama", "url", "localhost")
    with pytest.raises(ConfigInvalid, match="parallel"):
        choosing.chooser.set_value("ollama", "parallel", "0")
    assert choosing.kept.providers == {"openai": {"ollama": {"preset": "ollama"}}}


def test_a_setting_that_is_unset_has_its_default_again(choosing: Choosing) -> None:
    choosing.chooser.set_value("echo", "before", "> ")
    choosing.chooser.unset_value("echo", "before")
    assert choosing.kept.providers == {}
    with pytest.raises(InvalidRequest, match="It has its default"):
        choosing.chooser.unset_value("echo", "before")


def test_what_the_file_says_is_unset_there(home: Home) -> None:
    choosing = Choosing(home, '[echo]\nbefore = "x"\n')
    with pytest.raises(InvalidRequest, match=r"lmbridge\.toml or the environment has it"):
        choosing.chooser.unset_value("echo", "before")


def test_a_setting_without_which_there_is_nothing_is_not_unset(choosing: Choosing) -> None:
    choosing.chooser.add(OTHER, "mine", "http://h")
    with pytest.raises(ConfigInvalid, match="it has no `url`"):
        choosing.chooser.unset_value("mine", "url")


def test_secrets_are_kept_apart_and_reach_who_they_are_for(choosing: Choosing) -> None:
    assert choosing.chooser.set_value("echo", "token", "sesame") == "file"
    assert choosing.chooser.set_value("good-one", "token", "open") == "file"
    text = (choosing.home.folder / "providers.json").read_text()
    assert "sesame" not in text
    assert choosing.kept.secrets == ("echo/token", "extensions/good-one/token")
    targets = choosing.chooser.targets("echo")
    assert targets[0].values["token"] == "sesame"
    assert "sesame" not in repr(targets)
    assert choosing.open()[0].extensions.contexts["good-one"].settings["token"] == "open"
    choosing.chooser.unset_value("echo", "token")
    assert "token" not in choosing.chooser.targets("echo")[0].values
    assert choosing.kept.secrets == ("extensions/good-one/token",)


def test_what_has_no_settings_says_so(choosing: Choosing) -> None:
    assert choosing.chooser.targets("made") == []
    with pytest.raises(ConfigInvalid, match="no settings here"):
        choosing.chooser.find("made", "before")
    with pytest.raises(ConfigInvalid, match="Did you mean 'before'"):
        choosing.chooser.find("echo", "befor")


def test_an_extension_that_failed_or_is_disabled_is_there_without_settings(home: Home) -> None:
    choosing = Choosing(
        home, 'disabled = ["good"]', Installed(extension("bad", "NoManifest"), extension("good", "Good"))
    )
    assert choosing.chooser.targets("bad") == []
    assert choosing.chooser.targets("good") == []
    with pytest.raises(InvalidRequest, match="There is no provider or extension 'worse'"):
        choosing.chooser.targets("worse")


def test_servers_are_added_under_names_of_their_own_and_forgotten_with_their_keys(choosing: Choosing) -> None:
    assert choosing.chooser.add("ollama") == "ollama"
    assert choosing.chooser.add("ollama", "gpu", "http://gpu:11434", "GPU_KEY") == "gpu"
    assert choosing.chooser.add("openai") == "openai"
    assert choosing.ids[:4] == ["embedded", "ollama", "gpu", "openai"]
    choosing.chooser.set_value("openai", "key", "sesame")
    choosing.chooser.set_value("openai", "fast", "small")
    choosing.chooser.set_default("openai")
    choosing.chooser.order(["openai", "gpu"])
    choosing.chooser.disable("gpu")
    assert choosing.chooser.remove("openai") == "embedded"
    assert choosing.chooser.remove("gpu") == "embedded"
    kept = choosing.kept
    assert (kept.secrets, kept.order, kept.disabled, kept.default) == ((), (), (), "embedded")
    assert kept.providers == {"openai": {"ollama": {"preset": "ollama"}}}
    assert SecretStore(choosing.home.folder, None).get("openai/openai/key") is None


def test_a_server_of_anthropics_language_is_added_and_forgotten_like_the_others(home: Home) -> None:
    points = Installed(EntryPoint("anthropic", "lmbridge.providers.anthropic:AnthropicProvider", PROVIDERS))
    choosing = Choosing(home, points=points)
    choosing.chooser.add("anthropic")
    choosing.chooser.add("anthropic", "proxy", "http://h", "PROXY_KEY")
    assert choosing.ids == ["embedded", "anthropic", "proxy"]
    choosing.chooser.set_value("anthropic", "key", "sesame")
    assert choosing.kept.secrets == ("anthropic/anthropic/key",)
    choosing.chooser.remove("anthropic")
    assert choosing.ids == ["embedded", "proxy"]
    assert choosing.kept.secrets == ()


def test_a_server_that_cannot_be_is_not_added(choosing: Choosing) -> None:
    choosing.chooser.add("ollama")
    for preset, name, url, reason in (
        ("ollama", "", "", "'ollama' already"),
        ("vllm", "embedded", "", "'embedded' already"),
        ("vllm", "a/b", "", "cannot be the name"),
        (OTHER, "", "http://h", "cannot be the name"),
        (OTHER, "x", "", "has no `url`"),
        ("vllm", "x", "gpu:8000", "http://"),
    ):
        with pytest.raises(BridgeError, match=reason):
            choosing.chooser.add(preset, name, url)
    assert list(choosing.kept.providers["openai"]) == ["ollama"]


def test_a_server_of_the_file_is_not_forgotten_here(home: Home) -> None:
    choosing = Choosing(home, '[openai.mine]\nurl = "http://h"\n')
    with pytest.raises(InvalidRequest, match="taken out there"):
        choosing.chooser.remove("mine")
