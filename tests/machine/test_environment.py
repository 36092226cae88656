"""What other programs see of our environment."""

from __future__ import annotations

import pytest

from lmbridge.machine.environment import child_environment, decides_code, engine_environment


@pytest.mark.parametrize(
    "name",
    [
        "OPENAI_API_KEY",
        "HF_TOKEN",
        "LM_API_TOKEN",
        "LMSTUDIO_API_TOKEN",
        "LMBRIDGE_API_KEY",
        "AWS_REGION",
        "GOOGLE_CLOUD_PROJECT",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "DYLD_INSERT_LIBRARIES",
        "PGPASSWORD",
        "MYSQL_PWD",
        "DB_PASS",
        "STRIPE_SECRET",
        "SERVICE_CREDENTIALS",
        "SECRET_KEY_BASE",
        "DB_PASSWORD_FILE",
        "GITHUB_PAT",
        "SSH_AUTH_SOCK",
        "KUBECONFIG",
        "NODE_OPTIONS",
        "ELECTRON_RUN_AS_NODE",
        "npm_config__authToken",
        "some_token",
    ],
)
def test_a_secret_or_a_loader_variable_is_not_passed_on(name: str) -> None:
    assert child_environment({name: "value", "PATH": "/bin"}) == {"PATH": "/bin"}


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "HOME",
        "PWD",
        "OLDPWD",
        "USERPROFILE",
        "DISPLAY",
        "XAUTHORITY",
        "XDG_RUNTIME_DIR",
        "DBUS_SESSION_BUS_ADDRESS",
        "LMS_SERVER_HOST",
        "KEYBOARD",
        "SSH_ASKPASS",
        "TOKENIZERS_PARALLELISM",
        "CUDA_VISIBLE_DEVICES",
        "LANG",
    ],
)
def test_what_a_program_may_need_is_passed_on(name: str) -> None:
    assert child_environment({name: "value"}) == {name: "value"}


def test_an_address_with_a_password_is_withheld_unless_it_is_a_proxy() -> None:
    mine = {
        "DATABASE_URL": "postgres://me:hush@db/x",
        "https_proxy": "http://me:hush@proxy:3128",
        "SITE": "http://x/",
    }
    assert set(child_environment(mine)) == {"https_proxy", "SITE"}


def test_without_an_argument_the_environment_of_this_process_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMBRIDGE_TEST_VISIBLE", "1")
    monkeypatch.setenv("LMBRIDGE_TEST_TOKEN", "hush")
    seen = child_environment()
    assert seen["LMBRIDGE_TEST_VISIBLE"] == "1"
    assert "LMBRIDGE_TEST_TOKEN" not in seen
    assert "LMBRIDGE_TEST_VISIBLE" not in engine_environment()


def test_an_engine_gets_no_variable_but_those_it_needs() -> None:
    mine = {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "x", "HF_TOKEN": "y", "LLAMA_ARG_HOST": "0.0.0.0"}  # noqa: S104
    assert engine_environment(mine) == {"PATH": "/bin", "GOMP_SPINCOUNT": "1000"}


@pytest.mark.parametrize("name", ["PATH", "Path", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "PYTHONPATH", "NODE_OPTIONS"])
def test_what_decides_which_code_is_run_is_known(name: str) -> None:
    assert decides_code(name)


@pytest.mark.parametrize("name", ["GITHUB_TOKEN", "NODE_AUTH_TOKEN", "PATH_TO_NOTES", "HOME"])
def test_what_does_not_is_let_be(name: str) -> None:
    assert not decides_code(name)
