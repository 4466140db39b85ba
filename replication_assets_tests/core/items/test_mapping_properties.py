"""Any rows: items equal to those of a slow and obvious conversion, sizes never too small."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
from boto3.dynamodb.types import Binary, TypeDeserializer
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.items.canonical import canonical, item_size
from replication_assets.core.items.mapping import ItemMapping
from replication_assets.core.items.spec import Attribute, ItemKey, Items, Ttl
from replication_assets_tests.core.items.tables import SCHEMA, rows_of

UTC = dt.UTC
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
STAMPS = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30))
STORABLE = st.floats(1e-120, 1e120) | st.floats(-1e120, -1e-120) | st.just(0.0) | st.just(-0.0)

ROWS = st.fixed_dictionaries(
    {"id": st.integers(-(2**63), 2**63 - 1), "name": TEXTS},
    optional={
        "total": st.decimals(-9999999999, 9999999999, places=2),
        "fine": st.decimals(-(10**27), 10**27, places=10),
        "any_number": st.decimals(-(10**20), 10**20, places=6).map(str),
        "ratio": STORABLE | st.just(math.inf),
        "small": st.floats(0.5, 2.0, width=32),
        "paid": st.booleans(),
        "made_at": STAMPS.map(lambda at: at.replace(tzinfo=UTC)),
        "local_at": STAMPS,
        "day": st.dates(dt.date(1, 1, 2), dt.date(9999, 12, 30)),
        "raw": st.binary(max_size=9),
        "doc": st.dictionaries(TEXTS.filter(bool), st.lists(TEXTS | st.booleans()), max_size=3).map(
            json.dumps
        ),
        "tags": st.lists(st.from_regex(r"[a-z]{1,3}", fullmatch=True), max_size=4).map(
            lambda members: "{" + ",".join(members) + "}"
        ),
    },
)
NULLS = st.lists(st.sampled_from([name for name in SCHEMA.names if name not in ("id", "name")]))

ITEMS = Items(
    "shop.public.orders",
    "orders",
    partition_key=ItemKey("pk", "é#${id}"),
    sort_key=ItemKey("sk", "${id}", type="number"),
    attributes=[
        Attribute("label", "${name} at ${made_at}"),
        Attribute("inner", fields=[Attribute("day", "${day}"), Attribute("raw", "${raw}")]),
    ],
    exclude=["sheet"],
    types={"tags": "string-set"},
    ttl=Ttl("expires", column="local_at", days=3),
)


def _stamp(at: dt.datetime) -> str:
    return at.replace(tzinfo=None).isoformat(timespec="microseconds") + ("Z" if at.tzinfo else "")


def _shortest(value: float) -> Decimal:
    return Decimal(repr(value))


def reference(row: dict[str, Any]) -> dict[str, Any]:
    """The item of a row as boto3 reads it: one value after the other, absent where None."""
    at, local, ratio = row.get("made_at"), row.get("local_at"), row.get("ratio")
    members = [each for each in row.get("tags", "{}").strip("{}").split(",") if each]
    raw = None if row.get("raw") is None else Binary(row["raw"])
    day = row["day"].isoformat() if row.get("day") else None
    numbers = {
        name: Decimal(row[name]) for name in ("total", "fine", "any_number") if row.get(name) is not None
    }
    inner = {name: value for name, value in (("day", day), ("raw", raw)) if value is not None}
    item = {
        "pk": f"é#{row['id']}",
        "sk": Decimal(row["id"]),
        "id": Decimal(row["id"]),
        "name": row["name"],
        **numbers,
        "ratio": None if ratio is None else "Infinity" if ratio == math.inf else _shortest(ratio),
        "small": None if row.get("small") is None else _single(row["small"]),
        "paid": row.get("paid"),
        "made_at": _stamp(at) if at else None,
        "local_at": _stamp(local) if local else None,
        "day": day,
        "raw": raw,
        "doc": json.loads(row["doc"]) if row.get("doc") else None,
        "tags": set(members) or None,
        "label": f"{row['name']} at {_stamp(at)}" if at else None,
        "inner": inner,
        "expires": Decimal((local - dt.datetime(1970, 1, 1)) // dt.timedelta(seconds=1) + 3 * 86_400)
        if local
        else None,
    }
    return {name: value for name, value in item.items() if value is not None}


def _single(value: float) -> Decimal:
    """The shortest decimal that is this number in 32 bits."""
    return Decimal(str(np.float32(value)))


def read_as_boto3_does(text: str) -> dict[str, Any]:
    read = TypeDeserializer()
    return {name: read.deserialize(_with_bytes(value)) for name, value in json.loads(text).items()}


def _with_bytes(value: dict[str, Any]) -> dict[str, Any]:
    """boto3 is given bytes where the wire has base64."""
    ((kind, content),) = value.items()
    if kind == "B":
        return {"B": base64.b64decode(content)}
    if kind == "M":
        return {"M": {name: _with_bytes(each) for name, each in content.items()}}
    return {"L": [_with_bytes(each) for each in content]} if kind == "L" else value


@given(st.lists(ROWS, min_size=1, max_size=6))
def test_items_are_what_a_slow_conversion_makes_of_the_rows(rows: list[dict[str, Any]]) -> None:
    done = ItemMapping(ITEMS, SCHEMA).convert(rows_of(*rows))
    assert done.refusals == ()
    assert [read_as_boto3_does(text) for text in done.items["item"].to_pylist()] == [
        reference(r) for r in rows
    ]


@given(st.lists(ROWS, min_size=1, max_size=6))
def test_items_are_in_their_one_spelling_and_sized(rows: list[dict[str, Any]]) -> None:
    items = ItemMapping(ITEMS, SCHEMA).convert(rows_of(*rows)).items
    for item, key, size in zip(*(items[n].to_pylist() for n in ("item", "key", "size")), strict=True):
        parsed = json.loads(item)
        assert canonical(parsed) == item
        assert canonical({"pk": parsed["pk"], "sk": parsed["sk"]}) == key
        assert item_size(parsed) == size


@given(st.lists(ROWS, min_size=2, max_size=6))
def test_a_row_makes_the_same_item_in_any_company(rows: list[dict[str, Any]]) -> None:
    mapping = ItemMapping(ITEMS, SCHEMA)
    together = mapping.convert(rows_of(*rows)).items["item"].to_pylist()
    assert [mapping.convert(rows_of(row)).items["item"][0].as_py() for row in rows] == together
