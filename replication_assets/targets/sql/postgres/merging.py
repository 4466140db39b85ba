"""Changes of a copy, merged into what readers see, within the transaction that publishes them.

Deletes of all tables come first, children before parents, then upserts, parents before children; foreign
keys are checked when all is done. Keys that act on deletes (`CASCADE`, `SET NULL`) take rows along that the
source deleted or changed as well, and which come with the upserts.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from replication_assets.core.refresh.load_order import load_order
from replication_assets.errors import RefreshError
from replication_assets.ports.environment import TableCopy
from replication_assets.targets.sql import ddl
from replication_assets.targets.sql.postgres.connection import Work, state_of
from replication_assets.targets.sql.postgres.expressions import identifier, literal, qualified
from replication_assets.targets.sql.postgres.shadow import place_name, stored_columns


def merge(work: Work, tables: Sequence[TableCopy]) -> None:
    """Within the caller's transaction."""
    by_id = {each.structure.table: each for each in tables}
    ordered = [by_id[each.table] for each in load_order([each.structure for each in tables])]
    locked = ", ".join(_published(each) for each in ordered)
    work.run(f"LOCK TABLE {locked} IN SHARE ROW EXCLUSIVE MODE")
    try:
        with work.savepoint():
            _merge(work, ordered)
            return
    except psycopg.Error as error:
        if state_of(error) != "23505":
            raise
    # A value that must be unique went from one row to another: by the order of rows it may be
    # there twice in between. Keys are made again when all rows are there, and so still hold.
    again = [statement for each in ordered for statement in _without_unique_keys(work, each)]
    _merge(work, ordered)
    for statement in again:
        work.run(statement)


def _merge(work: Work, ordered: Sequence[TableCopy]) -> None:
    kept = [*_take_identities(work, ordered), *_defer(work, ordered)]
    for each in reversed(ordered):
        _delete(work, each)
    for each in ordered:
        work.run(_upsert_statement(each))
    work.run("SET CONSTRAINTS ALL IMMEDIATE")
    for statement in kept:
        work.run(statement)
    for each in ordered:
        _advance_sequences(work, each)


def _take_identities(work: Work, tables: Sequence[TableCopy]) -> list[str]:
    """Let columns that are always generated take the values of the changes; how to undo that."""
    again = []
    for each in tables:
        for column in each.structure.columns:
            if column.identity == "always" and column.name in stored_columns(each):
                alter = f"ALTER TABLE {_published(each)} ALTER COLUMN {identifier(column.name)} SET GENERATED"
                work.run(f"{alter} BY DEFAULT")
                again.append(f"{alter} ALWAYS")
    return again


def _advance_sequences(work: Work, table: TableCopy) -> None:
    """Beyond what the upserts brought, never back."""
    owned = {each.column: each.increment for each in table.structure.sequences}
    owned.update({each.name: owned.get(each.name, 1) for each in table.structure.columns if each.identity})
    upserts = qualified(*place_name(table.structure, "upserts"))
    for column, step in owned.items():
        found = work.rows("SELECT pg_get_serial_sequence(%s, %s)", [_published(table), column])[0][0]
        if found is None or column not in stored_columns(table):
            continue
        last, beyond = ("max", ">") if step > 0 else ("min", "<")
        new = f"SELECT {last}({identifier(column)})::bigint AS v FROM {upserts}"
        work.run(
            f"SELECT setval({literal(found)}::regclass, m.v) FROM {found} s, ({new}) m"
            f" WHERE m.v {beyond} s.last_value OR m.v = s.last_value AND NOT s.is_called"
        )


def _published(table: TableCopy) -> str:
    return qualified(table.structure.table.schema, table.structure.table.name)


def _defer(work: Work, tables: Sequence[TableCopy]) -> list[str]:
    """Let every foreign key be checked at the end; the statements that make them what they were.

    RESTRICT cannot wait: such a key is dropped meanwhile and made again.
    """
    again = []
    for each in tables:
        rows = work.rows(
            "SELECT conname, condeferrable, condeferred, confdeltype = 'r' OR confupdtype = 'r',"
            " pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f' AND conrelid = %s::regclass",
            [_published(each)],
        )
        for name, deferrable, deferred, restricting, definition in rows:
            table, key = f"ALTER TABLE {_published(each)}", identifier(name)
            if restricting:
                work.run(f"{table} DROP CONSTRAINT {key}")
                again.append(f"{table} ADD CONSTRAINT {key} {definition}")
                continue
            work.run(f"{table} ALTER CONSTRAINT {key} DEFERRABLE INITIALLY DEFERRED")
            mode = "DEFERRABLE" if deferrable else "NOT DEFERRABLE"
            initially = "DEFERRED" if deferred else "IMMEDIATE"
            again.append(f"{table} ALTER CONSTRAINT {key} {mode} INITIALLY {initially}")
    work.run("SET CONSTRAINTS ALL DEFERRED")
    return again


def _delete(work: Work, table: TableCopy) -> None:
    deletes = qualified(*place_name(table.structure, "deletes"))
    same = " AND ".join(
        f"t.{identifier(name)} = d.{identifier(name)}" for name in ddl.merge_key(table.structure)
    )
    work.run(f"DELETE FROM {_published(table)} t USING {deletes} d WHERE {same}")


def _upsert_statement(table: TableCopy) -> str:
    key = ddl.merge_key(table.structure)
    columns = stored_columns(table)
    listed = ", ".join(identifier(name) for name in columns)
    changed = ", ".join(
        f"{identifier(name)} = excluded.{identifier(name)}" for name in columns if name not in key
    )
    action = f"UPDATE SET {changed}" if changed else "NOTHING"
    return (
        f"INSERT INTO {_published(table)} ({listed})"
        f" SELECT {listed} FROM {qualified(*place_name(table.structure, 'upserts'))}"
        f" ON CONFLICT ({', '.join(identifier(name) for name in key)}) DO {action}"
    )


def _without_unique_keys(work: Work, table: TableCopy) -> list[str]:
    """Drop unique keys and indexes but the one that changes are merged by; how to make them again."""
    key = list(ddl.merge_key(table.structure))
    rows = work.rows(
        "SELECT i.indexrelid::regclass::text, k.conname, pg_get_constraintdef(k.oid),"
        " pg_get_indexdef(i.indexrelid),"
        " EXISTS (SELECT 1 FROM pg_constraint f WHERE f.contype = 'f' AND f.conindid = i.indexrelid)"
        " FROM pg_index i LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u')"
        " WHERE i.indrelid = %s::regclass AND i.indisunique AND NOT (i.indpred IS NULL AND i.indexprs IS NULL"
        " AND (SELECT array_agg(a.attname::text ORDER BY o) FROM unnest(i.indkey) WITH ORDINALITY u(n, o)"
        "      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.n) = %s::text[])",
        [_published(table), key],
    )
    again = []
    for index, constraint, definition, index_definition, referred in rows:
        if referred:
            raise RefreshError(
                f"rows exchanged values of {constraint or index!r}, which other tables refer to",
                where=str(table.structure.table),
                fix="refresh in full once",
            )
        if constraint is not None:
            alter = f"ALTER TABLE {_published(table)}"
            work.run(f"{alter} DROP CONSTRAINT {identifier(constraint)}")
            again.append(f"{alter} ADD CONSTRAINT {identifier(constraint)} {definition}")
        else:
            work.run(f"DROP INDEX {index}")
            again.append(index_definition)
    return again
