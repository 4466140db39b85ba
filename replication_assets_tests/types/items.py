"""What a value is in DynamoDB: written anew from docs/projection-dynamodb.md, without the project's code."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from replication_assets.catalog import DynamoDbProjection, EnvVar, ItemKey, Items
from replication_assets.core.schema import TableId
from replication_assets_tests.dynamodb_servers import DynamoDbServer, fresh_table_name, items_of
from replication_assets_tests.types.cases import Case
from replication_assets_tests.types.meanings import Meaning

Attribute: TypeAlias = tuple[str, Any]
"""DynamoDB's type and the value; numbers as decimals without trailing zeros."""

ABSENT: Attribute = ("absent", None)
REFUSED: Attribute = ("refused", None)
DOCUMENTS = ("json", "jsonb", "xml")


def projection(server: DynamoDbServer, table: TableId, columns: Mapping[str, Case]) -> DynamoDbProjection:
    """Every column an attribute. Documents as their text: what a map is made of is tested elsewhere."""
    kept = {name: "string" for name, each in columns.items() if each.declared.lower() in DOCUMENTS}
    key = ItemKey("pk", "row#${id}")
    items = Items(str(table), fresh_table_name(), partition_key=key, types=kept)  # type: ignore[arg-type]
    return DynamoDbProjection(
        "dynamodb",
        items=[items],
        region=server.region,
        endpoint_url=server.endpoint_url,
        access_key_id=EnvVar("TEST_AWS_KEY"),
        secret_access_key=EnvVar("TEST_AWS_SECRET"),
        control_table=fresh_table_name(),
        connections=4,
    )


def found_items(
    server: DynamoDbServer, table: str, columns: Mapping[str, Case]
) -> dict[int, dict[str, Attribute]]:
    return {
        int(item["id"]["N"]): {name: _read(item.get(name)) for name in columns}
        for item in items_of(server, table)
    }


def _read(attribute: Mapping[str, Any] | None) -> Attribute:
    if attribute is None:
        return ABSENT
    ((kind, value),) = attribute.items()
    return kind, _number(value) if kind == "N" else value


def expected(each: Case, meaning: Meaning, refused: bool) -> Attribute:
    """`refused`: a dead letter names the column of the row."""
    value, odd = meaning
    wanted = _expected(each, value, odd)
    if wanted == REFUSED:
        assert refused, each.declared
        return ABSENT
    assert not refused, each.declared
    return wanted


def _expected(each: Case, value: Any, odd: str | None) -> Attribute:
    kind = each.stored
    if value is None:
        return ABSENT if odd is None else _of_odd(kind, odd)
    if pa.types.is_boolean(kind):
        return "BOOL", value
    if pa.types.is_binary(kind):
        return "B", value
    if pa.types.is_string(kind):
        is_number = each.declared.lower().partition("(")[0] == "numeric"
        return _decimal(value) if is_number else ("S", value)
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return "S", _moment(value)
    if pa.types.is_float32(kind):
        # The fewest digits that read back as the same single.
        return _decimal(str(np.float32(value)))
    return _decimal(str(value).removeprefix("Decimal('").removesuffix("')"))


def _of_odd(kind: pa.DataType, odd: str) -> Attribute:
    if pa.types.is_boolean(kind) or pa.types.is_binary(kind):
        return REFUSED
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return _decimal(odd) if is_number else ("S", odd)


def _moment(value: dt.date) -> str:
    if not isinstance(value, dt.datetime):
        return value.isoformat()
    return value.replace(tzinfo=None).isoformat(timespec="microseconds") + ("Z" if value.tzinfo else "")


def _decimal(text: str) -> Attribute:
    words = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity", "infinity": "Infinity"}
    word = words.get(text.lower().replace("-infinity", "-inf"))
    if word is not None:
        return "S", word
    try:
        number = _number(text)
    except InvalidOperation:
        return REFUSED
    digits = len(number.as_tuple().digits)
    return ("N", number) if digits <= 38 and (number == 0 or -130 <= number.adjusted() <= 125) else REFUSED


def _number(text: str) -> Decimal:
    """Without trailing zeros and without the sign of zero, whatever its length."""
    sign, digits, exponent = Decimal(text).as_tuple()
    assert isinstance(exponent, int)
    shown = list(digits)
    while len(shown) > 1 and shown[-1] == 0:
        shown.pop()
        exponent += 1
    return Decimal(0) if shown == [0] else Decimal((sign, tuple(shown), exponent))
