"""The small process between us and a server: it passes everything through, and ends the server with the pipe."""

import os
import subprocess
import sys

from lmbridge.machine.mcp import lifeline


def start(*command: str, grace: str = "0.2") -> tuple[subprocess.Popen[bytes], int]:
    """A server under a lifeline, and our end of the pipe."""
    theirs, ours = os.pipe()
    words = [sys.executable, "-I", "-S", lifeline.__file__, str(theirs), grace, *command]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=(theirs,)
    )
    os.close(theirs)
    return process, ours


def test_what_goes_in_and_out_is_the_servers_and_so_is_the_exit_status() -> None:
    code = "import sys; print(sys.stdin.read().upper()); sys.stderr.write('words'); sys.exit(4)"
    process, ours = start(sys.executable, "-c", code)
    out, err = process.communicate(b"hello", timeout=30)
    assert (out.strip(), err, process.returncode) == (b"HELLO", b"words", 4)
    os.close(ours)


def test_a_signal_that_ended_the_server_is_told_as_shells_tell_it() -> None:
    process, ours = start(sys.executable, "-c", "import os; os.kill(os.getpid(), 15)")
    process.communicate(timeout=30)
    assert process.returncode == 128 + 15
    os.close(ours)


def test_when_the_pipe_ends_the_server_is_asked_and_then_made_to_leave() -> None:
    code = "import signal, time\n{}print('up', flush=True)\nwhile True: time.sleep(60)"
    for polite, status in (("", 128 + 15), ("signal.signal(signal.SIGTERM, signal.SIG_IGN)\n", 128 + 9)):
        process, ours = start(sys.executable, "-c", code.format(polite))
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        os.close(ours)
        process.communicate(timeout=30)
        assert process.returncode == status


def test_a_program_that_cannot_be_run_is_named() -> None:
    process, ours = start("/no/such/program")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 127
    assert b"/no/such/program cannot be started" in err
    os.close(ours)
