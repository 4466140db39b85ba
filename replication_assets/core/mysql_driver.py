"""What readers and writers of MySQL and MariaDB know alike of their driver's errors: which numbers pass, and
what a number is called. The driver itself, and the errors of the project that these become, are each side's
own.
"""

from __future__ import annotations

from collections.abc import Iterable

PASSING = frozenset(
    {1040, 1042, 1043, 1053, 1080, 1129, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1213, 1317, 1637, 1927}
    | {2000, 2002, 2003, 2005, 2006, 2013, 2055, 3024, 4031}
)
"""Numbers of errmsg-utf8.txt and of the client library: lost, busy, out of something."""


def constant_of(number: int, constants: Iterable[object]) -> str:
    """The name of an error among the driver's `constants`, ` (LOCK_DEADLOCK)`; empty if it has none."""
    for group in constants:
        for name, value in vars(group).items():
            if value == number and name.isupper():
                return f" ({name})"
    return ""
