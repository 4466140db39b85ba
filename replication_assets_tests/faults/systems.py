"""The system that faults are done to: two small tables, audited, loaded, and kept in one projection."""

from __future__ import annotations

import dataclasses
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from replication_assets.catalog import (
    ByCount,
    DynamoDbProjection,
    ItemKey,
    Items,
    Split,
    SqliteTarget,
    SqlProjection,
    Table,
)
from replication_assets.core.schema import TableId
from replication_assets.errors import CommitConflict
from replication_assets.flows.prepare import ReplicatedTable
from replication_assets.flows.project import ProjectReceipt
from replication_assets.flows.read import fold_range
from replication_assets.flows.validation.repair import repair_projection
from replication_assets.flows.validation.validate import validate_projection
from replication_assets.ports import ProjectionTarget
from replication_assets.targets.dynamodb import DynamoDbSettings, DynamoDbTarget
from replication_assets.targets.dynamodb.wire.credentials import Credentials
from replication_assets.targets.dynamodb.wire.wire import WireSettings
from replication_assets_tests.dynamodb_servers import DynamoDbServer, fresh_table_name, items_of
from replication_assets_tests.e2e.system import (
    SOURCE,
    System,
    audit,
    check_changes,
    differences,
    doubled,
    system_of,
)
from replication_assets_tests.postgres_servers import FreshDatabase

T = TableId(SOURCE, "public", "t")
U = TableId(SOURCE, "public", "u")
ROWS = 300
LEASE_SECONDS = 4.0
"""How long a range is left alone whose writer died: waited for after every kill of one."""

CREATE = (
    "CREATE TABLE t (id int PRIMARY KEY, v int, body text)",
    "ALTER TABLE t ALTER body SET STORAGE EXTERNAL",
    "CREATE TABLE u (id int PRIMARY KEY, v int)",
    f"INSERT INTO t SELECT i, 0, 'b' FROM generate_series(1, {ROWS}) i",
    f"INSERT INTO u SELECT i, 0 FROM generate_series(1, {ROWS}) i",
)
LARGE = "UPDATE t SET body = repeat('large', 90000) WHERE id IN (3, 153, 297)"
"""One row in each range that is more than an item can hold, and is not sent when it stays."""

_Made = TypeVar("_Made", bound="FaultySystem")


class FaultySystem(System):
    """A lakehouse, unless a subclass says otherwise."""

    name = "lake"

    def change(self) -> None:
        """Rows of all id ranges come, go, change and move, in both tables, some in one transaction."""
        self.execute(
            "UPDATE t SET v = v + 1 WHERE id % 3 = 0",
            "BEGIN; INSERT INTO u SELECT max(id) + 1, 1 FROM u;"
            " UPDATE t SET id = (SELECT max(id) + 1 FROM t) WHERE id = (SELECT min(id) FROM t); COMMIT",
            "DELETE FROM t WHERE id = (SELECT min(id) FROM t WHERE id > 120)",
            "UPDATE u SET v = v + 1 WHERE id % 7 = 0",
        )

    def check_all(self) -> None:
        """Every committed change is stored once, the projection is the fold, and both are the source."""
        self.finish()
        check_changes(self, T)

    def spoil(self) -> None:
        """Make rows of two ranges wrong behind the back of their checkpoints."""
        snapshot = self.store.log(T).snapshot()
        target = self.target(T)
        for key in sorted(snapshot.range_keys())[:2]:
            checkpoint = target.checkpoint(key)
            assert checkpoint is not None
            rows = fold_range(snapshot, T, snapshot.id_ranges.by_key(key))
            wrong = [batch.slice(1) for batch in rows]
            target.replace(key, snapshot.schema, wrong, checkpoint.baseline, checkpoint.position)

    def repair(self) -> None:
        repaired = repair_projection(self.store, self.target(T), T, projection=self.name)
        assert repaired.after.passed


@dataclass(frozen=True)
class ServedSystem(FaultySystem):
    """Items of one DynamoDB table. Large ones are split."""

    name = "serving"
    server: DynamoDbServer = dataclasses.field(kw_only=True)
    control: str = dataclasses.field(kw_only=True)

    def items(self, table: TableId) -> Items:
        (projection,) = self.catalog.projections
        assert isinstance(projection, DynamoDbProjection)
        (items,) = (each for each in projection.items if each.table == str(table))
        return items

    def target(self, table: TableId) -> ProjectionTarget:
        """As the catalog declares it, but with a shorter lease."""
        settings = DynamoDbSettings(
            self.name,
            WireSettings(
                region=self.server.region,
                endpoint_url=self.server.endpoint_url,
                credentials=Credentials(self.server.access_key, self.server.secret_key),
                connections=4,
            ),
            control_table=self.control,
            lease_seconds=LEASE_SECONDS,
        )
        return DynamoDbTarget(settings, self.items(table), table, shared=True)

    def project(self, table: ReplicatedTable | None = None) -> list[ProjectReceipt]:
        """As a scheduler does: on a busy machine a short lease can end before its heart beats, and
        whoever holds it then stops and is started again."""
        for _ in range(2):
            with suppress(CommitConflict):
                return super().project(table)
        return super().project(table)

    def check_table(self, table: ReplicatedTable, *, independently: bool = True) -> None:
        expected = self.in_source(table.id, table.schema)
        assert differences(expected, self.in_store(table.id)) == [], f"{table.id}: fold"
        assert doubled(self.events(table.id), table.schema) == 0, f"{table.id}: events stored twice"
        wrong = validate_projection(self.store, self.target(table.id), table.id, projection=self.name).wrong
        assert list(wrong) == []
        if independently:
            pairs = Counter(tuple(row[:2]) for row in expected.elements())
            assert differences(pairs, self.served(table.id)) == [], f"{table.id}: items"

    def served(self, table: TableId) -> Counter[tuple[Any, ...]]:
        """`id` and `v` of all live items of a table, as boto3 reads them."""
        stored = items_of(self.server, self.items(table).into)
        live = [item for item in stored if "_deleted" not in item and "_part" not in item]
        own = [item for item in live if item["pk"]["S"].startswith(f"{table.name}#")]
        return Counter((int(item["id"]["N"]), int(item["v"]["N"])) for item in own)

    def spoil(self) -> None:
        client, into = self.server.client(), self.items(T).into
        lowest, highest = min(self.served(T)), max(self.served(T))
        for number, _ in (lowest, highest):
            key = {"pk": {"S": f"t#{number}"}}
            item = client.get_item(TableName=into, Key=key, ConsistentRead=True)["Item"]
            client.put_item(TableName=into, Item={**item, "v": {"N": "-1"}})


def lake_system(database: FreshDatabase, folder: Path) -> FaultySystem:
    """Prepared and loaded, with nothing captured yet."""
    made = system_of(database, folder, _tables())
    return _filled(FaultySystem(made.catalog, made.dsn))


@dataclass(frozen=True)
class CopiedSystem(FaultySystem):
    """Tables of a SQL database."""

    name = "copy"


def copied_system(database: FreshDatabase, folder: Path) -> CopiedSystem:
    made = system_of(database, folder, _tables())
    target = SqliteTarget(str(folder / "copies"))
    projection = SqlProjection("copy", tables=[f"{SOURCE}.*"], target=target)
    catalog = dataclasses.replace(made.catalog, projections=(projection,))
    return _filled(CopiedSystem(catalog, made.dsn))


def served_system(database: FreshDatabase, folder: Path, server: DynamoDbServer) -> ServedSystem:
    made = system_of(database, folder, _tables())
    into = fresh_table_name()
    items = [
        Items(
            str(each.id),
            into,
            partition_key=ItemKey("pk", f"{each.id.name}#${{id}}"),
            oversize=Split(200_000),
        )
        for each in made.catalog.tables
    ]
    projection = DynamoDbProjection("serving", items=items, endpoint_url=server.endpoint_url)
    catalog = dataclasses.replace(made.catalog, projections=(projection,))
    served = ServedSystem(catalog, made.dsn, server=server, control=fresh_table_name())
    return _filled(served, LARGE)


def _tables() -> list[Table]:
    return [Table(str(T), id_ranges=ByCount(3)), Table(str(U), id_ranges=ByCount(2))]


def _filled(made: _Made, *statements: str) -> _Made:
    made.execute(*CREATE, *statements)
    made.prepare()
    audit(made, "t")
    made.load_all()
    return made
