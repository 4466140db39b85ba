"""How a credential is read from a person or a pipe: never as an argument, never echoed.

Arguments are in the shell's history and in the list of processes; a value on them is what
`secrets put` has no option for. Refused: a terminal that cannot stop echoing, two answers that
differ, bytes that are no text.
"""

from __future__ import annotations

import getpass
import sys
import warnings

from replication_assets.errors import SecretError
from replication_assets.secret_references import Secret
from replication_assets.secret_storing import MOST_BYTES

_FIX = 'pipe it in: printf %s "$VALUE" | replication-assets secrets put ...'


def read_value(whom: str) -> Secret:
    """Asked for twice on a terminal; elsewhere all of standard input, without its last line end."""
    return Secret(_asked(whom) if sys.stdin.isatty() else _piped(whom))


def _asked(whom: str) -> str:
    with warnings.catch_warnings():
        # getpass would go on, and show what is typed.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            first = getpass.getpass(f"Value of {whom} (not shown): ")
            if not first:
                raise SecretError("no value was given", where=whom, fix="type or paste one")
            again = getpass.getpass("Once more: ")
        except getpass.GetPassWarning:
            raise SecretError("this terminal shows what is typed", where=whom, fix=_FIX) from None
        except EOFError:
            raise SecretError("no value was given", where=whom, fix="type or paste one") from None
    if first != again:
        raise SecretError(
            "the two values differ", where=whom, fix="run it again; nothing was stored"
        ) from None
    return first


def _piped(whom: str) -> str:
    most = max(MOST_BYTES.values())
    given = sys.stdin.buffer.read(most + 3)
    try:
        text = given.decode()
    except UnicodeDecodeError:
        raise SecretError("what was piped in is not UTF-8 text", where=whom, fix=_FIX) from None
    text = text.removesuffix("\r\n" if text.endswith("\r\n") else "\n")
    if not text:
        raise SecretError("no value was piped in", where=whom, fix=_FIX)
    return text
