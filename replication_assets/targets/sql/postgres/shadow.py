"""The shadow: schemas beside those of the copy, which nobody but the loader may read.

Made in one transaction with the record whose it is, so that a shadow is either whole and known or not
there. Rows arrive with COPY in the transaction that notes their chunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import sqlalchemy as sa

from replication_assets.core.events import OVERFLOW
from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.core.structure import TableStructure
from replication_assets.errors import RefreshError
from replication_assets.ports.environment import TableCopy, Violation
from replication_assets.targets.sql import ddl
from replication_assets.targets.sql.dialect import Place
from replication_assets.targets.sql.names import suffixed
from replication_assets.targets.sql.postgres.building import Building, each_in_turn
from replication_assets.targets.sql.postgres.connection import Work, target_errors
from replication_assets.targets.sql.postgres.design import LIMIT, design, shadow_schema
from replication_assets.targets.sql.postgres.expressions import Qualified, identifier, qualified
from replication_assets.targets.sql.postgres.row_text import csv_pieces, rows_from_csv
from replication_assets.targets.sql.records import Made, Records

READ_BYTES = 8 << 20
"""CSV that is made one batch of when a table is read."""


def place_name(structure: TableStructure, place: Place) -> Qualified:
    """Schema and name of a shadow table."""
    name = structure.table.name
    if place != "rows":
        name = suffixed(name, f"__{place}", limit=LIMIT)
    return (shadow_schema(structure.table.schema), name)


def stored_columns(table: TableCopy) -> list[str]:
    """Columns that rows come with; the target fills in the others."""
    return [name for name in table.schema.names if name != OVERFLOW]


def begin(work: Work, plan: RefreshPlan, tables: Sequence[TableCopy]) -> None:
    with work.transaction():
        records = Records(work.records_connection)
        records.make()
        shadow = records.shadow()
        if shadow is not None and shadow[0] != plan.id:
            drop_shadow(work, shadow[1])
            records.forget_shadow()
            shadow = None
        if shadow is not None:
            _require_whole(plan, tables, shadow[1])
            return
        records.write_shadow(plan.id, (_full if plan.how == "full" else _changes)(work, records, tables))


def _require_whole(plan: RefreshPlan, tables: Sequence[TableCopy], made: Made) -> None:
    places: Sequence[Place] = ("rows",) if plan.how == "full" else ("upserts", "deletes")
    if {place_name(each.structure, place) for each in tables for place in places} != {*made.tables}:
        raise RefreshError(
            "the shadow that is there was begun for other tables",
            where=f"refresh {plan.id}",
            fix="start the refresh anew",
        )


def drop_shadow(work: Work, made: Made) -> None:
    for place in made.places:
        work.run(f"DROP SCHEMA IF EXISTS {identifier(place)} CASCADE")


def _make_schema(work: Work, place: str) -> None:
    if work.rows("SELECT 1 FROM pg_namespace WHERE nspname = %s", [place]):
        raise RefreshError(
            f"there is a schema {place!r} already, which no refresh made",
            where=work.where,
            fix="rename it or drop it",
        )
    work.run(f"CREATE SCHEMA {identifier(place)}")
    work.run(f"REVOKE ALL ON SCHEMA {identifier(place)} FROM PUBLIC")
    granted = "SELECT nspacl, nspowner FROM pg_namespace WHERE nspname = %s"
    _revoke_defaults(work, f"SCHEMA {identifier(place)}", granted, [place])


def _revoke_defaults(work: Work, what: str, granted: str, names: Sequence[str]) -> None:
    """Take away what default privileges of the database gave: readers are declared."""
    rows = work.rows(
        "SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END"
        f" FROM ({granted}) g(acl, owner), aclexplode(g.acl) a WHERE a.grantee <> g.owner",
        names,
    )
    for (grantee,) in rows:
        work.run(f"REVOKE ALL ON {what} FROM {grantee}")


def _revoke_on_table(work: Work, name: Qualified) -> None:
    granted = (
        "SELECT relacl, relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s"
    )
    _revoke_defaults(work, f"TABLE {qualified(*name)}", granted, name)


def _full(work: Work, _: Records, tables: Sequence[TableCopy]) -> Made:
    structures = [each.structure for each in tables]
    made = design(work, structures)
    places = tuple(sorted(set(made.shadows.values())))
    for place in places:
        _make_schema(work, place)
    building = Building(work, made)
    building.enums()
    for structure in structures:
        building.table(structure)
        _revoke_on_table(work, place_name(structure, "rows"))
    return Made(
        places, tuple(place_name(each, "rows") for each in structures), tuple(made.enum_names.values())
    )


def _changes(work: Work, records: Records, tables: Sequence[TableCopy]) -> Made:
    """Tables of the published ones' own columns: the same types, so that a merge converts nothing."""
    published = records.published()
    there = {each.table: each.structure for each in published[0].tables} if published else {}
    for each in tables:
        if there.get(each.structure.table) != each.structure.fingerprint:
            raise RefreshError(
                "there is no published copy of this structure that changes could be applied to",
                where=str(each.structure.table),
                fix="refresh in full once",
            )
    places = tuple(sorted({shadow_schema(each.structure.table.schema) for each in tables}))
    for place in places:
        _make_schema(work, place)
    names = []
    for each in tables:
        key = ddl.merge_key(each.structure)
        table = each.structure.table
        columns = ", ".join(identifier(name) for name in stored_columns(each))
        keyed = ", ".join(f"ALTER COLUMN {identifier(name)} SET NOT NULL" for name in key)
        both: tuple[Place, ...] = ("upserts", "deletes")
        for place_of_changes in both:
            name = place_name(each.structure, place_of_changes)
            source = qualified(table.schema, table.name)
            work.run(f"CREATE TABLE {qualified(*name)} AS SELECT {columns} FROM {source} WITH NO DATA")
            work.run(f"ALTER TABLE {qualified(*name)} {keyed}")
            _revoke_on_table(work, name)
            names.append(name)
    return Made(places, tuple(names))


def require_shadow(records: Records, plan: RefreshPlan) -> Made:
    shadow = records.shadow()
    if shadow is None or shadow[0] != plan.id:
        raise RefreshError(
            "another plan superseded this one" if shadow else "nothing was begun for this plan",
            where=f"refresh {plan.id}",
            fix="start the refresh anew",
        )
    return shadow[1]


def load(
    work: Work, plan: RefreshPlan, table: TableCopy, role: str, chunk: str, batch: pa.RecordBatch
) -> int:
    place: Place = "rows" if role in ("rows", "generated") else "upserts" if role == "upserts" else "deletes"
    columns = stored_columns(table)
    target = qualified(*place_name(table.structure, place))
    listed = ", ".join(identifier(name) for name in columns)
    where = f"{work.where}: {table.structure.table} {chunk}"
    with target_errors(where, columns), work.records_connection.begin():
        records = Records(work.records_connection)
        require_shadow(records, plan)
        found = records.chunk(plan.id, table.structure.table, role, chunk)
        if found is not None:
            return found
        records.add_chunk(plan.id, table.structure.table, role, chunk, batch.num_rows)
        with work.copy(f"COPY {target} ({listed}) FROM STDIN (FORMAT csv)") as copy:
            for piece in csv_pieces(batch):
                copy.write(piece)
    return int(batch.num_rows)


def read(work: Work, table: TableCopy, source: Qualified) -> Iterator[pa.RecordBatch]:
    listed = ", ".join(identifier(name) for name in stored_columns(table))
    with work.transaction():
        if not work.rows("SELECT to_regclass(%s) IS NOT NULL", [qualified(*source)])[0][0]:
            raise RefreshError("there is no such table in the copy", where=".".join(source))
        sql = f"COPY (SELECT {listed} FROM {qualified(*source)}) TO STDOUT (FORMAT csv, FORCE_QUOTE *)"
        for piece in work.copied_out(sql, READ_BYTES):
            yield rows_from_csv(piece, table.schema)


def finish(work: Work, plan: RefreshPlan, tables: Sequence[TableCopy]) -> None:
    """Each step is a transaction; what an earlier attempt made is left alone."""
    with work.transaction():
        require_shadow(Records(work.records_connection), plan)
    if plan.how == "changes":
        for each in tables:
            for place in ("upserts", "deletes"):
                _analyze(work, each.structure, place)
        return
    structures = [each.structure for each in tables]
    with work.transaction():
        made = design(work, structures)
    for structure in structures:
        each_in_turn(work, lambda building, its=structure: building.keys(its), made)  # type: ignore[misc]
    for structure in structures:
        each_in_turn(work, lambda building, its=structure: building.foreign_keys(its), made)  # type: ignore[misc]
    for structure in structures:
        each_in_turn(work, lambda building, its=structure: building.sequences(its), made)  # type: ignore[misc]
        _analyze(work, structure, "rows")


def _analyze(work: Work, structure: TableStructure, place: Place) -> None:
    with work.transaction():
        work.run(f"ANALYZE {qualified(*place_name(structure, place))}")


def violations(work: Work, plan: RefreshPlan, tables: Sequence[TableCopy]) -> tuple[Violation, ...]:
    copied = {each.structure.table: each for each in tables}
    found = []
    with work.transaction():
        require_shadow(Records(work.records_connection), plan)
        for each in tables:
            for key in each.structure.foreign_keys:
                if key.parent not in copied:
                    continue
                child = _table(each, "rows" if plan.how == "full" else "upserts")
                parent = _parent(plan, copied[key.parent], key.referred)
                rows = work.count(ddl.orphans(child, parent, key))
                if rows:
                    found.append(Violation(each.structure.table, key.name, rows))
    return tuple(found)


def _parent(plan: RefreshPlan, parent: TableCopy, referred: Sequence[str]) -> sa.FromClause:
    if plan.how == "full":
        return _table(parent, "rows")
    table = parent.structure.table
    columns: list[sa.ColumnClause[object]] = [sa.column(name) for name in parent.structure.names]
    published = sa.table(table.name, *columns, schema=table.schema)
    key = ddl.merge_key(parent.structure)
    return ddl.after_changes(published, _table(parent, "upserts"), _table(parent, "deletes"), key, referred)


def _table(table: TableCopy, place: Place) -> sa.TableClause:
    schema, name = place_name(table.structure, place)
    return sa.table(name, *(sa.column(each) for each in table.structure.names), schema=schema)
