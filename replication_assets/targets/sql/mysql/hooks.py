"""Which statements a hook may run: one, on shadow tables.

MySQL has no role that a session could step down to, so the text decides. It is read strictly: a
statement that could name something at run time, or hide it in a comment, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import pairwise

import sqlalchemy as sa

from replication_assets.errors import RefreshError
from replication_assets.targets.sql.mysql.connection import run

_TOKEN = re.compile(
    r"""(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
      |(?P<name>`(?:[^`]|``)+`|[^\W\d][\w$]*)
      |(?P<comment>/\*|--(?=\s)|\#)
      |(?P<dot>\.)
      |(?P<space>\s+)
      |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_FIRST_WORDS = frozenset(
    {"update", "insert", "delete", "replace", "alter", "create", "drop", "with", "analyze"}
)
_NEVER = frozenset(
    {"prepare", "execute", "call", "do", "outfile", "dumpfile", "infile", "load_file", "database"}
    | {"trigger", "procedure", "function", "event", "grant", "revoke", "user", "role", "schema", "rename"}
)


def require_within(connection: sa.Connection, statement: str, shadows: Collection[str]) -> None:
    """Raises RefreshError for a statement that reaches beyond the shadow databases."""
    tokens = [(found.lastgroup, found.group()) for found in _TOKEN.finditer(statement.strip().rstrip(";"))]
    tokens = [each for each in tokens if each[0] != "space"]
    databases = {str(name).lower() for (name,) in run(connection, "SHOW DATABASES")}
    databases -= {each.lower() for each in shadows}
    words = {text.lower() for kind, text in tokens if kind == "name"}
    named = {
        text.strip("`").replace("``", "`").lower()
        for (kind, text), (after, _) in pairwise(tokens)
        if kind == "name" and after == "dot"
    }
    problem = None
    if not tokens or tokens[0][1].lower() not in _FIRST_WORDS:
        problem = f"it begins with none of {', '.join(sorted(_FIRST_WORDS))}"
    elif any(kind == "comment" or text == ";" for kind, text in tokens):
        problem = "it has a comment, or a second statement"
    elif words & _NEVER:
        problem = f"it uses {', '.join(sorted(words & _NEVER))}"
    elif named & databases:
        problem = f"it reaches into {', '.join(sorted(named & databases))}"
    if problem is not None:
        raise RefreshError(
            f"the hook's statement is not run: {problem}", fix="one statement on tables of the copy, by name"
        )
