"""Items in one spelling, so that what was written and what is read back can be compared.

DynamoDB keeps values, not texts: it reads numbers back without trailing zeros, sets in any
order, names in any order. What `ItemMapping` writes is in this spelling already.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from replication_assets.core.items.documents import number_size
from replication_assets.core.items.numbers import canonical_number

Value: TypeAlias = Mapping[str, Any]
"""One typed value as DynamoDB's JSON has it: `{"S": "text"}`."""
Item: TypeAlias = Mapping[str, Value]


def canonical(item: Item) -> str:
    """An item's one text. Raises NotStorable for a number that DynamoDB could not have sent."""
    return _dumped({name: _canonical_value(value) for name, value in item.items()})


def item_size(item: Item) -> int:
    """Bytes by DynamoDB's rules; numbers as in `Converted.size`.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + value_size(value) for name, value in item.items())


def value_size(value: Value) -> int:
    """Bytes of one value, without its name."""
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        return number_size(canonical_number(content))
    if kind == "B":
        return len(base64.b64decode(content))
    if kind == "M":
        return 3 + sum(len(name.encode()) + value_size(each) + 1 for name, each in content.items())
    if kind == "L":
        return 3 + sum(value_size(each) + 1 for each in content)
    if kind in ("SS", "NS", "BS"):
        return sum(value_size({kind[0]: member}) for member in content)
    return 1


def _canonical_value(value: Value) -> dict[str, Any]:
    ((kind, content),) = value.items()
    if kind == "N":
        return {kind: canonical_number(content)}
    if kind == "NS":
        return {kind: sorted({canonical_number(member) for member in content})}
    if kind in ("SS", "BS"):
        return {kind: sorted(set(content))}
    if kind == "L":
        return {kind: [_canonical_value(each) for each in content]}
    if kind == "M":
        return {kind: {name: _canonical_value(each) for name, each in content.items()}}
    return {kind: content}


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
