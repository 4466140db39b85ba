"""Projections: what follows the event store, and where to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, TypeAlias

from replication_assets.core.documents.spec import Document
from replication_assets.core.shape_specs import Shape
from replication_assets.declarations.base import Declaration
from replication_assets.declarations.dynamodb import Items, LoadCapacity
from replication_assets.declarations.environments import ProjectionDatabase
from replication_assets.declarations.operations import Refusals, Validation
from replication_assets.secret_references import SecretReference

__all__ = [
    "DeltaProjection",
    "Document",
    "DynamoDbProjection",
    "Follow",
    "Projection",
    "SqlProjection",
]

Follow: TypeAlias = Literal["micro-batch", "inline"]


@dataclass(frozen=True, slots=True)
class DeltaProjection(Declaration):
    """Current rows of some tables as Delta tables under `root` (a folder or `s3://...`).

    `tables` are names as in `Table`, or `shop.*` for all of a source. `follow` "inline" projects
    in the run that captured, "micro-batch" in a run of its own. `storage_options` are as in
    `EventStoreConfig`. `documents` are columns of XML or JSON that arrive as JSON. `refusals` says what
    happens to rows and values that cannot be written, `validation` how it is held against its source.
    `freshness_seconds` is how far it may be behind the source, instead of `Watch.lag_sla_seconds`.
    `shapes` says which rows and columns of a table it has, and what the table is called; without one it has
    all, under the source's names.
    """

    name: str
    _: KW_ONLY
    tables: Sequence[str]
    root: str
    follow: Follow = "micro-batch"
    storage_options: Mapping[str, str | SecretReference] = field(default_factory=dict, hash=False)
    documents: Sequence[Document] = ()
    refusals: Refusals = Refusals()
    validation: Validation = Validation()
    freshness_seconds: float | None = None
    shapes: Sequence[Shape] = ()


@dataclass(frozen=True, slots=True)
class DynamoDbProjection(Declaration):
    """Current rows of some tables as items of DynamoDB tables.

    `items` says what becomes of each table. Credentials come from boto3's chain unless given by
    reference: `access_key_id`, `secret_access_key`. `follow`, `refusals`, `validation` and
    `freshness_seconds` and `shapes` are as in `DeltaProjection`. Checkpoints stand in
    `control_table` of the same account and region. `connections` is how many writes are in
    flight at a time, per run. Tombstones keep deleted items deleted under late and repeated
    writes; they go after `tombstone_hours`. `load_capacity` changes a table's capacity for the
    time that id ranges are filled, and restores it.
    """

    name: str
    _: KW_ONLY
    items: Sequence[Items]
    region: str | None = None
    endpoint_url: str | None = None
    access_key_id: SecretReference | None = None
    secret_access_key: SecretReference | None = None
    control_table: str = "replication_assets"
    follow: Follow = "micro-batch"
    connections: int = 16
    tombstone_hours: float = 24
    load_capacity: LoadCapacity | None = None
    refusals: Refusals = Refusals()
    validation: Validation = Validation()
    freshness_seconds: float | None = None
    shapes: Sequence[Shape] = ()

    @property
    def tables(self) -> Sequence[str]:
        """Names of the source tables, as in `Table`."""
        return tuple(items.table for items in self.items)


@dataclass(frozen=True, slots=True)
class SqlProjection(Declaration):
    """Current rows of some tables as tables of a SQL database, whichever engine they come from.

    `target` is the database: a source's schema becomes a schema of PostgreSQL, SQL Server or Oracle, a
    database of MySQL, a file of SQLite; with `into`, all tables go to the one that it names. `tables`,
    `follow`, `documents`, `refusals`, `validation` and `freshness_seconds` are as in `DeltaProjection`, and
    so are `shapes`.
    """

    name: str
    _: KW_ONLY
    tables: Sequence[str]
    target: ProjectionDatabase
    into: str | None = None
    follow: Follow = "micro-batch"
    documents: Sequence[Document] = ()
    refusals: Refusals = Refusals()
    validation: Validation = Validation()
    freshness_seconds: float | None = None
    shapes: Sequence[Shape] = ()


Projection: TypeAlias = DeltaProjection | DynamoDbProjection | SqlProjection
