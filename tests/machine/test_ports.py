import os
import socket
from pathlib import Path

import pytest

from lmbridge.machine import ports

PROC_NET_TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:04D3 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0
   1: 0100007F:04D3 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0 20 4 30 10 -1
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0
   3: short line
"""

NETSTAT = """\

Aktive Verbindungen

  Proto  Lokale Adresse         Remoteadresse          Status           PID
  TCP    127.0.0.1:1235         0.0.0.0:0              ABHÖREN          4711
  TCP    127.0.0.1:1235         127.0.0.1:50000        HERGESTELLT      4712
  TCP    [::]:135               [::]:0                 ABHÖREN          900
"""


def test_the_process_that_listens_on_a_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = ports.holder(server.getsockname()[1])
    assert found.endswith(f"(pid {os.getpid()})")
    assert found != f"(pid {os.getpid()})"


def test_a_listener_on_ipv6_is_found_too() -> None:
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        return  # a machine without IPv6: there is nothing to find
    with server:
        assert f"pid {os.getpid()}" in ports.holder(server.getsockname()[1])


def test_nobody_holds_a_port_that_is_free_or_only_connected_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            client_port = client.getsockname()[1]
            assert ports.holder(client_port) == ""
        port = server.getsockname()[1]
    assert ports.holder(port) == ""


def test_only_listening_sockets_of_that_port_count() -> None:
    assert list(ports.listening_inodes(PROC_NET_TCP.splitlines(), 1235)) == ["4711"]
    assert list(ports.listening_inodes(PROC_NET_TCP.splitlines(), 22)) == ["4713"]


@pytest.mark.parametrize(("port", "pid"), [(1235, 4711), (135, 900), (50000, None), (35, None)])
def test_netstat_is_read_in_any_language(port: int, pid: int | None) -> None:
    assert ports.pid_in_netstat(NETSTAT, port) == pid


@pytest.mark.parametrize(
    ("program", "printed"),
    [("lsof", "p4711\nf5\n"), ("netstat", "  TCP  127.0.0.1:1235  0.0.0.0:0  LISTENING  4711\n")],
)
def test_where_there_is_no_proc_the_systems_own_program_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, printed: str
) -> None:
    stand_in = tmp_path / program
    stand_in.write_text(f"#!/bin/sh\nprintf '{printed}'\n")
    stand_in.chmod(0o755)
    monkeypatch.setattr(ports, "PLATFORM", "another")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "pid 4711" in ports.holder(1235)


def test_without_any_such_program_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "PLATFORM", "another")
    monkeypatch.setenv("PATH", "/nowhere")
    assert ports.holder(1235) == ""
