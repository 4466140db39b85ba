"""What makes a declared projection into topics or streams impossible, each with the way out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

from replication_assets.catalog_rules.catalog import (
    form_problems,
    label,
    name_problems,
    refusal_problems,
    table_problems,
)
from replication_assets.catalog_rules.shapes import shapes_problems
from replication_assets.catalog_rules.sources import bootstrap_rules, sasl_rules
from replication_assets.catalog_rules.watch import freshness_problems
from replication_assets.core.envelopes.specs import envelope_problems, spec_problems
from replication_assets.core.items.spec import Attribute
from replication_assets.declarations import (
    DmsEnvelope,
    KafkaProjection,
    KafkaSourceConfig,
    KinesisProjection,
    Messages,
    Projection,
    SourceConfig,
    Table,
    TopicProjection,
)
from replication_assets.declared_types import type_problems

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_STREAM = re.compile(r"[A-Za-z0-9._-]{1,128}")
_PLACES = ("${source}", "${schema}", "${table}")
LARGEST_RECORD = 10 * 1024 * 1024
"""Bytes of a record of Kinesis, where its stream is told to take as many."""


def topics_problems(
    topics: Sequence[TopicProjection],
    tables: Sequence[Table],
    sources: Sequence[SourceConfig],
    projections: Sequence[Projection],
) -> Iterator[str]:
    """All problems of projections into topics, and of how they fit to the rest of a catalog."""
    sound = []
    for each in topics:
        wrong = list(form_problems(each)) or list(_type_rules(each))
        if not wrong:
            sound.append(each)
            wrong = list(_rules(each, [table for table in tables if not list(form_problems(table))]))
        yield from (f"{label('topics', each.name)}: {problem}" for problem in wrong)
    others = [each.name for each in (*sources, *projections)]
    times = Counter([each.name for each in sound] + others)
    for name in sorted({each.name for each in sound if times[each.name] > 1}):
        yield f"topics: {times[name]} are called {name!r}. Fix: one name each, sources and all"
    for one, other in combinations(sound, 2):
        if _servers(one) == _servers(other):
            for name in sorted(_names(one, tables) & _names(other, tables)):
                yield f"topics: {one.name} and {other.name} both write topic {name}. Fix: a topic each"
    for each in sound:
        yield from _echoes(each, tables, sources)


def _rules(projection: TopicProjection, tables: Sequence[Table]) -> Iterator[str]:
    yield from name_problems(projection.name)
    yield from table_problems(projection.tables, tables)
    yield from refusal_problems(projection.refusals)
    yield from freshness_problems(projection.freshness_seconds)
    if isinstance(projection, KinesisProjection):
        yield from _kinesis_rules(projection)
    else:
        yield from _kafka_rules(projection)
    yield from _form_rules(projection)
    for name in sorted(str(each.id) for each in _tables(projection, tables) if each.where):
        # An event tells what one row became, not whether consumers have seen it before.
        yield f"{name} is filtered, and events tell every row. Fix: filter in shapes= of the projection"
    yield from _messages_rules(projection, tables)
    yield from shapes_problems(projection, tables)
    named = Counter(_topic(projection, each) for each in _tables(projection, tables))
    for name, times in named.items():
        yield from _name_rules(projection, name)
        sharing = [each for each in _tables(projection, tables) if _topic(projection, each) == name]
        if times > 1 and not all(projection.is_shared(str(each.id)) for each in sharing):
            yield f"{times} tables would have the one topic {name}. Fix: another topic=, or a projection each"


def _name_rules(projection: TopicProjection, name: str) -> Iterator[str]:
    if isinstance(projection, KinesisProjection):
        if not _STREAM.fullmatch(name):
            yield f"{name[:63]!r} is no name of a stream. Fix: up to 128 letters, digits, '.', '_' and '-'"
    elif not _TOPIC.fullmatch(name) or name in (".", ".."):
        yield f"{name[:63]!r} is no name of a topic. Fix: up to 249 letters, digits, '.', '_' and '-'"


def _kafka_rules(projection: KafkaProjection) -> Iterator[str]:
    yield from bootstrap_rules(projection.bootstrap_servers)
    yield from sasl_rules(projection)
    if projection.partitions is not None and not 1 <= projection.partitions <= 10_000:
        yield f"partitions {projection.partitions} is not between 1 and 10000. Fix: 6 is a start"
    if not 4096 <= projection.message_max_bytes <= 1_000_000_000:
        yield "message_max_bytes is not between 4096 and 1000000000. Fix: the brokers' message.max.bytes"


def _kinesis_rules(projection: KinesisProjection) -> Iterator[str]:
    if projection.shards is not None and not 1 <= projection.shards <= 10_000:
        yield f"shards {projection.shards} is not between 1 and 10000. Fix: 2 is a start"
    if not 4096 <= projection.message_max_bytes <= LARGEST_RECORD:
        yield f"message_max_bytes is not between 4096 and {LARGEST_RECORD}. Fix: what the stream takes"
    if (projection.access_key_id is None) != (projection.secret_access_key is None):
        yield "one of access_key_id and secret_access_key is missing. Fix: both, or neither"


def _type_rules(projection: TopicProjection) -> Iterator[str]:
    yield from (f"dms: {problem}" for problem in type_problems(projection.dms))
    for number, each in enumerate(projection.messages):
        yield from (f"messages {number}: {problem}" for problem in _form(each))


def _form(declared: Messages | Attribute) -> Iterator[str]:
    wrong = list(type_problems(declared))
    yield from wrong
    if wrong:
        return
    if isinstance(declared, Messages):
        inner = tuple(declared.attributes)
    else:
        inner = (*(declared.fields or ()), *(declared.elements or ()))
    for each in inner:
        yield from _form(each)


def _form_rules(projection: TopicProjection) -> Iterator[str]:
    for topic in (projection.topic, *(each.topic for each in projection.messages if each.topic is not None)):
        left = topic
        for place in _PLACES:
            left = left.replace(place, "")
        if "$" in left:
            named = "stream" if isinstance(projection, KinesisProjection) else "topic"
            yield f"{named} has a placeholder that is none. Fix: {', '.join(_PLACES)}"
    if projection.envelope == "debezium" and projection.format == "json":
        yield "format='json' is DMS's. Fix: leave it out, or envelope='dms'"
    if projection.envelope == "dms" and projection.schema != "none":
        yield "schema is Debezium's. Fix: leave it out, or envelope='debezium'"
    if projection.envelope == "debezium" and projection.dms != DmsEnvelope():
        yield "dms is of DMS's envelope. Fix: leave it out, or envelope='dms'"


def _messages_rules(projection: TopicProjection, tables: Sequence[Table]) -> Iterator[str]:
    yield from envelope_problems(projection.dms)
    projected = {str(each.id) for each in _tables(projection, tables)}
    seen: set[str] = set()
    for each in projection.messages:
        about = f"messages of {each.table[:100]}"
        if each.table not in projected:
            yield f"{about}: the projection has no such table. Fix: name one of its tables in full"
        if each.table in seen:
            yield f"{about}: declared twice. Fix: once for each table"
        seen.add(each.table)
        if each.is_shaped and projection.envelope != "dms":
            yield f"{about}: Debezium's have the columns of the table. Fix: topic alone, or envelope='dms'"
        yield from (f"{about}: {problem}" for problem in spec_problems(each))


def _echoes(
    projection: TopicProjection, tables: Sequence[Table], sources: Sequence[SourceConfig]
) -> Iterator[str]:
    """What a source reads must not be what is written of it: it would never end."""
    if isinstance(projection, KinesisProjection):
        return
    for source in sources:
        if isinstance(source, KafkaSourceConfig) and not list(form_problems(source)):
            own = [each for each in _tables(projection, tables) if each.id.source == source.name]
            both = {_topic(projection, each) for each in own} & set(source.topics)
            if both and _servers(source) & _servers(projection):
                yield (
                    f"topics: {projection.name} writes {', '.join(sorted(both))}, which source"
                    f" {source.name!r} reads: each message would come back. Fix: another topic="
                )


def _tables(projection: TopicProjection, tables: Sequence[Table]) -> list[Table]:
    named = set(projection.tables)
    return [each for each in tables if str(each.id) in named or f"{each.id.source}.*" in named]


def _topic(projection: TopicProjection, table: Table) -> str:
    return projection.topic_of(table.id.source, table.id.schema, table.id.name)


def _names(projection: TopicProjection, tables: Sequence[Table]) -> set[str]:
    sound = [table for table in tables if not list(form_problems(table))]
    return {_topic(projection, each) for each in _tables(projection, sound)}


def _servers(declared: TopicProjection | KafkaSourceConfig) -> frozenset[str]:
    """Where its topics are: two of one place and name are the same one."""
    if isinstance(declared, KinesisProjection):
        return frozenset({f"kinesis {declared.region} {declared.endpoint_url}"})
    return frozenset(each.strip().lower() for each in declared.bootstrap_servers.split(","))
