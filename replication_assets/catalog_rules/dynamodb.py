"""What makes a declared DynamoDB projection impossible, before any table is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from replication_assets.core.items.rules import TABLE_NAME, spec_problems
from replication_assets.core.items.spec import Attribute, Items, Oversize
from replication_assets.declarations import DynamoDbProjection, LoadCapacity, Projection
from replication_assets.declared_types import type_problems


def dynamodb_problems(projection: DynamoDbProjection) -> Iterator[str]:
    """Everything about its items and tables; its name and source tables are looked at elsewhere."""
    sound = []
    if not TABLE_NAME.fullmatch(projection.control_table):
        name = projection.control_table[:60]
        yield f"control_table {name!r} is no DynamoDB table. Fix: 3 to 255 letters, digits, _ . -"
    for items in projection.items:
        label = f"items of {str(items.table)[:100]}"
        problems = list(_form(items)) or list(spec_problems(items))
        sound += [] if problems else [items]
        yield from (f"{label}: {problem}" for problem in problems)
        if str(items.table).endswith(".*"):
            yield f"{label}: keys are declared for one table at a time. Fix: name each table"
        if items.into == projection.control_table:
            yield f"{label}: into is the control table {items.into!r}. Fix: a table of its own"
    yield from _shared_tables(sound)
    if not 1 <= projection.connections <= 256:
        yield f"connections {projection.connections} is not between 1 and 256. Fix: 16 is a start"
    if not 0 < projection.tombstone_hours < float("inf"):
        yield "tombstone_hours is not above 0. Fix: longer than a run may take, 24 is a start"
    if (projection.access_key_id is None) != (projection.secret_access_key is None):
        yield "one of access_key_id and secret_access_key is missing. Fix: both, or neither"
    if projection.load_capacity is not None:
        yield from _capacity_problems(projection.load_capacity)


def rival_problems(projections: Sequence[Projection]) -> Iterator[str]:
    """Projections that would write, and bury, each other's items."""
    served = [each for each in projections if isinstance(each, DynamoDbProjection)]
    for one, other in combinations(served, 2):
        if (one.region, one.endpoint_url) != (other.region, other.endpoint_url):
            continue
        both = {(items.table, items.into) for items in one.items}
        for items in other.items:
            if (items.table, items.into) in both:
                yield (
                    f"{one.name} and {other.name} both write the rows of {items.table} to {items.into!r}: "
                    "each would undo what the other does. Fix: one of them, or a table each"
                )


def _form(items: Items) -> Iterator[str]:
    wrong = list(type_problems(items))
    yield from wrong
    if wrong:
        return
    for key in items.keys:
        yield from (f"key {problem}" for problem in type_problems(key))
    for attribute in items.attributes:
        yield from _attribute_form(attribute)
    if items.ttl is not None:
        yield from (f"ttl {problem}" for problem in type_problems(items.ttl))
    if items.condition is not None:
        wrong = list(type_problems(items.condition))
        yield from (f"condition {problem}" for problem in wrong)
        for value in items.condition.values if not wrong else ():
            yield from _attribute_form(value)
    yield from _oversize_form(items.oversize)


def _attribute_form(attribute: Attribute) -> Iterator[str]:
    wrong = list(type_problems(attribute))
    yield from (f"attribute {problem}" for problem in wrong)
    if not wrong:
        for each in (*(attribute.fields or ()), *(attribute.elements or ())):
            yield from _attribute_form(each)


def _oversize_form(oversize: Oversize) -> Iterator[str]:
    if not isinstance(oversize, str):
        yield from (f"oversize {problem}" for problem in type_problems(oversize))


def _shared_tables(declared: Sequence[Items]) -> Iterator[str]:
    """Tables that several source tables write to: one shape of key, and keys that cannot meet."""
    for one, other in combinations(declared, 2):
        if one.into != other.into:
            continue
        shapes = [[(key.name, key.type) for key in items.keys] for items in (one, other)]
        both = f"{one.table} and {other.table} write to {one.into!r}"
        if shapes[0] != shapes[1]:
            yield f"{both} with different keys. Fix: the same names and types, or a table each"
        elif [key.template for key in one.keys] == [key.template for key in other.keys]:
            yield (
                f"{both} with the same key templates: rows of one would overwrite the other's. "
                "Fix: a prefix of its own for each, as 'order#${id}'"
            )


def _capacity_problems(capacity: LoadCapacity) -> Iterator[str]:
    wrong = list(type_problems(capacity))
    yield from (f"load_capacity {problem}" for problem in wrong)
    if wrong:
        return
    if capacity.mode == "pre-warm" and (capacity.write_units is None or capacity.write_units < 1):
        yield "load_capacity pre-warm has no write_units. Fix: the write units a second that the load needs"
    if capacity.mode == "on-demand" and capacity.write_units is not None:
        yield "load_capacity on-demand has write_units. Fix: drop them, or mode='pre-warm'"
