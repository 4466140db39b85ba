"""How a command ends: its exit code, and the one paragraph that says why.

    0    ok
    1    failed: what, where and how to mend it stand on standard error
    2    the command line or the catalog is wrong; nothing was done
    3    done, and found something: problems, mismatches, open dead letters, a cutover held up
    130  interrupted; what was finished is kept

A reader that goes away (`| head`) ends a command in silence, with 141 as for any other program.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

from replication_assets.errors import CatalogError, QueryError, ReplicationError, is_interrupt

OK, FAILED, USAGE, FOUND, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 3, 130, 141

CODES = (
    "Exit codes: 0 ok. 1 failed. 2 the command line or the catalog is wrong. 3 done, and found problems, "
    "mismatches, open dead letters or a closed gate. 130 interrupted; what was finished is kept."
)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, with what was kept of the work."""

    def __init__(self, kept: str) -> None:
        self.kept = kept
        super().__init__(kept)


def interrupt_on_signals() -> None:
    """SIGINT too: a shell that is not interactive starts programs with it ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def _interrupt(_: int, __: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def code_of(error: BaseException, *, debug: bool) -> int:
    """Tell an error on standard error; returns the exit code."""
    if isinstance(error, BrokenPipeError):
        _close_quietly()
        return PIPE_CLOSED
    if debug:
        _say(_without_secrets("".join(traceback.format_exception(error))).rstrip())
    if is_interrupt(error):
        kept = error.kept if isinstance(error, Interrupted) else "Nothing was left half-done."
        _say(f"Interrupted. {kept}")
        return INTERRUPTED
    if isinstance(error, ReplicationError):
        told(error)
        return USAGE if isinstance(error, CatalogError | QueryError) else FAILED
    if not debug:
        kind = type(error).__name__
        _say(f"Failed. {kind}, an error nobody thought of. Fix: run it again with --debug, and report it")
    return FAILED


def told(error: ReplicationError) -> None:
    """The one paragraph of an error, on standard error."""
    _say(_without_secrets(f"Failed. {_paragraph(error)}"))


def _paragraph(error: ReplicationError) -> str:
    if isinstance(error, CatalogError) and len(error.problems) == 1:
        return f"{error.where}: {error.problems[0]}"
    what = f"{error.where}: {error.what}" if error.where else error.what
    if not error.fix:
        return what
    return f"{what}{'' if what.endswith(('.', '!', '?')) else '.'} Fix: {error.fix}"


def _say(text: str) -> None:
    try:
        sys.stderr.write(text + "\n")
    except BrokenPipeError:
        _close_quietly()


def _close_quietly() -> None:
    """Nobody reads: what is still buffered goes nowhere, also when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _without_secrets(text: str) -> str:
    """Values that this process was given by reference, out of texts that others wrote."""
    loaded = sys.modules.get("replication_assets.secret_references")
    revealed: frozenset[str] = loaded.revealed() if loaded is not None else frozenset()
    for secret in sorted(revealed, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def end(code: int) -> NoReturn:
    """Flush while a closed pipe can still be told from a failure, and end at once.

    Threads of native libraries, of a read that was broken off say, can abort an interpreter that
    is taken down under them, and the exit code with it.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        _close_quietly()
    os._exit(code)
