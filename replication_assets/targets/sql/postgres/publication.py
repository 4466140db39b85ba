"""Publication of a full copy: one transaction that puts new tables in the place of the old.

Whoever reads waits for it at most as long as the catalogs take: no row is moved. Objects of somebody
else are never dropped: if any depends on the old tables, or stands in the way of the new, nothing is
published.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psycopg

from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.errors import RefreshError, TargetUnavailable
from replication_assets.ports.environment import PublishedCopy, TableCopy
from replication_assets.targets.sql.postgres.connection import Work, state_of
from replication_assets.targets.sql.postgres.design import enum_schemas, shadow_schema
from replication_assets.targets.sql.postgres.expressions import Qualified, identifier, qualified
from replication_assets.targets.sql.postgres.merging import merge
from replication_assets.targets.sql.postgres.shadow import require_shadow
from replication_assets.targets.sql.records import Made, Records

LOCK_TIMEOUT = "5s"
ATTEMPTS = 5


def publish(work: Work, plan: RefreshPlan, copy: PublishedCopy, tables: Sequence[TableCopy]) -> None:
    _retried(lambda: _publish(work, plan, copy, tables))


def _publish(work: Work, plan: RefreshPlan, copy: PublishedCopy, tables: Sequence[TableCopy]) -> None:
    with work.transaction():
        records = Records(work.records_connection)
        before = records.published()
        if before is not None and before[0].id == plan.id:
            return
        shadow = require_shadow(records, plan)
        work.run(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        if plan.how == "full":
            made = _exchange(work, tables, shadow, before[1] if before else Made())
            _grant(work, made, records.readers())
        else:
            made = before[1] if before else Made()
            merge(work, tables)
            _drop_made(work, shadow, "")
        _drop_places(work, shadow.places)
        records.forget_shadow()
        records.write_published(copy, made)


def _exchange(work: Work, tables: Sequence[TableCopy], shadow: Made, old: Made) -> Made:
    _drop_made(work, old, "objects of somebody else depend on the published copy")
    schemas = {shadow_schema(each.structure.table.schema): each.structure.table.schema for each in tables}
    schemas.update(_type_schemas(tables, shadow))
    for place in sorted({*schemas.values()}):
        work.run(f"CREATE SCHEMA IF NOT EXISTS {identifier(place)}")
    for kind, made in (("TYPE", shadow.types), ("TABLE", shadow.tables)):
        for place, name in made:
            _require_free(work, (schemas[place], name))
            work.run(f"ALTER {kind} {qualified(place, name)} SET SCHEMA {identifier(schemas[place])}")
    moved = {
        kind: tuple((schemas[place], name) for place, name in made)
        for kind, made in (("tables", shadow.tables), ("types", shadow.types))
    }
    return Made(tuple(sorted({*schemas.values()})), moved["tables"], moved["types"])


def _type_schemas(tables: Sequence[TableCopy], shadow: Made) -> dict[str, str]:
    """Schemas of which only types are copied, by their shadow."""
    found = {shadow_schema(schema): schema for schema in enum_schemas([each.structure for each in tables])}
    return {place: found[place] for place, _ in shadow.types if place in found}


def _require_free(work: Work, name: Qualified) -> None:
    taken = work.rows(
        "SELECT 1 FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace"
        " WHERE n.nspname = %(s)s AND t.typname = %(n)s"
        " UNION ALL SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %(s)s AND c.relname = %(n)s",
        {"s": name[0], "n": name[1]},
    )
    if taken:
        raise RefreshError(
            f"{name[0]}.{name[1]} is there already, and no publication made it",
            where=work.where,
            fix="rename it or drop it; nothing was published",
        )


def _drop_made(work: Work, made: Made, problem: str) -> None:
    """All of it at once, so that foreign keys among the tables do not count."""
    for kind, names in (("TABLE", made.tables), ("TYPE", made.types)):
        if not names:
            continue
        listed = ", ".join(qualified(*name) for name in sorted(names))
        try:
            with work.savepoint():
                work.run(f"DROP {kind} IF EXISTS {listed} RESTRICT")
        except psycopg.Error as error:
            if state_of(error) != "2BP01":
                raise
            # Names of objects and nothing else: dependencies are between objects, not rows.
            depending = _dependents(error.diag.message_detail or "")
        else:
            continue
        raise RefreshError(
            f"{problem or 'objects depend on the shadow'}: {depending}",
            where=work.where,
            fix="drop them, or let them read by another way; nothing was published",
        )


def _dependents(detail: str) -> str:
    return "; ".join(line.strip() for line in detail.splitlines()[:10])


def _drop_places(work: Work, places: Sequence[str]) -> None:
    """What a hook made and left in a shadow schema is not published, and not dropped in silence."""
    for place in places:
        try:
            with work.savepoint():
                work.run(f"DROP SCHEMA IF EXISTS {identifier(place)} RESTRICT")
        except psycopg.Error as error:
            if state_of(error) != "2BP01":
                raise
            left = _dependents(error.diag.message_detail or "")
        else:
            continue
        raise RefreshError(
            f"objects are left in the shadow: {left}",
            where=work.where,
            fix="let hooks drop what they make; nothing was published",
        )


def grant(work: Work, readers: Sequence[str]) -> None:
    with work.transaction():
        records = Records(work.records_connection)
        known = {
            row[0]
            for row in work.rows("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [list(readers)])
        }
        missing = sorted({*readers} - known)
        if missing:
            raise RefreshError(
                f"there is no role {', '.join(missing)}",
                where=work.where,
                fix="create it, or take it out of `readers`",
            )
        published = records.published()
        gone = sorted({*records.readers()} - {*readers})
        if published is not None:
            _revoke(work, published[1], gone)
            _grant(work, published[1], readers)
        records.write_readers(readers)


def _grant(work: Work, made: Made, readers: Sequence[str]) -> None:
    for reader in readers:
        for place in made.places:
            work.run(f"GRANT USAGE ON SCHEMA {identifier(place)} TO {identifier(reader)}")
        for name in made.tables:
            work.run(f"GRANT SELECT ON TABLE {qualified(*name)} TO {identifier(reader)}")


def _revoke(work: Work, made: Made, readers: Sequence[str]) -> None:
    present = {
        row[0] for row in work.rows("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [list(readers)])
    }
    for reader in sorted(present):
        for name in made.tables:
            work.run(f"REVOKE ALL ON TABLE {qualified(*name)} FROM {identifier(reader)}")


def drop(work: Work) -> None:
    with work.transaction():
        records = Records(work.records_connection)
        records.make()
        shadow, published = records.shadow(), records.published()
        if shadow is not None:
            for place in shadow[1].places:
                work.run(f"DROP SCHEMA IF EXISTS {identifier(place)} CASCADE")
        records.forget_shadow()
        if published is not None:
            _drop_made(work, published[1], "objects of somebody else depend on the published copy")
        records.forget_published()
        records.write_readers(())


def _retried(act: Callable[[], None]) -> None:
    """Locks that readers hold are waited for several times: in between, others get theirs."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            act()
        except TargetUnavailable:
            if attempt == ATTEMPTS:
                raise
        else:
            return
