"""The program LM Studio: its states, starting and stopping it, against a real `lms` and a server of its own."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.fakes.lmstudio import GOOD_TOKEN, FakeInstall, fake_lmstudio
from tests.fakes.lmstudio.install import free_port
from tests.providers.lmstudio.conftest import MakeInstall, places_of, silence, web_page

from lmbridge.clients.lmstudio import LMStudioSettings
from lmbridge.core.errors import (
    CommandFailed,
    ForeignServer,
    InvalidRequest,
    ProviderUnavailable,
    RuntimeMissing,
)
from lmbridge.providers.lmstudio import look as look_module
from lmbridge.providers.lmstudio import switching
from lmbridge.providers.lmstudio.program import LMStudioProgram


@pytest.fixture
def program(make_install: MakeInstall, tmp_path: Path) -> LMStudioProgram:
    return program_of(make_install(), tmp_path)


def program_of(install: FakeInstall, tmp_path: Path, **settings: object) -> LMStudioProgram:
    told = LMStudioSettings(**settings)  # type: ignore[arg-type]
    return LMStudioProgram(told, home=tmp_path / "lmbridge", places=places_of(install))


# -- states ---------------------------------------------------------------------------------------


async def test_where_nothing_is_installed_the_command_installs_it(
    make_install: MakeInstall, tmp_path: Path
) -> None:
    install = make_install(app=False, bootstrapped=False)
    status = await program_of(install, tmp_path).status()
    assert (status.state, status.installed, status.server_running) == ("not_installed", False, False)
    assert "lmstudio.ai/install" in status.command


async def test_an_app_that_was_never_started_is_not_bootstrapped(
    make_install: MakeInstall, tmp_path: Path
) -> None:
    install = make_install(bootstrapped=False)
    status = await program_of(install, tmp_path).status()
    assert (status.state, status.app_path, status.lms_path) == ("not_bootstrapped", str(install.app), None)
    assert status.command == "lmbridge lmstudio bootstrap"


async def test_a_server_that_is_down_is_started_by_the_command(program: LMStudioProgram) -> None:
    status = await program.status()
    assert (status.state, status.bootstrapped, status.server_running) == ("server_down", True, False)
    assert (status.command, status.version) == ("lmbridge lmstudio start", "")


async def test_a_look_wakes_nothing_and_changes_nothing(make_install: MakeInstall, tmp_path: Path) -> None:
    install = make_install()
    before = {path: path.read_bytes() for path in install.user_home.rglob("*") if path.is_file()}
    program = program_of(install, tmp_path)
    await program.status()
    assert {path: path.read_bytes() for path in install.user_home.rglob("*") if path.is_file()} == before
    assert install.pid is None


async def test_a_server_that_answers_is_ready_and_tells_what_is_in_memory(folder: Path, tmp_path: Path) -> None:
    async with fake_lmstudio(folder) as fake:
        assert fake.install is not None
        key = next(model.key for model in fake.models if model.kind == "llm")
        fake.hold(key)
        fake.hold(key)
        status = await program_of(fake.install, tmp_path).status()
        assert (status.state, status.api_endpoint, status.command) == ("ready", fake.url, "")
        assert (status.current_model, status.models_loaded) == (key, (key, f"{key}:2"))
        assert (status.version, status.started_by_us) == ("0.4.25+1", False)
        assert dict(status)["installed"] is True


async def test_a_server_that_wants_a_token_is_up(folder: Path, tmp_path: Path) -> None:
    async with fake_lmstudio(folder, token=GOOD_TOKEN) as fake:
        assert fake.install is not None
        status = await program_of(fake.install, tmp_path).status()
        assert (status.state, status.server_running) == ("needs_token", True)
        assert "LM_API_TOKEN" in status.command
        with_token = await program_of(fake.install, tmp_path, token=GOOD_TOKEN).status()
        assert with_token.state == "ready"
        assert GOOD_TOKEN not in repr(program_of(fake.install, tmp_path, token=GOOD_TOKEN))


async def test_another_program_on_the_port_is_told_and_gets_no_token(
    make_install: MakeInstall, tmp_path: Path
) -> None:
    install = make_install()
    assert install.port is not None
    async with web_page(install.port):
        status = await program_of(install, tmp_path, token=GOOD_TOKEN).status()
    assert (status.state, status.server_running) == ("foreign", False)
    assert status.command.startswith("lmbridge lmstudio start --port ")
    assert "(pid " in status.detail


async def test_an_lm_studio_that_does_not_answer_is_told_by_its_process(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_module, "QUESTION", 0.5)
    async with fake_lmstudio(folder) as fake:
        assert fake.install is not None
        fake.fault = "hang"
        status = await program_of(fake.install, tmp_path).status()
        assert (status.state, status.server_running) == ("server_down", False)
        assert "stop && lmbridge lmstudio start" in status.command
        fake.fault = ""
        fake.inject("500", "GET /api/v1/models")
        status = await program_of(fake.install, tmp_path).status()
        assert (status.state, status.server_running) == ("server_down", True)
        assert "greeting" in status.detail


async def test_the_models_are_remembered_with_their_age(folder: Path, tmp_path: Path) -> None:
    async with fake_lmstudio(folder) as fake:
        assert fake.install is not None
        program = program_of(fake.install, tmp_path)
        assert program.cached_models() == []
        await program.status()
        kept = program.cached_models()
        assert {model.key for model in kept} == {model.key for model in fake.models}
        assert all(model.stale_s > 0 and not model.loaded for model in kept)


# -- starting and stopping ------------------------------------------------------------------------


async def test_a_cold_server_is_started_watched_and_stopped_on_request(
    make_install: MakeInstall, tmp_path: Path
) -> None:
    install = make_install()
    program, told = program_of(install, tmp_path), list[tuple[str, float]]()
    status = await program.start(waiting=lambda stage, seconds: told.append((stage, seconds)))
    assert (status.state, status.api_endpoint, status.started_by_us) == ("ready", install.url, True)
    assert told[0][0] == "starting LM Studio"
    assert told[-1][0] == "waiting for its API"
    assert [seconds for _, seconds in told] == sorted(seconds for _, seconds in told)
    # Another process knows it, too.
    assert (await program_of(install, tmp_path).status()).started_by_us
    stopped = await program.stop()
    assert (stopped.state, stopped.server_running, stopped.started_by_us) == ("server_down", False, False)
    assert install.pid is not None  # LM Studio itself goes on
    # Whoever starts it now is not us, although it is the same process.
    assert await asyncio.to_thread(install.run, "server", "start")
    assert not (await program.status()).started_by_us


async def test_a_server_that_answers_is_left_as_it_is(folder: Path, tmp_path: Path) -> None:
    async with fake_lmstudio(folder) as fake:
        assert fake.install is not None
        fake.cors = True
        fake.install.fault = "fails"  # it is not even asked
        status = await program_of(fake.install, tmp_path).start()
        assert (status.state, status.started_by_us, fake.cors) == ("ready", False, True)


async def test_address_and_cors_are_kept_as_lm_studio_has_them(make_install: MakeInstall, tmp_path: Path) -> None:
    install = make_install()
    settings = install.home / ".internal/http-server-config.json"
    told = json.loads(settings.read_text()) | {"cors": True, "networkInterface": "0.0.0.0"}  # noqa: S104
    settings.write_text(json.dumps(told))
    program = program_of(install, tmp_path)
    assert (await program.start()).state == "ready"
    after = json.loads(settings.read_text())
    assert (after["cors"], after["networkInterface"]) == (True, "0.0.0.0")  # noqa: S104


async def test_a_port_may_be_chosen(make_install: MakeInstall, tmp_path: Path) -> None:
    install, port = make_install(), free_port()
    program = program_of(install, tmp_path)
    status = await program.start(port=port)
    assert status.api_endpoint == f"http://127.0.0.1:{port}"
    assert (await program.start(port=port)).state == "ready"
    with pytest.raises(InvalidRequest, match="not on port 4321"):
        await program.start(port=4321)


async def test_the_port_of_the_settings_is_used_and_another_one_is_told(
    make_install: MakeInstall, tmp_path: Path
) -> None:
    install, port = make_install(), free_port()
    program = program_of(install, tmp_path, url=f"http://localhost:{port}/v1")
    status = await program.start()
    assert (status.state, status.detail.count("set to look")) == ("ready", 0)
    assert (await program.status()).api_endpoint == f"http://localhost:{port}"
    await program.stop()
    other = await program.start(port=free_port())
    assert f"set to look for it at http://localhost:{port}" in other.detail


async def test_a_token_that_is_missing_does_not_keep_it_from_starting(
    make_install: MakeInstall, tmp_path: Path
) -> None:
    install = make_install(token=GOOD_TOKEN)
    assert (await program_of(install, tmp_path).start()).state == "needs_token"


async def test_the_routes_are_waited_for_after_the_port(make_install: MakeInstall, tmp_path: Path) -> None:
    install = make_install()
    install.inject_server("error-200", "GET /api/v1/models", times=2)
    install.inject_server("error-200", "GET /api/v0/models", times=2)
    install.inject_server("error-200", "GET /v1/models", times=2)
    assert (await program_of(install, tmp_path).start()).state == "ready"


async def test_a_port_that_another_program_holds_is_told_before_anything_is_started(
    make_install: MakeInstall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_module, "QUESTION", 0.5)
    install = make_install()
    assert install.port is not None
    program = program_of(install, tmp_path)
    for other in (web_page, silence):
        async with other(install.port):
            with pytest.raises(ForeignServer, match=r"--port 12\d\d"):
                await program.start()
    assert install.pid is None


async def test_a_command_that_believes_it_has_the_port_is_not_believed(
    make_install: MakeInstall, tmp_path: Path
) -> None:
    install, taken = make_install(), free_port()
    install.fault = "believes"
    # It is not seen at first: its program begins to listen while LM Studio starts.
    script = f"#!/bin/sh\necho 'Success! Server is now running on port {taken}' >&2\n"
    program = program_of(install, tmp_path, start_timeout=0.5)
    install.lms.write_text(script)
    seen: list[str] = []
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        listening = asyncio.Event()

        async def listen() -> None:
            async with web_page(taken):
                await listening.wait()

        def tell(stage: str, seconds: float) -> None:
            if not seen:
                group.create_task(listen())
            seen.append(stage)

        with pytest.raises(ForeignServer, match="Something other than the provider 'lmstudio'"):
            await program.start(port=taken, waiting=tell)
        listening.set()


async def test_patience_ends_with_a_reason(
    make_install: MakeInstall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switching, "LEAST_WAIT", 0.2)
    install = make_install()
    program = program_of(install, tmp_path, start_timeout=2)
    install.lms.write_text("#!/bin/sh\nexit 0\n")
    with pytest.raises(ProviderUnavailable, match=r"did not answer at .* within .*refused") as caught:
        await program.start()
    assert "lmbridge lmstudio status" in caught.value.hint


@pytest.mark.parametrize("fault", ["fails", "fails-mutely", "asks", "killed", "unknown-option", "never-ends"])
async def test_a_command_that_fails_is_told_with_its_own_words(
    make_install: MakeInstall, tmp_path: Path, fault: str
) -> None:
    install = make_install()
    install.inject(fault, "server start")
    program = program_of(install, tmp_path, start_timeout=2)
    with pytest.raises(CommandFailed, match="lms server start") as caught:
        await program.start()
    assert "lmbridge lmstudio status" in caught.value.hint


async def test_a_failure_after_which_the_server_runs_is_none(make_install: MakeInstall, tmp_path: Path) -> None:
    install = make_install()
    program = program_of(install, tmp_path)
    real = install.lms.rename(install.lms.with_name("lms-real"))
    install.lms.write_text(f'#!/bin/sh\n"{real}" "$@"\nexit 1\n')
    install.lms.chmod(0o755)
    assert (await program.start()).state == "ready"
    assert (await program.stop()).state == "server_down"


async def test_two_starts_at_once_start_it_once(make_install: MakeInstall, tmp_path: Path) -> None:
    install = make_install()
    log = install.home / "asked"
    real = install.lms.rename(install.lms.with_name("lms-real"))
    install.lms.write_text(f'#!/bin/sh\necho "$@" >> "{log}"\nexec "{real}" "$@"\n')
    install.lms.chmod(0o755)
    async with asyncio.timeout(100), asyncio.TaskGroup() as group:
        starts = [group.create_task(program_of(install, tmp_path).start()) for _ in range(3)]
    assert all(start.result().state == "ready" for start in starts)
    assert [line for line in log.read_text().splitlines() if line.startswith("server start")] == ["server start"]


async def test_a_start_that_is_cancelled_leaves_no_lock(make_install: MakeInstall, tmp_path: Path) -> None:
    install = make_install()
    install.inject("never-ends", "server start")
    program = program_of(install, tmp_path)
    begun = asyncio.Event()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(program.start(waiting=lambda *_: begun.set()))
        await begun.wait()
        task.cancel()
    install.fault = ""
    assert (await program.start()).state == "ready"


async def test_a_folder_that_cannot_be_written_keeps_nobody_from_starting(
    make_install: MakeInstall, tmp_path: Path
) -> None:
    (tmp_path / "lmbridge").write_text("a file where the folder should be")
    status = await program_of(make_install(), tmp_path).start()
    assert (status.state, status.started_by_us) == ("ready", False)


async def test_without_its_command_nothing_is_started(make_install: MakeInstall, tmp_path: Path) -> None:
    program = program_of(make_install(bootstrapped=False), tmp_path)
    with pytest.raises(RuntimeMissing, match="lmbridge lmstudio bootstrap"):
        await program.start()
    with pytest.raises(RuntimeMissing):
        async with program.log():
            pass
    nothing = program_of(make_install(app=False, bootstrapped=False), tmp_path / "b")
    nothing = LMStudioProgram(
        nothing.settings, home=tmp_path, places=replace(nothing.places, user_home=tmp_path, root=tmp_path)
    )
    with pytest.raises(RuntimeMissing, match="installs its daemon"):
        await nothing.start()
    with pytest.raises(RuntimeMissing, match="installs its daemon"):
        await nothing.bootstrap()
    with pytest.raises(RuntimeMissing, match="installs its daemon"):
        await nothing.headless_plan()


async def test_on_another_computer_nothing_is_started_or_stopped(
    make_install: MakeInstall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An address of another computer that answers at once: this one's, which is not called its own.
    install = make_install()
    monkeypatch.setattr(look_module, "is_here", lambda url: False)
    program = program_of(install, tmp_path, url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ProviderUnavailable, match="on another computer"):
        await program.start()
    assert (await program.stop()).state == "server_down"
    async with fake_lmstudio(tmp_path / "far") as fake:
        far = program_of(install, tmp_path, url=fake.url)
        assert (await far.start()).state == "ready"
        with pytest.raises(ProviderUnavailable, match="Stop it there"):
            await far.stop()
    assert install.pid is None


async def test_the_version_of_its_command_is_told_where_asking_it_changes_nothing(
    make_install: MakeInstall, tmp_path: Path
) -> None:
    install = make_install(where="pointer")
    program = program_of(install, tmp_path)
    assert (await program.status()).version.startswith("lms ")
    install.fault = "fails"
    assert (await program.status()).version == ""


async def test_stopping_what_does_not_run_is_no_error(program: LMStudioProgram) -> None:
    assert (await program.stop()).state == "server_down"


async def test_what_is_not_there_or_not_lm_studio_is_not_stopped(
    make_install: MakeInstall, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeMissing):
        await program_of(make_install(bootstrapped=False), tmp_path).stop()
    install = make_install()
    assert install.port is not None
    async with web_page(install.port):
        with pytest.raises(ForeignServer):
            await program_of(install, tmp_path).stop()


async def test_a_stop_that_did_not_stop_is_an_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switching, "STOPPED_WITHIN", 0.3)
    async with fake_lmstudio(folder) as fake:
        assert fake.install is not None
        program = program_of(fake.install, tmp_path)
        fake.install.lms.write_text("#!/bin/sh\nexit 0\n")
        with pytest.raises(CommandFailed, match="still answers"):
            await program.stop()
        fake.install.lms.write_text("#!/bin/sh\necho 'Error: no permission' >&2\nexit 1\n")
        with pytest.raises(CommandFailed, match="no permission"):
            await program.stop()


# -- the rest -------------------------------------------------------------------------------------


async def test_bootstrap_starts_the_app_once_and_puts_the_command_on_path(
    make_install: MakeInstall, tmp_path: Path
) -> None:
    install = make_install(bootstrapped=False)
    program, told = program_of(install, tmp_path), list[str]()
    status = await program.bootstrap(waiting=lambda stage, _: told.append(stage))
    assert (status.bootstrapped, status.lms_path) == (True, str(install.lms))
    assert told[-1] == "putting its command on PATH"
    assert str(install.lms.parent) in (install.user_home / ".profile").read_text()
    assert (await program.start()).state == "ready"


async def test_an_app_that_does_not_bring_its_command_is_told(make_install: MakeInstall, tmp_path: Path) -> None:
    install = make_install(bootstrapped=False)
    install.app.write_text("#!/bin/sh\nexit 0\n")
    with pytest.raises(CommandFailed, match=r"its command did not come within 0\.5 s"):
        await program_of(install, tmp_path, start_timeout=0.5).bootstrap()


async def test_a_client_knows_the_command_of_this_computer_only(folder: Path, tmp_path: Path) -> None:
    async with fake_lmstudio(folder) as fake:
        assert fake.install is not None
        program = program_of(fake.install, tmp_path)
        async with await program.connect() as client:
            assert client.url == fake.url
            await client.check()
            assert {model.key for model in await client.fetch_models()} == {model.key for model in fake.models}


async def test_the_headless_setup_is_planned_then_applied(make_install: MakeInstall, tmp_path: Path) -> None:
    install = make_install(app=False, llmster=True)
    program, told = program_of(install, tmp_path), list[str]()
    steps = await program.headless_plan()
    assert [step.key or " ".join(step.command) for step in steps] == ["autoStartOnLaunch", "lms daemon up"]
    backups = await program.headless_apply(steps, waiting=lambda stage, _: told.append(stage))
    assert [backup.parent.name for backup in backups] == [".internal"]
    assert install.pid is not None
    assert "starting LM Studio" in told
    # The server came up with the daemon, as planned.
    ends = time.monotonic() + 20
    while (status := await program.status()).state != "ready" and time.monotonic() < ends:
        pass
    assert (status.state, status.started_by_us) == ("ready", False)


async def test_the_log_is_read_line_by_line(program: LMStudioProgram) -> None:
    await program.start()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group, program.log("server") as lines:
        first = group.create_task(anext(lines))  # type: ignore[arg-type]
        while not first.done():
            await program.status()
        assert json.loads(first.result())["data"]["type"] == "server.log"
