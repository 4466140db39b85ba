"""What triggers are known to write, and what the server says of tables and triggers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.trigger_log import Shape
from replication_assets.sources.oracle.reflection import names_of
from replication_assets.sources.oracle.sessions import Binds, Session
from replication_assets.sources.oracle.statements import trigger_log
from replication_assets.sources.oracle.statements import triggers as sql
from replication_assets.sources.oracle.statements.triggers import LogNames
from replication_assets.sources.oracle.types import column_of


def name_of(table: TableId) -> str:
    """What `Shape.table` says of a table."""
    return json.dumps([table.schema, table.name])


def replicated_column(name: str, kind: str) -> Column:
    """A column of a shape."""
    return column_of(name, kind, True)


@dataclass(frozen=True, slots=True)
class KeptShape:
    """A shape as the log has it. `place` is the number in its trigger's name, `segments` the numbers of what
    holds the table's rows, `settled` says that no transaction is left that wrote before the trigger did."""

    shape: Shape
    place: int
    segments: frozenset[str]
    append_only: bool
    live: bool
    settled: bool
    confirmed: bool

    @property
    def owner_and_name(self) -> tuple[str, str]:
        owner, name = json.loads(self.shape.table)
        return owner, name

    def binds(self) -> Binds:
        """Of `trigger_log.add_shape`."""
        owner, name = self.owner_and_name
        return {
            "shape": self.shape.number,
            "place": self.place,
            "owner": owner,
            "name": name,
            "body": self.shape.body(),
            "segments": segments_body(self.segments),
            "append_only": int(self.append_only),
            "settled": int(self.settled),
            "confirmed": int(self.confirmed),
        }

    def columns(self) -> tuple[Column, ...]:
        """As the table of the log has them."""
        return tuple(replicated_column(*each) for each in self.shape.columns)

    def schema(self, now: TableSchema) -> TableSchema:
        """Columns of the shape; those that are as they were then have the types that they have now."""
        same = {(column.name, column.source_type): column for column in now.columns}
        columns = tuple(same.get(each) or replicated_column(*each) for each in self.shape.columns)
        return TableSchema(columns, self.shape.key, self.append_only)


def read_shapes(session: Session, names: LogNames) -> dict[int, KeptShape]:
    """All shapes by number, in their order."""
    found = {}
    for number, place, owner, name, body, segments, append_only, *flags in session.rows(
        trigger_log.read_shapes(names)
    ):
        live, settled, confirmed = (bool(each) for each in flags)
        found[int(number)] = KeptShape(
            Shape.from_body(int(number), json.dumps([owner, name]), str(body)),
            int(place),
            frozenset(json.loads(str(segments))),
            bool(append_only),
            live,
            settled,
            confirmed,
        )
    return found


def live_shapes(session: Session, names: LogNames) -> dict[str, KeptShape]:
    """Shapes that triggers write now, by the name of their table."""
    return {each.shape.table: each for each in read_shapes(session, names).values() if each.live}


def segments_of(session: Session, table: TableId) -> frozenset[str]:
    """What holds the table's rows: TRUNCATE, MOVE and EXCHANGE PARTITION give other numbers."""
    return frozenset(
        f"{int(number)}:{'' if data is None else int(data)}"
        for number, data in session.rows(sql.DATA_NUMBERS, names_of(table))
    )


def segments_body(segments: frozenset[str]) -> str:
    return json.dumps(sorted(segments))


@dataclass(frozen=True, slots=True)
class StandingTrigger:
    """A row trigger of ours: the table that it stands on, whether it fires, and the table that it writes."""

    name: str
    owner: str
    table: str
    enabled: bool
    writes: str


def standing_triggers(session: Session, names: LogNames) -> Mapping[str, StandingTrigger]:
    """By their names."""
    patterns = {"changes": names.pattern("C"), "triggers": names.pattern("T")}
    return {
        str(name): StandingTrigger(str(name), str(owner), str(table), status == "ENABLED", str(writes or ""))
        for name, owner, table, status, writes in session.rows(sql.STANDING, patterns)
    }
