"""Child processes that don't outlive us."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Thread

# Run by Python before it turns into the command, which is then signalled when its parent dies: by
# PR_SET_PDEATHSIG of prctl(2), which survives execve(2). The parent may be dead already, hence the
# look at its id. A `preexec_fn` would do the same, but isn't safe in a process with threads.
_DIE_WITH_PARENT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, int(sys.argv[1]))
if os.getppid() == int(sys.argv[2]):
    os.execv(sys.argv[3], sys.argv[3:])
"""


def spawn(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    log: Path,
    cwd: Path | None = None,
    at_our_end: signal.Signals = signal.SIGTERM,
    keep_open: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a process in a process group of its own, so that Ctrl-C leaves it for us to stop.

    On Linux it can't outlive us, however we end; elsewhere a SIGKILL of ours leaves it behind.

    Args:
        command: the path of an executable, and its arguments.
        log: where its output is appended.
        at_our_end: what it is sent when we die.
        keep_open: file descriptors that it inherits.

    Raises:
        OSError: the log can't be written or the process can't be started.
    """
    if sys.platform == "linux":
        told = [str(int(at_our_end)), str(os.getpid())]
        command = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, *told, *command]
    spawned: Future[subprocess.Popen[bytes]] = Future()

    def keep() -> None:
        try:
            with log.open("ab") as output:
                process = subprocess.Popen(
                    command,
                    cwd=cwd,
                    env=dict(env),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=keep_open,
                    process_group=0,
                )
        except OSError as error:
            spawned.set_exception(error)
            return
        spawned.set_result(process)
        process.wait()

    # To PR_SET_PDEATHSIG the parent is the thread that forked: it has to outlive the child.
    Thread(target=keep, name="keeper", daemon=True).start()
    return spawned.result()
