"""What the operating system knows of child processes: ending with their parent, ending by force.

Linux answers through /proc and prctl. Elsewhere the questions about other processes have empty
answers, and a child ends with its parent only when the parent ends in order.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

# From <linux/prctl.h>: the signal that a process gets when its parent dies.
_PR_SET_PDEATHSIG = 1


def ends_with_parent(last_signal: signal.Signals) -> Callable[[], None] | None:
    """For `preexec_fn`: the child gets `last_signal` when the thread that starts it dies.

    It must run after the change of account, which clears the setting; `subprocess` does so.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask_for_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, int(last_signal))
        if os.getppid() != parent:
            os._exit(1)

    return ask_for_signal


def children_of(pid: int) -> tuple[int, ...]:
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return ()
    return tuple(int(child) for child in listed.split())


def kill_if_alive(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def runs_program(pid: int, name: str) -> bool:
    """Whether a process is alive and runs `name`: a recycled pid does not count."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == name
    except OSError:
        return False


def free_port(host: str) -> int:
    """A port that nobody listens on now. Another program may take it before it is used."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
