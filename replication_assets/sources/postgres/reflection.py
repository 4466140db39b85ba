"""What a table is: its columns, its key, and whether its changes can be captured by key.

Everything that stands in the way of loading or capturing a table is found before anything
is created, and reported together with the statements that mend it.

Generated columns are left out, stored ones included: the change stream does not carry
them, and a column that only loads could fill would go stale without notice. They are
listed as `not_replicated`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.table_problems import key_problems, name_problems, not_ready
from replication_assets.errors import SourceNotReady
from replication_assets.sources.postgres.quoting import identifier, relation
from replication_assets.sources.postgres.types import Attribute, resolve_columns

_CAPTURED_KINDS = frozenset("rp")
_KINDS = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
}

_NO_KEY = "is generated: its value is not in the change stream"


@dataclass(frozen=True, slots=True)
class Relation:
    """A row of pg_class, as far as it matters here. `identity` is `relreplident`."""

    oid: int
    kind: str
    identity: str
    persistence: str

    @property
    def can_be_captured(self) -> bool:
        """Views, materialized views and foreign tables write no row changes to the log;
        neither do unlogged and temporary tables."""
        return self.kind in _CAPTURED_KINDS and self.persistence == "p"


@dataclass(frozen=True, slots=True)
class _Attributes:
    replicated: tuple[Attribute, ...]
    generated: tuple[str, ...]
    primary_key: tuple[str, ...]
    identity_index: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Carrier:
    """A table that writes row changes: the table itself, or a leaf partition of it. Each
    has a replica identity of its own."""

    name: str
    identity: str
    has_primary_key: bool
    columns: tuple[str, ...]
    """What updates and deletes carry; empty under NOTHING, and meaningless under FULL."""


def find_relation(session: psycopg.Connection[Any], table: TableId) -> Relation | None:
    """The table's entry in the catalog; None if there is no such table or view."""
    row = session.execute(
        "SELECT c.oid, c.relkind::text, c.relreplident::text, c.relpersistence::text"
        " FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND c.relkind::text = ANY(%s)",
        (table.schema, table.name, list(_KINDS)),
    ).fetchone()
    return None if row is None else Relation(*row)


def relation_kind(session: psycopg.Connection[Any], table: TableId) -> str:
    """`table`, `partitioned table`, `view`, `materialized view` or `foreign table`."""
    return _KINDS[existing_relation(session, table).kind]


def reflect_table(
    session: psycopg.Connection[Any],
    table: TableId,
    *,
    key: Sequence[str] = (),
    append_only: bool = False,
    by_log: bool = True,
) -> TableSchema:
    """See `ports.ChangeSource.reflect`.

    Without a declared key it is what the change stream can tell rows apart by: the replica
    identity's columns, or the primary key under REPLICA IDENTITY FULL. Where the changes do not come
    from the server's log (`by_log`) it is the primary key, whatever the replica identity.
    """
    found = existing_relation(session, table)
    attributes = _attributes(session, found.oid)
    names = [a.name for a in attributes.replicated]
    natural = _natural_key(found, attributes, append_only) if by_log else attributes.primary_key
    chosen = tuple(key) or natural
    problems = [
        *_access_problems(session, table),
        *name_problems(names),
        *key_problems(chosen, names, attributes.generated, _NO_KEY),
        *_encoding_problems(session),
    ]
    if by_log and found.can_be_captured and not append_only:
        found_problems = (_identity_problem(carrier, chosen) for carrier in _carriers(session, found))
        problems += [problem for problem in found_problems if problem]
    if problems:
        raise not_ready(problems, str(table))
    return TableSchema(
        resolve_columns(session, attributes.replicated), chosen, append_only, attributes.generated
    )


def replicated_columns(session: psycopg.Connection[Any], table: TableId) -> tuple[Column, ...]:
    """Columns that loads and changes carry, whatever else may be wrong with the table."""
    found = existing_relation(session, table)
    return resolve_columns(session, _attributes(session, found.oid).replicated)


def existing_relation(session: psycopg.Connection[Any], table: TableId) -> Relation:
    """As `find_relation`. Raises SourceNotReady if there is none."""
    found = find_relation(session, table)
    if found is None:
        raise SourceNotReady(
            f"there is no table or view {relation(table)}",
            where=str(table),
            fix="check the spelling (case counts) and the database of the connection",
        )
    return found


def _attributes(session: psycopg.Connection[Any], oid: int) -> _Attributes:
    rows = session.execute(
        "SELECT attname, atttypid, atttypmod, attnum, NOT attnotnull, attgenerated <> ''"
        " FROM pg_catalog.pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped"
        " ORDER BY attnum",
        (oid,),
    ).fetchall()
    return _Attributes(
        replicated=tuple(Attribute(*row[:5]) for row in rows if not row[5]),
        generated=tuple(row[0] for row in rows if row[5]),
        primary_key=_index_columns(session, oid, "indisprimary"),
        identity_index=_index_columns(session, oid, "indisreplident"),
    )


def _index_columns(session: psycopg.Connection[Any], oid: int, flag: str) -> tuple[str, ...]:
    """Key columns of the index with the flag, in the index's order; INCLUDE columns left out."""
    rows = session.execute(
        "SELECT a.attname FROM pg_catalog.pg_index i"
        " CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)"
        " JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum"
        f" WHERE i.indrelid = %s AND i.{flag} AND i.indisvalid AND k.place <= i.indnkeyatts ORDER BY k.place",
        (oid,),
    ).fetchall()
    return tuple(row[0] for row in rows)


def _natural_key(found: Relation, attributes: _Attributes, append_only: bool) -> tuple[str, ...]:
    if not found.can_be_captured:
        return attributes.primary_key
    if found.identity == "i":
        return attributes.identity_index
    if found.identity == "n" and not append_only:
        return ()
    return attributes.primary_key


def _access_problems(session: psycopg.Connection[Any], table: TableId) -> list[str]:
    row = session.execute(
        "SELECT has_schema_privilege(%s, 'USAGE'), has_any_column_privilege(c.oid, 'SELECT'),"
        " has_table_privilege(c.oid, 'SELECT'), current_user::text,"
        " c.relrowsecurity AND row_security_active(c.oid)"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s",
        (table.schema, table.schema, table.name),
    ).fetchone()
    assert row is not None
    usage, some, select, user, policies = row
    problems = []
    if not usage:
        problems.append(
            f"no access to its schema. Run: GRANT USAGE ON SCHEMA {identifier(table.schema)}"
            f" TO {identifier(user)}"
        )
    if not select:
        what = "only some of its columns can be read" if some else "it cannot be read"
        problems.append(f"{what}. Run: GRANT SELECT ON {relation(table)} TO {identifier(user)}")
    if policies:
        problems.append(f"row-level security hides rows. Run: ALTER ROLE {identifier(user)} BYPASSRLS")
    return problems


def _encoding_problems(session: psycopg.Connection[Any]) -> list[str]:
    row = session.execute("SHOW server_encoding").fetchone()
    if row is not None and row[0] == "SQL_ASCII":
        return ["the database's encoding is SQL_ASCII: what its bytes mean is not known. Move it to UTF8"]
    return []


def _carriers(session: psycopg.Connection[Any], found: Relation) -> list[_Carrier]:
    rows = session.execute(
        "SELECT c.oid, n.nspname, c.relname, c.relreplident::text FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s AND c.relkind = 'r'"
        " OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(%s) WHERE isleaf)"
        " AND c.relkind = 'r' ORDER BY 2, 3",
        (found.oid, found.oid),
    ).fetchall()
    carriers = []
    for oid, schema, name, identity in rows:
        primary_key = _index_columns(session, oid, "indisprimary")
        columns = {"d": primary_key, "i": _index_columns(session, oid, "indisreplident")}.get(identity, ())
        qualified = f"{identifier(schema)}.{identifier(name)}"
        carriers.append(_Carrier(qualified, identity, bool(primary_key), columns))
    return carriers


def _identity_problem(carrier: _Carrier, key: Sequence[str]) -> str | None:
    """Updates and deletes must carry the key, or there must never be any."""
    missing = [name for name in key if name not in carrier.columns]
    if carrier.identity == "f" or (carrier.columns and not missing):
        return None
    alter = f"ALTER TABLE {carrier.name} REPLICA IDENTITY"
    if carrier.columns:
        return (
            f"updates and deletes carry {list(carrier.columns)} but not {missing} of the declared key. Run:"
            f" {alter} USING INDEX (a unique index on {list(key)}), or {alter} FULL. Or declare the table"
            " append_only"
        )
    default = f"{alter} DEFAULT, or " if carrier.has_primary_key and carrier.identity != "d" else ""
    return (
        "updates and deletes carry no row identity, and once the table is published the application's own"
        f" UPDATE and DELETE statements would fail. Run: {default}{alter} FULL. Or declare the table"
        " append_only, if its rows are never updated or deleted"
    )
