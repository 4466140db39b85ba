"""Tables, sequences, keys and indexes of a copy, made statement by statement.

What the server cannot make without an object that only the source has (a function, an operator class)
is left out and told in `lines`. The same statements are tried on empty tables before a refresh
(`tried`), so that a plan tells what its copy will lack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from uuid import uuid4

import psycopg
import sqlalchemy as sa

from replication_assets.core.structure import ColumnStructure, Index, TableStructure, UniqueKey
from replication_assets.errors import VerificationFailed
from replication_assets.targets.sql import ddl
from replication_assets.targets.sql.names import suffixed
from replication_assets.targets.sql.postgres.connection import Work, state_of, target_errors
from replication_assets.targets.sql.postgres.design import LIMIT, Design, design
from replication_assets.targets.sql.postgres.expressions import (
    Qualified,
    identifier,
    index_statement,
    literal,
    qualified,
)

_LACKS = ("42", "0A")
_BREAKS = {"23505": "unique", "23503": "foreign key", "23514": "check", "23P01": "exclusion"}


class Building:
    """Works inside a transaction that the caller opened. `there` are names that are made already."""

    def __init__(self, work: Work, made: Design, there: frozenset[Qualified] = frozenset()) -> None:
        self._work = work
        self._design = made
        self._there = there
        self._metadata = sa.MetaData()
        self.lines: list[str] = []

    def enums(self) -> None:
        for (schema, name), labels in self._design.enums.items():
            place = self._design.shadows[schema]
            if (place, name) not in self._there:
                listed = ", ".join(literal(label) for label in labels)
                self._work.run(f"CREATE TYPE {qualified(place, name)} AS ENUM ({listed})")

    def table(self, structure: TableStructure) -> None:
        """The bare table with what it needs to take rows: generated columns, defaults, sequences."""
        generated = self._generated(structure)
        expressions = ddl.Expressions(generated=generated)
        if not self._attempt("", sa.schema.CreateTable(self._bare(structure, expressions))):
            self.lines += [f"{structure.table}: generated column {name}" for name in generated]
            self._work.run(sa.schema.CreateTable(self._bare(structure, ddl.Expressions())))
        for column in structure.columns:
            if column.generated is None and column.identity is None:
                self._default(structure, column)

    def _bare(self, structure: TableStructure, expressions: ddl.Expressions) -> sa.Table:
        place, name = self._name(structure)
        lost = {each.name for each in structure.columns if each.generated is not None}
        required = ddl.required_columns(structure) - (lost - expressions.generated.keys())
        return ddl.bare_table(
            sa.MetaData(),
            structure,
            place,
            name,
            self._design.type_of,
            required=required,
            expressions=expressions,
        )

    def _generated(self, structure: TableStructure) -> dict[str, str]:
        found = {}
        for column in structure.columns:
            if column.generated is None:
                continue
            sql = self._translated(structure, f"generated column {column.name}", column.generated)
            if sql is not None:
                found[column.name] = f"({sql})"
        return found

    def _default(self, structure: TableStructure, column: ColumnStructure) -> None:
        table = qualified(*self._name(structure))
        owned = {each.column: each for each in structure.sequences}.get(column.name)
        if owned is not None and column.default is not None and column.default.startswith("nextval("):
            sequence = qualified(self._name(structure)[0], owned.name)
            self._work.run(
                f"CREATE SEQUENCE {sequence} INCREMENT BY {int(owned.increment)}"
                f" OWNED BY {table}.{identifier(column.name)}"
            )
            sql: str | None = f"nextval({literal(sequence)}::regclass)"
        elif column.default is not None:
            sql = self._translated(structure, f"default of column {column.name}", column.default)
        else:
            return
        if sql is not None:
            line = f"{structure.table}: default of column {column.name}"
            self._attempt(
                line, f"ALTER TABLE {table} ALTER COLUMN {identifier(column.name)} SET DEFAULT {sql}"
            )

    def keys(self, structure: TableStructure) -> None:
        """Primary key, unique keys, checks and indexes: after the rows."""
        table = self._sa_table(structure)
        for key in ddl.unique_keys(structure):
            name = self._key_name(structure, key)
            if not self._is_there(structure, name):
                made = ddl.key_constraint(table, key, primary=key is structure.primary_key, name=name)
                self._essential(
                    structure, key.name, sa.schema.AddConstraint(made), ddl.repeated(table, key.columns)
                )
        for check in structure.checks:
            sql = self._translated(structure, f"check {check.name}", check.expression)
            if sql is not None and not self._is_there(structure, check.name):
                add = sa.schema.AddConstraint(ddl.check_constraint(table, check, f"({sql})"))
                self._attempt(f"{structure.table}: check {check.name}", add)
        for index in structure.indexes:
            if not self._is_there(structure, self._index_name(structure, index)):
                self._index(structure, table, index)

    def _index(self, structure: TableStructure, table: sa.Table, index: Index) -> None:
        line, name = f"{structure.table}: index {index.name}", self._index_name(structure, index)
        if index.definition is not None:
            if structure.engine != "postgresql":
                self.lines.append(f"{line} is in the SQL of {structure.engine}")
                return
            types = self._design.enum_names
            found = index_statement(index.definition, name, self._name(structure), types)
            if found.sql is None:
                self.lines.append(f"{line} {found.why}")
            else:
                self._attempt(line, found.sql)
            return
        method = index.method if structure.engine == "postgresql" else "btree"
        if re.fullmatch(r"[a-z]\w*", method) is None:
            self.lines.append(f"{line} by an unknown method")
            return
        made = sa.schema.CreateIndex(ddl.plain_index(table, index, name, postgresql_using=method))
        if index.unique:
            self._essential(structure, index.name, made, ddl.repeated(table, index.columns))
        else:
            self._attempt(line, made)

    def foreign_keys(self, structure: TableStructure) -> None:
        """Those whose parent is copied: after the keys of all tables."""
        child = self._sa_table(structure)
        for key in ddl.keys_within(structure, self._design.tables):
            if self._is_there(structure, key.name):
                continue
            parent = self._sa_table(self._design.tables[key.parent])
            made = sa.schema.AddConstraint(ddl.foreign_key_constraint(child, parent, key, key.name))
            self._essential(structure, key.name, made, ddl.orphans(child, parent, key))

    def sequences(self, structure: TableStructure) -> None:
        """The next value is beyond every one that a row has."""
        steps = {each.column: each.increment for each in structure.sequences}
        steps.update({each.name: steps.get(each.name, 1) for each in structure.columns if each.identity})
        table = qualified(*self._name(structure))
        for column, step in steps.items():
            last, beyond = ("max", ">= 1") if step > 0 else ("min", "<= -1")
            self._work.rows(
                "SELECT setval(pg_get_serial_sequence(%s, %s)::regclass, m.v) FROM"
                f" (SELECT {last}({_percents(identifier(column))})::bigint AS v FROM {_percents(table)}) m"
                f" WHERE m.v {beyond}",
                [table, column],
            )

    def _essential(
        self,
        structure: TableStructure,
        name: str,
        statement: sa.schema.ExecutableDDLElement,
        breaking: sa.Select[int],
    ) -> None:
        try:
            with self._work.savepoint():
                self._work.run(statement)
        except psycopg.Error as error:
            kind = _BREAKS.get(state_of(error))
            if kind is None:
                raise
        else:
            return
        raise VerificationFailed(
            f"{self._work.count(breaking)} rows break the {kind} {name!r}",
            where=str(structure.table),
            fix="nothing was published; mask its columns by a rule that keeps it, or mend them at the source",
        )

    def _attempt(self, line: str, statement: str | sa.schema.ExecutableDDLElement) -> bool:
        """Whether it could be made; if not, `line` is told. What fails for its rows is raised."""
        try:
            with self._work.savepoint():
                self._work.run(statement)
        except psycopg.Error as error:
            if state_of(error)[:2] not in _LACKS:
                raise
            if line:
                self.lines.append(f"{line} (the copy lacks something that it uses)")
            return False
        return True

    def _translated(self, structure: TableStructure, what: str, text: str) -> str | None:
        found = self._design.expression(structure, text)
        if found.sql is None:
            self.lines.append(f"{structure.table}: {what}, which {found.why}")
        return found.sql

    def _name(self, structure: TableStructure) -> Qualified:
        return (self._design.shadows[structure.table.schema], structure.table.name)

    def _sa_table(self, structure: TableStructure) -> sa.Table:
        place, name = self._name(structure)
        known = self._metadata.tables.get(f"{place}.{name}")
        if known is not None:
            return known
        columns: list[sa.Column[object]] = [sa.Column(each) for each in structure.names]
        return sa.Table(name, self._metadata, *columns, schema=place)

    def _is_there(self, structure: TableStructure, name: str) -> bool:
        return (self._name(structure)[0], name) in self._there or (
            (f"{self._name(structure)[0]}.{structure.table.name}", name) in self._there
        )

    @staticmethod
    def _key_name(structure: TableStructure, key: UniqueKey) -> str:
        if structure.engine == "postgresql":
            return key.name
        return suffixed(f"{structure.table.name}_{key.name}", "", limit=LIMIT)

    @staticmethod
    def _index_name(structure: TableStructure, index: Index) -> str:
        if structure.engine == "postgresql":
            return index.name
        return suffixed(f"{structure.table.name}_{index.name}", "", limit=LIMIT)


def _percents(name: str) -> str:
    """For a statement with parameters, where `%` begins a placeholder."""
    return name.replace("%", "%%")


def names_there(work: Work, schemas: Sequence[str]) -> frozenset[Qualified]:
    """Relations and types by schema; constraints by `schema.table`, where their names are unique."""
    rows = work.rows(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = ANY(%(s)s)"
        " UNION ALL SELECT n.nspname, t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace"
        " WHERE n.nspname = ANY(%(s)s) AND t.typtype = 'e'"
        " UNION ALL SELECT n.nspname || '.' || c.relname, k.conname FROM pg_constraint k"
        " JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = ANY(%(s)s)",
        {"s": list(schemas)},
    )
    return frozenset((row[0], row[1]) for row in rows)


def each_in_turn(work: Work, make: Callable[[Building], None], made: Design) -> list[str]:
    """One transaction with what is there already taken into account."""
    with work.transaction():
        building = Building(work, made, names_there(work, list(made.shadows.values())))
        make(building)
    return building.lines


def tried(work: Work, tables: Sequence[TableStructure]) -> list[str]:
    """What cannot be made, found by making all of it empty and undoing it."""
    mark = uuid4().hex[:12]
    with target_errors(work.where), work.records_connection.begin() as transaction:
        made = design(work, tables, lambda schema: suffixed(schema, f"__trial_{mark}", limit=LIMIT))
        for place in sorted(set(made.shadows.values())):
            work.run(f"CREATE SCHEMA {identifier(place)}")
        building = Building(work, made)
        building.enums()
        for structure in tables:
            building.table(structure)
        for structure in tables:
            building.keys(structure)
        for structure in tables:
            building.foreign_keys(structure)
        transaction.rollback()
    return [*made.lines, *building.lines]
