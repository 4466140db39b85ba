"""Statements that a team runs on the copy before it is published.

A statement sees shadow tables by their bare names. What it wrote elsewhere is found before the
transaction ends, and undone with all of it: tables that it changed, and relations that it made or
altered outside the shadow.
"""

from __future__ import annotations

import psycopg

from replication_assets.errors import RefreshError
from replication_assets.targets.sql.postgres.connection import Work, state_of
from replication_assets.targets.sql.postgres.expressions import identifier
from replication_assets.targets.sql.records import Made

_OUTSIDE = """
SELECT n.nspname || '.' || c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_xact_all_tables s ON s.relid = c.oid
WHERE n.nspname <> ALL(%(places)s) AND n.nspname NOT LIKE 'pg\\_temp%%' AND n.nspname NOT LIKE 'pg\\_toast%%'
  AND n.nspname <> 'pg_catalog'
  AND (coalesce(s.n_tup_ins + s.n_tup_upd + s.n_tup_del, 0) > 0
       OR c.xmin::text = (pg_current_xact_id()::text::numeric %% 4294967296)::text)
LIMIT 5
"""
_RELATIONS = """
SELECT count(*),
  coalesce(sum(hashtextextended(c.oid::text || c.relname || c.relnamespace || c.relfilenode, 0)), 0)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname <> ALL(%(places)s) AND n.nspname NOT LIKE 'pg\\_temp%%' AND n.nspname NOT LIKE 'pg\\_toast%%'
  AND n.nspname <> 'pg_catalog'
"""


def run_hook(work: Work, made: Made, statement: str) -> None:
    """Within the caller's transaction.

    Raises:
        RefreshError: it failed, ended the transaction, or wrote outside the shadow.
    """
    places = {"places": list(made.places)}
    before = work.rows(_RELATIONS, places)
    transaction = work.rows("SELECT pg_current_xact_id()::text")
    path = ", ".join(identifier(place) for place in made.places)
    work.run(f"SET LOCAL search_path = {path}, pg_catalog")
    _run(work, statement)
    if work.rows("SELECT pg_current_xact_id()::text") != transaction:
        raise RefreshError("the hook ended its transaction", where=work.where, fix=_FIX)
    work.run("SET LOCAL search_path = pg_catalog")
    outside = [row[0] for row in work.rows(_OUTSIDE, places)]
    if outside or work.rows(_RELATIONS, places) != before:
        named = ", ".join(outside) or "relations outside the shadow"
        raise RefreshError(f"the hook wrote to {named}", where=work.where, fix=_FIX)


_FIX = "let it write to tables of the copy only, without a schema before their names"


def _run(work: Work, statement: str) -> None:
    try:
        work.run(statement)
    except psycopg.Error as error:
        state = state_of(error)
        # Class 42 quotes the statement, which is declared in code; others may quote rows.
        first = (error.diag.message_primary or "") if state[:2] == "42" else "it was refused"
    else:
        return
    raise RefreshError(f"a hook failed: {first} (SQLSTATE {state})", where=work.where, fix="correct the hook")
