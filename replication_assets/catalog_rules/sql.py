"""What makes a declared SQL projection impossible: its database, and tables that would be one there."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from itertools import combinations

from replication_assets.catalog_rules.environments import (
    form,
    host_of,
    oracle_place,
    place_of,
    sqlserver_place,
    target_rules,
)
from replication_assets.core.schema import TableId
from replication_assets.declarations import (
    Environment,
    MySqlSourceConfig,
    MySqlTarget,
    OracleSourceConfig,
    OracleTarget,
    PostgresSourceConfig,
    PostgresTarget,
    Projection,
    SourceConfig,
    SqliteSourceConfig,
    SqliteTarget,
    SqlProjection,
    SqlServerSourceConfig,
    Table,
)
from replication_assets.declared_types import type_problems


def sql_problems(projection: SqlProjection, tables: Sequence[Table]) -> Iterator[str]:
    """Everything about its database; its name and which tables there are is looked at elsewhere."""
    wrong = list(form(projection.target))
    yield from (f"target {problem}" for problem in wrong or target_rules(projection.target))
    if projection.into is not None and not 1 <= len(projection.into.encode()) <= 63:
        yield "into is no name of a schema, database or file. Fix: 1 to 63 bytes"
    owners: dict[tuple[str, str], TableId] = {}
    for table in _projected(projection, tables):
        other = owners.setdefault(_standing(projection, table), table)
        if other != table:
            yield (
                f"{other} and {table} would be one table of the target. Fix: a projection each, with"
                " `into` or a database of its own, or another name in its shape"
            )


def sql_rivals(
    projections: Sequence[Projection], tables: Sequence[Table], sources: Sequence[SourceConfig]
) -> Iterator[str]:
    """Projections that would write to each other's tables, or into a source."""
    sound = [each for each in projections if isinstance(each, SqlProjection) and not list(form(each.target))]
    for one, other in combinations(sound, 2):
        if place_of(one.target) != place_of(other.target):
            continue
        standing = {_standing(one, table) for table in _projected(one, tables)}
        both = sorted(standing & {_standing(other, table) for table in _projected(other, tables)})
        for schema, name in both:
            yield (
                f"{one.name} and {other.name} both write the table {schema}.{name} of one database: each"
                " would undo what the other does. Fix: `into`, or a database each"
            )
    for each in sound:
        for source in sources:
            if _is_source(each, tables, source):
                yield (
                    f"{each.name}: target is the database of source {source.name!r}. Fix: a database of its"
                    " own; a projection writes what the source would then capture"
                )


def overwritten_projections(
    environments: Sequence[Environment], projections: Sequence[Projection]
) -> Iterator[str]:
    """Projections into the database of an environment, which each refresh publishes anew."""
    for projection in projections:
        if not isinstance(projection, SqlProjection) or list(type_problems(projection)):
            continue
        for environment in environments:
            if place_of(environment.target) == place_of(projection.target):
                yield (
                    f"environment {environment.name}: target is the database of projection"
                    f" {projection.name!r}, whose rows are not masked. Fix: a database each"
                )


def folder_of(projection: Projection) -> str | None:
    """The folder that a projection writes files to, where it is known to be one."""
    if isinstance(projection, SqlProjection) and isinstance(projection.target, SqliteTarget):
        return projection.target.folder
    return None


def _projected(projection: SqlProjection, tables: Sequence[Table]) -> list[TableId]:
    named = set(projection.tables)
    ids = dict.fromkeys(table.id for table in tables)
    return [each for each in ids if str(each) in named or f"{each.source}.*" in named]


def _standing(projection: SqlProjection, table: TableId) -> tuple[str, str]:
    """Schema and name in the target; engines that fold names take two that fold alike for one."""
    shape = next((each for each in projection.shapes if each.table == str(table)), None)
    schema = projection.into if projection.into is not None else table.schema
    schema = shape.schema if shape is not None and shape.schema is not None else schema
    name = shape.name if shape is not None and shape.name is not None else table.name
    if isinstance(projection.target, PostgresTarget | OracleTarget):
        return schema, name
    return schema.lower(), name.lower()


def _is_source(projection: SqlProjection, tables: Sequence[Table], source: SourceConfig) -> bool:
    """As far as texts tell: a server behind two names, or a link to a file, is not seen."""
    target = projection.target
    if list(type_problems(source)):
        return False
    if isinstance(source, PostgresSourceConfig):
        return place_of(target) == ("postgresql", host_of(source.host), source.port, source.database)
    if isinstance(source, SqliteSourceConfig):
        folder = target.folder if isinstance(target, SqliteTarget) else None
        return folder is not None and posixpath.normpath(folder) == posixpath.dirname(
            posixpath.normpath(source.path)
        )
    if isinstance(source, SqlServerSourceConfig):
        return place_of(target) == sqlserver_place(source)
    if isinstance(source, OracleSourceConfig):
        return place_of(target) == oracle_place(source)
    # Of other kinds no projection is written, and topics and landed files are no database.
    if not isinstance(source, MySqlSourceConfig) or not isinstance(target, MySqlTarget):
        return False
    if target.port != source.port:
        return False
    written = {
        target.prefix.lower() + _standing(projection, each)[0] for each in _projected(projection, tables)
    }
    read = {each.id.schema.lower() for each in tables if each.id.source == source.name}
    return host_of(target.host) == host_of(source.host) and bool(written & read)
