"""Who answers where LM Studio should be."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.fakes.byte_server import ByteServer, always
from tests.fakes.lmstudio import fake_lmstudio
from tests.fakes.lmstudio.install import free_port
from tests.providers.lmstudio.conftest import MakeInstall, places_of, silence, web_page

from lmbridge.clients.http import HTTPClient
from lmbridge.clients.lmstudio import LMStudioSettings
from lmbridge.clients.lmstudio.identity import OURSELVES
from lmbridge.machine.lmstudio.home import Places
from lmbridge.providers.lmstudio import look as look_module
from lmbridge.providers.lmstudio.look import is_here, look, port_of

FOUND = LMStudioSettings()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_module, "QUESTION", 1.0)


async def test_a_running_server_is_found_by_its_files(folder: Path, http: HTTPClient, default_port: int) -> None:
    async with fake_lmstudio(folder) as fake:
        assert fake.install is not None
        seen = await look(FOUND, places_of(fake.install), http)
        assert (seen.url, seen.answers, seen.local) == (fake.url, True, True)
        assert seen.version == "0.4.25+1"
        assert seen.others == {}
        assert not any("authorization" in request.headers for request in fake.requests)


async def test_where_nothing_runs_the_address_is_where_it_would(
    make_install: MakeInstall, http: HTTPClient, default_port: int
) -> None:
    install = make_install()
    seen = await look(FOUND, places_of(install), http)
    assert (seen.url, seen.answers, seen.identity.kind) == (install.url, False, "down")
    assert seen.version == ""
    never_set = make_install(configured=False)
    seen = await look(FOUND, places_of(never_set), http)
    assert (seen.url, seen.answers) == (f"http://127.0.0.1:{default_port}", False)
    assert install.pid is None


async def test_an_address_in_the_settings_is_the_only_one(folder: Path, http: HTTPClient) -> None:
    async with fake_lmstudio(folder) as fake:
        assert fake.install is not None
        elsewhere = f"http://localhost:{free_port()}"
        seen = await look(LMStudioSettings(url=elsewhere), places_of(fake.install), http)
        assert (seen.url, seen.answers, seen.local) == (elsewhere, False, True)
        seen = await look(LMStudioSettings(url=elsewhere), places_of(fake.install), http, fake.port)
        assert (seen.url, seen.answers) == (fake.url, True)


async def test_its_command_is_asked_where_the_files_tell_no_port(
    make_install: MakeInstall, folder: Path, http: HTTPClient, tmp_path: Path
) -> None:
    async with fake_lmstudio(tmp_path / "another") as fake:
        install = make_install(configured=False, where="pointer")
        install.lms.write_text(f'#!/bin/sh\necho \'{{"running":true,"port":{fake.port}}}\'\n')
        seen = await look(FOUND, places_of(install), http)
        assert (seen.url, seen.answers) == (fake.url, True)


async def test_a_command_that_fails_is_no_hindrance(
    make_install: MakeInstall, http: HTTPClient, default_port: int
) -> None:
    install = make_install(configured=False, where="pointer")
    install.fault = "garbage"
    seen = await look(FOUND, places_of(install), http)
    assert (seen.url, seen.identity.kind) == (f"http://127.0.0.1:{default_port}", "down")


async def test_several_servers_are_told_apart(
    folder: Path, http: HTTPClient, default_port: int, tmp_path: Path
) -> None:
    async with (
        fake_lmstudio(folder) as fake,
        fake_lmstudio(tmp_path / "another", port=default_port) as other,
    ):
        assert fake.install is not None
        seen = await look(FOUND, places_of(fake.install), http)
        assert seen.url == fake.url
        assert {url: who.kind for url, who in seen.others.items()} == {other.url: "lmstudio"}
        fake.fault = "refuse"
        assert (await look(FOUND, places_of(fake.install), http)).url == other.url


async def test_another_program_on_its_port_is_foreign(
    make_install: MakeInstall, http: HTTPClient, default_port: int
) -> None:
    install = make_install()
    assert install.port is not None
    async with web_page(install.port), web_page(default_port):
        seen = await look(FOUND, places_of(install), http)
        assert (seen.url, seen.identity.kind) == (install.url, "foreign")
        assert [who.kind for who in seen.others.values()] == ["foreign"]
    async with silence(install.port):
        assert (await look(FOUND, places_of(install), http)).identity.kind == "silent"


async def test_a_running_program_that_is_not_lm_studio_has_no_version(folder: Path, http: HTTPClient) -> None:
    async with fake_lmstudio(folder) as fake:
        assert fake.install is not None
        file = fake.home / ".internal/http-server.json"
        for text in (f'{{"pid": 1, "port": {fake.port}}}', f'{{"pid": 1, "port": {free_port()}}}'):
            file.write_text(text)
            seen = await look(FOUND, places_of(fake.install), http)
            assert (seen.answers, seen.version) == (True, "")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:"),  # noqa: S104
        ("::", "http://127.0.0.1:"),
        ("localhost", "http://127.0.0.1:"),
        ("nonsense", "http://127.0.0.1:"),
        ("127.0.0.9", "http://127.0.0.1:"),
        ("127.0.0.1", "http://127.0.0.1:"),
        ("::1", "http://[::1]:"),
        ("192.0.2.7", "http://192.0.2.7:"),
    ],
)
async def test_it_is_asked_where_it_listens(
    make_install: MakeInstall, http: HTTPClient, host: str, url: str
) -> None:
    install = make_install()
    (install.home / ".internal/http-server-config.json").write_text(
        f'{{"port": {install.port}, "networkInterface": "{host}"}}'
    )
    assert (await look(FOUND, places_of(install), http)).url == f"{url}{install.port}"


async def test_from_wsl_the_windows_side_is_asked_by_both_ways(
    folder: Path, http: HTTPClient, tmp_path: Path
) -> None:
    root = tmp_path / "wsl"
    async with fake_lmstudio(folder) as fake:
        user = root / "mnt/c/Users/Ada"
        (user / ".lmstudio/bin").mkdir(parents=True)
        (user / ".lmstudio/bin/lms.exe").touch()
        (user / ".lmstudio/.internal").mkdir()
        (user / ".lmstudio/.internal/http-server-config.json").write_text(f'{{"port": {fake.port}}}')
        route = root / "proc/net/route"
        route.parent.mkdir(parents=True)
        # The default gateway is 127.0.0.1 here, as a hexadecimal number with its bytes reversed.
        route.write_text("Iface\tDestination\tGateway\neth0\t0000FEA9\t00000000\neth0\t00000000\t0100007F\n")
        places = Places({"WSL_DISTRO_NAME": "Ubuntu", "PATH": ""}, root / "home", "linux", root)
        seen = await look(FOUND, places, http)
        assert (seen.url, seen.answers, seen.local, seen.installation.windows) == (fake.url, True, True, True)
        for broken in ("Iface\neth0\t00000000\tZZ\n", ""):
            route.write_text(broken)
            assert (await look(FOUND, places, http)).answers
        on_linux = replace(places, environ={"PATH": ""})
        assert not (await look(FOUND, on_linux, http)).installation.windows


def test_addresses_of_this_computer_are_known() -> None:
    for url in ("http://localhost:1", "http://127.9.9.9", "http://[::1]:80", "http://lm.localhost"):
        assert is_here(url)
    for url in ("http://10.0.0.7:1234", "https://example.com", "http://localhost.example.com"):
        assert not is_here(url)
    assert (port_of("http://x:7"), port_of("http://x"), port_of("https://x")) == (7, 80, 443)


async def test_a_gateway_that_stands_in_is_lm_studio_only_for_who_names_its_address(
    make_install: MakeInstall, http: HTTPClient, default_port: int
) -> None:
    places = places_of(make_install(configured=False))
    async with stand_in(default_port, "another-process") as server:
        found = await look(FOUND, places, http)
        assert (found.answers, found.identity.kind) == (False, "foreign")
        assert found.identity.reason == "a gateway of lmbridge stands in for LM Studio there"
        assert (await look(LMStudioSettings(url=server.url), places, http)).answers


async def test_a_gateway_never_takes_itself_for_lm_studio(
    make_install: MakeInstall, http: HTTPClient, default_port: int
) -> None:
    places = places_of(make_install(configured=False))
    async with stand_in(default_port, OURSELVES) as server:
        for settings in (FOUND, LMStudioSettings(url=server.url)):
            seen = await look(settings, places, http)
            assert (seen.answers, seen.identity.reason) == (
                False,
                "this gateway itself stands in for LM Studio there",
            )


def stand_in(port: int, process: str) -> ByteServer:
    head = f"HTTP/1.1 200 OK\r\nx-lmbridge: {process}\r\ncontent-length: 17\r\n\r\n"
    return ByteServer(always(head.encode() + b'{"lmstudio":true}'), port=port)
