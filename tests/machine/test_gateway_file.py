import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from lmbridge.core.errors import AlreadyRunning, ConfigInvalid
from lmbridge.machine.gateway_file import NAME, GatewayFile, claimed, running


def a_file(pid: int | None = None, key: str = "secret-key") -> GatewayFile:
    made = GatewayFile.of_this_process("http://127.0.0.1:1235", key, "0.1.0")
    return made if pid is None else msgspec.structs.replace(made, pid=pid)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written = a_file()
    written.write(tmp_path)
    assert GatewayFile.read(tmp_path) == written


def test_there_is_nothing_to_read_before_the_first_write(tmp_path: Path) -> None:
    assert GatewayFile.read(tmp_path) is None
    assert GatewayFile.read(tmp_path / "missing") is None


def test_the_file_is_its_owners_alone_and_so_is_a_folder_made_for_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    path = a_file().write(home)
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_a_second_write_replaces_the_first_and_leaves_nothing_else_behind(tmp_path: Path) -> None:
    a_file(key="one").write(tmp_path)
    a_file(key="two").write(tmp_path)
    found = GatewayFile.read(tmp_path)
    assert found is not None
    assert found.key == "two"
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o666])
def test_a_file_open_to_other_users_is_refused(tmp_path: Path, mode: int) -> None:
    if os.name != "posix":
        return
    path = a_file().write(tmp_path)
    path.chmod(mode)
    with pytest.raises(ConfigInvalid, match="open to other users") as caught:
        GatewayFile.read(tmp_path)
    assert str(path) in caught.value.message
    assert "secret-key" not in str(caught.value)


def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    if os.name != "posix" or os.geteuid() != 0:
        return  # only root can give a file away
    path = a_file().write(tmp_path)
    os.chown(path, 12345, -1)
    with pytest.raises(ConfigInvalid, match="another user"):
        GatewayFile.read(tmp_path)


def test_a_link_or_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    if os.name != "posix":
        return
    elsewhere = tmp_path / "elsewhere"
    a_file().write(elsewhere)
    (tmp_path / NAME).symlink_to(elsewhere / NAME)
    with pytest.raises(ConfigInvalid):
        GatewayFile.read(tmp_path)
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    with pytest.raises(ConfigInvalid, match="not a plain file"):
        GatewayFile.read(tmp_path)


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b'{"url": 5}', b"\xff\xfe"])
def test_a_garbled_file_counts_as_none(tmp_path: Path, garbage: bytes) -> None:
    a_file().write(tmp_path).write_bytes(garbage)
    assert GatewayFile.read(tmp_path) is None


def test_a_gateway_is_alive_while_its_very_process_lives(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert a_file().alive
        # The id of a living process that was born at another moment: the id was given away again.
        assert not a_file(pid=child.pid).alive
        child.communicate(b"\n", timeout=10)


def test_a_file_that_does_not_know_its_birth_goes_by_the_process_id() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        unborn = msgspec.structs.replace(a_file(), pid=child.pid, born="")
        assert unborn.alive
        child.communicate(b"\n", timeout=10)
    assert not unborn.alive


def test_removing_spares_the_file_of_a_gateway_started_since(tmp_path: Path) -> None:
    first, second = a_file(key="one"), a_file(key="two")
    second.write(tmp_path)
    first.remove(tmp_path)
    assert GatewayFile.read(tmp_path) == second
    second.remove(tmp_path)
    assert GatewayFile.read(tmp_path) is None
    second.remove(tmp_path)


def test_the_key_is_not_shown_when_the_file_is_printed() -> None:
    assert "secret-key" not in repr(a_file())


def test_a_gateway_runs_while_its_process_lives_and_its_port_answers(tmp_path: Path) -> None:
    assert running(tmp_path) is None
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = msgspec.structs.replace(a_file(), url=f"http://127.0.0.1:{server.getsockname()[1]}")
        here.write(tmp_path)
        assert running(tmp_path) == here
        msgspec.structs.replace(here, born="another").write(tmp_path)
        assert running(tmp_path) is None
        here.write(tmp_path)
    assert running(tmp_path) is None


def test_an_address_that_is_none_counts_as_not_running(tmp_path: Path) -> None:
    msgspec.structs.replace(a_file(), url="http://127.0.0.1:99999").write(tmp_path)
    assert running(tmp_path) is None


HOLD = """
import sys
from pathlib import Path
from lmbridge.machine.gateway_file import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    input()
"""


def test_a_folder_has_one_gateway_at_a_time_and_a_killed_one_leaves_no_claim(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunning), claimed(tmp_path):
            pass
        a_file().write(tmp_path)
        with pytest.raises(AlreadyRunning, match=r"127\.0\.0\.1:1235") as caught, claimed(tmp_path):
            pass
        assert caught.value.pid == os.getpid()
        other.kill()
        other.wait(10)
    with claimed(tmp_path):
        pass
    with claimed(tmp_path):
        pass


def test_a_file_that_cannot_be_put_in_place_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    with pytest.raises(OSError, match=NAME):
        a_file().write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
