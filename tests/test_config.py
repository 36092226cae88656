from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from lmbridge.config import load_config
from lmbridge.core.errors import ConfigInvalid
from lmbridge.core.models import LoadOptions
from lmbridge.machine.choices import change_choices
from lmbridge.machine.secrets import SecretStore


def env(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"LMBRIDGE_HOME": str(tmp_path), **more}


def write(tmp_path: Path, text: str) -> None:
    (tmp_path / "lmbridge.toml").write_text(text)


def test_without_a_file_everything_has_its_default(tmp_path: Path) -> None:
    config = load_config(environ=env(tmp_path))
    assert (config.home, config.model, config.use_gateway, config.source) == (tmp_path, "", True, "")
    assert (config.gateway.host, config.gateway.port) == ("127.0.0.1", 1235)


def test_the_file_is_read_and_the_environment_wins_over_it(tmp_path: Path) -> None:
    write(tmp_path, 'model = "a"\n[gateway]\nport = 2\ncors = ["http://x"]\n[load]\nparallel = 3\nttl = 9\n')
    config = load_config(
        environ=env(tmp_path, LMBRIDGE_GATEWAY_PORT="3", LMBRIDGE_LOAD_TTL="1.5", LMBRIDGE_LOAD_KV_TYPE="q8_0")
    )
    assert config.model == "a"
    assert (config.gateway.port, config.gateway.cors) == (3, ("http://x",))
    assert config.load == LoadOptions(parallel=3, ttl=1.5, kv_type="q8_0")
    assert config.source == str(tmp_path / "lmbridge.toml")


def test_tables_of_providers_are_carried_as_they_are(tmp_path: Path) -> None:
    write(tmp_path, '[openai.ollama]\nurl = "http://localhost:11434"\n[embedded]\nfolders = ["x"]\n')
    config = load_config(environ=env(tmp_path, LMBRIDGE_EMBEDDED_LLAMA_SERVER="/bin/s"))
    assert config.providers == {
        "openai": {"ollama": {"url": "http://localhost:11434"}},
        "embedded": {"folders": ["x"], "llama_server": "/bin/s"},
    }


def test_lists_in_the_environment_are_separated_by_commas(tmp_path: Path) -> None:
    config = load_config(environ=env(tmp_path, LMBRIDGE_GATEWAY_CORS="http://a,http://b"))
    assert config.gateway.cors == ("http://a", "http://b")


def test_what_becomes_of_models_in_memory_is_said_for_every_caller(tmp_path: Path) -> None:
    write(tmp_path, "jit = false\nauto_evict = true\n")
    config = load_config(environ=env(tmp_path, LMBRIDGE_TRUNCATE="true", LMBRIDGE_AUTO_EVICT="0"))
    assert (config.jit, config.auto_evict, config.truncate) == (False, False, True)
    with pytest.raises(ConfigInvalid, match="LMBRIDGE_JIT: setting 'jit': expected true or false"):
        load_config(environ=env(tmp_path, LMBRIDGE_JIT="perhaps"))


def test_switches_for_one_run_are_no_settings(tmp_path: Path) -> None:
    assert not load_config(environ=env(tmp_path, LMBRIDGE_NO_GATEWAY="1", LMBRIDGE_DEBUG="1")).use_gateway


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("modle = 'a'", "unknown setting 'modle'. Did you mean 'model'?"),
        ("[gateway]\nprot = 1", "unknown setting gateway.prot. Did you mean 'port'?"),
        ("[gateway]\nport = 'x'", "setting 'gateway.port': expected a whole number, got a string."),
        ("[gateway]\nport = 99999", "setting 'gateway.port': expected a whole number <= 65535."),
        ("[gateway]\nmax_body = 0", "setting 'gateway.max_body'"),
        ("[gateway]\nheartbeat_s = -1", "setting 'gateway.heartbeat_s'"),
        ("[gateway]\ncors = ['https://a.example', 3]", "setting 'gateway.cors': expected a string"),
        ("[load]\nparallel = 0", "setting 'load.parallel'"),
        ("[load]\nnonsense = 1", "The table [load] has: context_length, "),
        ("gateway = 1", "setting 'gateway': expected a table, got a whole number."),
        ("model = 3", "setting 'model': expected a string, got a whole number."),
        ("model = ", "is not TOML"),
        (
            "[load]\nkv_type = 'f99'",
            "setting 'load.kv_type': invalid enum value 'f99'. It may be f16, q8_0, q4_0.",
        ),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    write(tmp_path, text)
    with pytest.raises(ConfigInvalid, match=r"lmbridge\.toml") as caught:
        load_config(environ=env(tmp_path))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("LMBRIDGE_GATEWAY_PORT", "many", "expected a whole number"),
        ("LMBRIDGE_GATEWAY_PORT", "65536", "<= 65535"),
        ("LMBRIDGE_LOAD_PARALLEL", "0", ">= 1"),
        ("LMBRIDGE_LOAD_KV_TYPE", "f99", "It may be f16, q8_0, q4_0."),
        ("LMBRIDGE_MODLE", "x", "Did you mean 'LMBRIDGE_MODEL'?"),
        ("LMBRIDGE_GATEWAY_PROT", "1", "Did you mean 'LMBRIDGE_GATEWAY_PORT'?"),
        ("LMBRIDGE_USE_GATEWAY", "maybe", "expected true or false"),
    ],
)
def test_a_mistake_in_the_environment_is_named(tmp_path: Path, name: str, value: str, says: str) -> None:
    with pytest.raises(ConfigInvalid, match=name) as caught:
        load_config(environ=env(tmp_path, **{name: value}))
    assert says in str(caught.value)


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="no such file"):
        load_config(tmp_path / "nowhere.toml", environ=env(tmp_path))
    with pytest.raises(ConfigInvalid, match="no such file"):
        load_config(environ=env(tmp_path, LMBRIDGE_CONFIG=str(tmp_path / "nowhere.toml")))


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_told_without_codes_of_the_system(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "lmbridge.toml"
    file.mkdir() if content is None else file.write_bytes(content)
    with pytest.raises(ConfigInvalid, match="cannot be read: ") as caught:
        load_config(environ=env(tmp_path))
    assert "Errno" not in str(caught.value)
    assert "codec" not in str(caught.value)


def test_a_list_comes_from_the_environment_with_commas(tmp_path: Path) -> None:
    found = load_config(environ={"LMBRIDGE_HOME": str(tmp_path), "LMBRIDGE_DISABLED": "lmstudio, embedded,"})
    assert found.disabled == ("lmstudio", "embedded")


def test_other_programs_variables_stand_for_settings_of_lm_studio(tmp_path: Path) -> None:
    (tmp_path / "lmbridge.toml").write_text('[lmstudio]\nurl = "http://file:1"\nmodel = "m"\n')
    env = {"LMBRIDGE_HOME": str(tmp_path), "LMSTUDIO_BASE_URL": "http://theirs:2/v1", "LM_API_TOKEN": "t"}
    assert load_config(environ=env).providers["lmstudio"] == {"url": "http://theirs:2", "model": "m", "token": "t"}
    ours = load_config(environ={**env, "LMBRIDGE_LMSTUDIO_URL": "http://ours:3"})
    assert ours.providers["lmstudio"]["url"] == "http://ours:3"
    with pytest.raises(ConfigInvalid, match="CODEX_OSS_PORT"):
        load_config(environ={"LMBRIDGE_HOME": str(tmp_path), "CODEX_OSS_PORT": "many"})


def test_tables_of_mcp_servers_are_carried_as_they_are_even_bad_ones(tmp_path: Path) -> None:
    write(tmp_path, '[mcp.files]\ncommand = "npx"\n[mcp.bad]\ncomand = 7\n')
    config = load_config(environ=env(tmp_path))
    assert config.mcp == {"files": {"command": "npx"}, "bad": {"comand": 7}}
    assert config.source == str(tmp_path / "lmbridge.toml")
    write(tmp_path, "mcp = true\n")
    with pytest.raises(ConfigInvalid, match=r"\[mcp\.NAME\]"):
        load_config(environ=env(tmp_path))


def kept(tmp_path: Path, **choices: object) -> None:
    change_choices(tmp_path, lambda now: msgspec.structs.replace(now, **choices))


def test_what_lmbridge_providers_was_told_is_below_the_file_and_the_environment(tmp_path: Path) -> None:
    tables = {"lmstudio": {"fast": "kept", "model": "kept"}, "openai": {"a": {"url": "http://kept"}}}
    kept(tmp_path, default="a", order=("b", "a"), disabled=("x",), providers=tables)
    (tmp_path / "lmbridge.toml").write_text(
        'disabled = ["y"]\n[lmstudio]\nfast = "file"\n[openai.a]\nkey_env = "K"\n[openai.b]\nurl = "http://b"\n'
    )
    env = {"LMBRIDGE_HOME": str(tmp_path), "LMBRIDGE_LMSTUDIO_MODEL": "env"}
    config = load_config(environ=env)
    assert config.providers["lmstudio"] == {"fast": "file", "model": "env"}
    assert config.providers["openai"] == {"a": {"url": "http://kept", "key_env": "K"}, "b": {"url": "http://b"}}
    assert (config.default_provider, config.provider_order, config.disabled) == ("a", ("b", "a"), ("y", "x"))
    env |= {"LMBRIDGE_DEFAULT_PROVIDER": "b", "LMBRIDGE_PROVIDER_ORDER": "a,b"}
    assert load_config(environ=env).default_provider == "b"
    assert load_config(environ=env).provider_order == ("a", "b")


def test_a_secret_that_is_kept_is_a_setting_unless_the_file_says_another(tmp_path: Path) -> None:
    SecretStore(tmp_path, None).put("lmstudio/token", "sesame")
    SecretStore(tmp_path, None).put("extensions/x/token", "open")
    kept(tmp_path, secrets=("lmstudio/token", "extensions/x/token"))
    env = {"LMBRIDGE_HOME": str(tmp_path)}
    assert load_config(environ=env).providers == {"lmstudio": {"token": "sesame"}}
    assert load_config(environ=env).extensions == {"x": {"token": "open"}}
    (tmp_path / "lmbridge.toml").write_text('[lmstudio]\ntoken = "mine"\n[extensions.x]\ncount = true\n')
    assert load_config(environ=env).providers == {"lmstudio": {"token": "mine"}}
    assert load_config(environ=env).extensions == {"x": {"token": "open", "count": True}}


def test_extensions_have_tables_and_variables_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "lmbridge.toml").write_text("[extensions.x]\ncount = true\n")
    env = {"LMBRIDGE_HOME": str(tmp_path), "LMBRIDGE_EXTENSIONS_X_TOKEN": "t"}
    config = load_config(environ=env)
    assert (config.extensions, config.extension_variables) == ({"x": {"count": True}}, {"x_token": "t"})
    assert config.providers == {}
    assert config.source
    for wrong in ("extensions = 5\n", "[extensions]\nx = 5\n"):
        (tmp_path / "lmbridge.toml").write_text(wrong)
        with pytest.raises(ConfigInvalid, match=r"\[extensions\.NAME\]"):
            load_config(environ=env)
