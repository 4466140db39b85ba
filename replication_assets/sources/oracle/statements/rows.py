"""Reads of rows: loads, bounds, quantiles, plans. Session settings that shape the text of values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from replication_assets.sources.oracle.statements.names import literal, quoted

SESSION_SETTINGS = (
    "ALTER SESSION SET TIME_ZONE = '+00:00'",
    "ALTER SESSION SET NLS_CALENDAR = 'GREGORIAN'",
    "ALTER SESSION SET NLS_NUMERIC_CHARACTERS = '.,'",
    "ALTER SESSION SET NLS_DATE_FORMAT = 'SYYYY-MM-DD HH24:MI:SS'",
    "ALTER SESSION SET NLS_TIMESTAMP_FORMAT = 'SYYYY-MM-DD HH24:MI:SS.FF9'",
    "ALTER SESSION SET NLS_TIMESTAMP_TZ_FORMAT = 'SYYYY-MM-DD HH24:MI:SS.FF9 TZR TZD'",
    "ALTER SESSION SET NLS_COMP = BINARY",
    "ALTER SESSION SET NLS_SORT = BINARY",
)
"""What LogMiner prints follows them as well."""


def select(expressions: Sequence[str], owner: str, name: str, conditions: str, scn: str | None) -> str:
    """`scn` names the bind that the rows are read as of; None for the rows as they are now."""
    as_of = f" AS OF SCN :{scn}" if scn is not None else ""
    where = f" WHERE {conditions}" if conditions else ""
    return f"SELECT {', '.join(expressions)} FROM {quoted(owner, name)}{as_of}{where}"


def probe(owner: str, name: str) -> str:
    """Asks for no row: whether the account may read the table."""
    return f"SELECT 1 FROM {quoted(owner, name)} WHERE 1 = 0"


def flashback_probe(owner: str, name: str) -> str:
    """Whether the account may read the table as of an SCN."""
    return f"SELECT 1 FROM {quoted(owner, name)} AS OF SCN :scn WHERE 1 = 0"


def bounds(owner: str, name: str, column: str) -> str:
    """Each end by a look of its own, which an index serves."""
    key, rows = quoted(column), quoted(owner, name)
    return (
        f"SELECT (SELECT TO_CHAR(MIN({key})) FROM {rows}), (SELECT TO_CHAR(MAX({key})) FROM {rows}) FROM DUAL"
    )


def count(owner: str, name: str) -> str:
    return f"SELECT COUNT(*) FROM {quoted(owner, name)}"


def quantiles(owner: str, name: str, column: str, *, sampled: bool) -> str:
    """The greatest key of each of `:parts` groups of about as many rows; sampled, of about `:percent`."""
    key, rows = quoted(column), quoted(owner, name)
    some = " AND DBMS_RANDOM.VALUE < :share" if sampled else ""
    return (
        f"SELECT TO_CHAR(MAX(K)) FROM (SELECT {key} AS K, NTILE(:parts) OVER (ORDER BY {key}) AS G"
        f" FROM {rows} WHERE {key} IS NOT NULL{some}) GROUP BY G ORDER BY G"
    )


_BIND = re.compile(r'("[^"]*"|\'(?:[^\']|\'\')*\')|:([a-z]\w*)')


def explain(statement: str, query: str, binds: Mapping[str, object]) -> str:
    """`statement` is the id that the plan's rows get, of letters and digits. A statement that is explained
    takes no binds: bounds stand in its text."""

    def inlined(found: re.Match[str]) -> str:
        if found[1] is not None:
            return found[1]
        bound = binds[found[2]]
        return str(bound) if isinstance(bound, int) else literal(str(bound))

    return f"EXPLAIN PLAN SET STATEMENT_ID = {literal(statement)} FOR {_BIND.sub(inlined, query)}"
