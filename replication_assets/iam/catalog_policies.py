"""The documents of a catalog: one or more for each principal that it is used by.

The process has a role. A projection or an event store whose access keys are declared is reached as
somebody else, who gets a document of their own. Refused: a declaration of a kind that no rule here
knows, so that a new kind of source or target cannot be left out in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Never

from replication_assets.catalog import Catalog
from replication_assets.declarations import (
    CloudWatch,
    DeltaProjection,
    DynamoDbProjection,
    Email,
    KafkaProjection,
    KafkaSourceConfig,
    KinesisProjection,
    LandedSourceConfig,
    MySqlSourceConfig,
    OracleSourceConfig,
    PostgresSourceConfig,
    Projection,
    Prometheus,
    Sns,
    SourceConfig,
    SqliteSourceConfig,
    SqlProjection,
    SqlServerSourceConfig,
    TopicProjection,
    Webhook,
)
from replication_assets.declarations.references import declared_references
from replication_assets.errors import CatalogError
from replication_assets.iam.dms_tasks import task_statements
from replication_assets.iam.items import item_statements
from replication_assets.iam.place import Place, literal
from replication_assets.iam.policy import Document, Statement, documents
from replication_assets.iam.references import reading, storing
from replication_assets.iam.storage import delta_statements, has_own_credentials, landed_statements
from replication_assets.iam.streams import stream_statements
from replication_assets.iam.topics import read_statements, write_statements

PROCESS = "process"
OPERATOR = "secrets-operator"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the catalog does not say. `kms_keys` are those that its secrets, parameters and objects
    are encrypted with, `clusters` those of MSK by name of the source or projection. Without `create` tables
    and topics are expected to be there."""

    _: KW_ONLY
    kms_keys: Sequence[str] = ()
    clusters: Mapping[str, str] = field(default_factory=dict, hash=False)
    create: bool = True


@dataclass(frozen=True, slots=True)
class _Granted:
    principal: str
    statement: Statement


def catalog_policies(catalog: Catalog, place: Place, wanted: Wanted = Wanted()) -> dict[str, Document]:
    """Documents by the name of their principal; further ones of the same are `name-2`, `name-3`.

    Raises:
        CatalogError: a cluster is not known, or a statement is too long.
    """
    granted = list(_granted(catalog, place, wanted))
    references = [each.reference for each in declared_references(catalog)]
    granted += [_Granted(OPERATOR, each) for each in storing(place, references, wanted.kms_keys)]
    principals = dict.fromkeys([PROCESS, *(each.principal for each in granted)])
    return {
        name if number == 1 else f"{name}-{number}": document
        for name in principals
        for number, document in enumerate(
            documents(each.statement for each in granted if each.principal == name), 1
        )
    }


def _granted(catalog: Catalog, place: Place, wanted: Wanted) -> Iterator[_Granted]:
    store = catalog.event_store
    owner = "event-store" if has_own_credentials(store.storage_options) else PROCESS
    for each in delta_statements(
        place, "the event store", store.root, store.storage_options, wanted.kms_keys
    ):
        yield _Granted(owner, each)
    for source in catalog.sources:
        own = isinstance(source, LandedSourceConfig) and has_own_credentials(source.storage_options)
        for each in _of_source(place, source, wanted):
            yield _Granted(f"source-{source.name}" if own else PROCESS, each)
    for projection in catalog.projections:
        own = _has_own_keys(projection)
        for each in _of_projection(catalog, place, projection, wanted):
            yield _Granted(f"projection-{projection.name}" if own else PROCESS, each)
    for topics in catalog.topics:
        folders = {
            table.id.folder: topics.topic_of(table.id.source, table.id.schema, table.id.name)
            for table in catalog.projected(topics)
        }
        own = isinstance(topics, KinesisProjection) and topics.access_key_id is not None
        for each in _of_topics(place, topics, folders, wanted):
            yield _Granted(f"projection-{topics.name}" if own else PROCESS, each)
    for task in catalog.dms_tasks:
        for each in task_statements(task):
            yield _Granted(PROCESS if task.access_key_id is None else f"dms-task-{task.name}", each)
    for each in _of_watch(catalog):
        yield _Granted(PROCESS, each)
    references = [each.reference for each in declared_references(catalog)]
    for each in reading(place, references, wanted.kms_keys):
        yield _Granted(PROCESS, each)


def _of_source(place: Place, source: SourceConfig, wanted: Wanted) -> Iterator[Statement]:
    if isinstance(source, KafkaSourceConfig):
        yield from read_statements(source, wanted.clusters)
    elif isinstance(source, LandedSourceConfig):
        whose = f"source {source.name}"
        yield from landed_statements(place, whose, source.root, source.storage_options, wanted.kms_keys)
    elif not isinstance(
        source,
        PostgresSourceConfig
        | MySqlSourceConfig
        | SqliteSourceConfig
        | SqlServerSourceConfig
        | OracleSourceConfig,
    ):
        _no_rule(source)


def _of_projection(
    catalog: Catalog, place: Place, projection: Projection, wanted: Wanted
) -> Iterator[Statement]:
    if isinstance(projection, DeltaProjection):
        whose = f"projection {projection.name}"
        options = projection.storage_options
        yield from delta_statements(place, whose, projection.root, options, wanted.kms_keys)
    elif isinstance(projection, DynamoDbProjection):
        folders = {str(table.id): table.id.folder for table in catalog.projected(projection)}
        yield from item_statements(place, projection, folders, create=wanted.create)
    elif not isinstance(projection, SqlProjection):
        _no_rule(projection)


def _of_topics(
    place: Place, topics: TopicProjection, folders: Mapping[str, str], wanted: Wanted
) -> Iterator[Statement]:
    if isinstance(topics, KafkaProjection):
        yield from write_statements(topics, folders, wanted.clusters, create=wanted.create)
    elif isinstance(topics, KinesisProjection):
        names = list(folders.values())
        yield from stream_statements(place, topics, names, wanted.kms_keys, create=wanted.create)
    else:
        _no_rule(topics)


def _has_own_keys(projection: Projection) -> bool:
    if isinstance(projection, DynamoDbProjection):
        return projection.access_key_id is not None
    return isinstance(projection, DeltaProjection) and has_own_credentials(projection.storage_options)


def _of_watch(catalog: Catalog) -> Iterator[Statement]:
    for channel in catalog.watch.notify:
        if isinstance(channel, Sns):
            yield Statement("tell", ("sns:Publish",), (channel.topic_arn,))
        elif not isinstance(channel, Webhook | Email):
            _no_rule(channel)
    for export in catalog.watch.metrics:
        if isinstance(export, CloudWatch):
            # The one action that takes no resource: the namespace is its bound.
            bound = {"StringEquals": {"cloudwatch:namespace": (literal(export.namespace),)}}
            yield Statement("publish metrics", ("cloudwatch:PutMetricData",), ("*",), bound)
        elif not isinstance(export, Prometheus):
            _no_rule(export)


def _no_rule(declared: Never) -> Never:
    """mypy finds a kind without a rule first."""
    problem = (
        f"what AWS must allow for {type(declared).__name__} is not known. Fix: write that policy by hand"
    )
    raise CatalogError([problem], where="iam")
