"""Making triggers and procedures. A trigger is first made under another name and disabled, where it harms
nobody should it not compile: the server makes an invalid one all the same, and whatever fires it fails.
"""

from __future__ import annotations

from replication_assets.errors import SourceNotReady
from replication_assets.sources.oracle.sessions import Session, one_row
from replication_assets.sources.oracle.statements import triggers as sql
from replication_assets.sources.oracle.statements.triggers import LogNames


def compile_unit(session: Session, kind: str, name: str, statement: str) -> None:
    """The server makes what does not compile all the same, and says so in its catalog."""
    session.run(statement)
    row = one_row(session, sql.IS_VALID, {"name": name, "kind": kind})
    if row is None or row[0] != "VALID":
        session.run(sql.drop(kind, name))
        raise SourceNotReady(
            f"{kind.lower()} {name} does not compile",
            where=session.where,
            fix="check that the account has what docs/oracle.md grants directly, and not by a role",
        )


def try_trigger(session: Session, names: LogNames, statement: str) -> None:
    compile_unit(session, "TRIGGER", names.trial, statement)
    session.run(sql.drop("TRIGGER", names.trial))
