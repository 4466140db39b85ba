"""Sample messages: what Kafka or Kinesis gets of a few loaded rows, without sending anything.

The envelope is that of DMS without its optional members; its `timestamp`, when the message was made, is
left out of samples. NULLs are left out, as without `IncludeNullAndEmpty`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from replication_assets.dms.messages import MessageAttribute, Messages, Tree
from replication_assets.dms.outcome import TableOutcome
from replication_assets.dms.samples import target_rows

_COLUMN = re.compile(r"\$\{([^}]+)\}")


def sample_messages(messages: Messages, outcome: TableOutcome, rows: pa.RecordBatch) -> list[dict[str, Any]]:
    """Topic, key and value of the message of each row."""
    targets = target_rows(outcome, rows)
    sources = rows.to_pylist()
    return [
        _message(messages, outcome, target, source) for target, source in zip(targets, sources, strict=True)
    ]


def _message(
    messages: Messages, outcome: TableOutcome, target: Mapping[str, Any], source: Mapping[str, Any]
) -> dict[str, Any]:
    named = _by_any_name(outcome, target, source)
    attributes = {each.name: _attribute(each, named) for each in messages.attributes}
    kept = {
        each.target: _json(target[each.target])
        for each in outcome.columns
        if each.source not in messages.excluded and target[each.target] is not None
    }
    written = {name: value for name, value in attributes.items() if value is not None}
    data = kept | written if messages.columns == "attributes" else {"_doc": kept} | written
    source_table = outcome.source
    metadata = {
        "record-type": "data",
        "operation": "load",
        "partition-key-type": messages.key.of_loads,
        "schema-name": source_table.schema,
        "table-name": source_table.name,
    }
    key = _key(messages, outcome, named, attributes)
    return {"topic": messages.topic, "key": key, "value": {"data": data, "metadata": metadata}}


def _by_any_name(
    outcome: TableOutcome, target: Mapping[str, Any], source: Mapping[str, Any]
) -> dict[str, Any]:
    """Values by the names that templates use: a column that is masked is so under its old name too."""
    added = {each.target: target[each.target] for each in outcome.columns if each.source is None}
    changed = {
        each.source: target[each.target] for each in outcome.columns if each.source and not each.before
    }
    return {**source, **added, **changed}


def _key(
    messages: Messages, outcome: TableOutcome, named: Mapping[str, Any], attributes: Mapping[str, Any]
) -> str | None:
    kind, value = messages.key.of_loads, messages.key.value
    if kind == "schema-table":
        return str(outcome.source)
    if kind == "primary-key":
        return ".".join(_text(named[name]) for name in outcome.key) or str(outcome.source)
    if kind == "constant":
        return value
    if kind == "attribute-name":
        name = value or ""
        found = attributes[name] if name in attributes else named.get(name)
        return None if found is None else _text(found)
    # A loaded row has no transaction.
    return None


def _attribute(attribute: MessageAttribute, named: Mapping[str, Any]) -> Any:
    value = _filled(attribute.value, named)
    if not isinstance(value, str) or attribute.type not in ("number", "boolean"):
        return value
    if attribute.type == "boolean":
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower(), value)
    try:
        return _json(Decimal(value.strip()))
    except ArithmeticError:
        return value


def _filled(tree: Tree, named: Mapping[str, Any]) -> Any:
    """The tree with columns put in; None for a text of which a column is NULL."""
    if isinstance(tree, Mapping):
        parts = {name: _filled(part, named) for name, part in tree.items()}
        return {name: part for name, part in parts.items() if part is not None}
    if isinstance(tree, str):
        names = _COLUMN.findall(tree)
        if any(named[name] is None for name in names):
            return None
        return _COLUMN.sub(lambda found: _text(named[found[1]]), tree)
    if isinstance(tree, Sequence):
        return [part for part in (_filled(each, named) for each in tree) if part is not None]
    return tree


def _text(value: Any) -> str:
    shown = _json(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    return shown if isinstance(shown, str) else str(shown).lower() if isinstance(shown, bool) else str(shown)


def _json(value: Any) -> Any:
    """A value as DMS writes it into JSON; a number that a float does not hold exactly is a text."""
    if isinstance(value, Decimal):
        if value == value.to_integral_value():
            return int(value)
        return float(value) if Decimal(repr(float(value))) == value else format(value, "f")
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None).isoformat() + "Z"
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    return value
