"""What readers and writers of Oracle know alike of its driver's errors: which number it is, and which numbers
pass. The driver itself, and the errors of the project that these become, are each side's own.

Messages of the server are not looked at: many quote values.
"""

from __future__ import annotations

_LOST = frozenset({28, 1012, 1033, 1034, 1089, 1090, 1092, 1109, 2396, 3113, 3114, 3135, 3136, 12153, 12170})
_LISTENER = frozenset({12500, 12505, 12514, 12516, 12518, 12519, 12520, 12521, 12526, 12528, 12537, 12541})
_BUSY = frozenset({18, 20, 60, 1013, 1555, 1628, 4020, 4021, 4068, 25408, 30036})
_LOB_TOO_OLD = 22924
PASSING = _LOST | _LISTENER | _BUSY | {_LOB_TOO_OLD}
"""The session is gone or the database is starting or closing, nobody answers for the service, somebody else
was first, there is no room for undo, or what was read was overwritten."""
BLOCKED = frozenset({54, 51, 2049, 30006, 1466, 8103, 8176})
"""A table is held, or is another one than when the statement began."""

LOGIN_MEANINGS = {
    1017: ("the login was refused", "check `user` and the password"),
    1045: ("the account may not log in", "GRANT CREATE SESSION to it"),
    12514: ("the listener knows no such service", "check `service`"),
    12541: ("nobody listens there", "check `host` and `port`, and that the listener runs"),
    28000: ("the account is locked", "ALTER USER ... ACCOUNT UNLOCK"),
    28001: ("the password has expired", "give the account a password that has not expired"),
}

SEVERED = ("DPY-1001", "DPY-4011", "DPY-4024", "DPY-6005")
"""Codes of the driver for a connection that is not there (any more)."""


def code_of(error: BaseException) -> str:
    """`ORA-00942`, or `DPY-4011` for an error of the driver's own; empty if it says none."""
    told = error.args[0] if error.args else None
    return str(getattr(told, "full_code", "") or "")


def number_of(error: BaseException) -> int | None:
    """The server's number; None for an error of the driver's own."""
    if not code_of(error).startswith("ORA-"):
        return None
    return int(getattr(error.args[0], "code", 0) or 0)


def told(number: int, meaning: str) -> str:
    """The number, and what it means where that is known."""
    return f"ORA-{number:05d}" + (f": {meaning}" if meaning else "")
