"""Tables, rows and forged batches that the contract of environment targets is told with."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
from collections.abc import Callable
from typing import Protocol

import pyarrow as pa
from hypothesis import strategies as st

from replication_assets.core.masking.batches import MaskedBatch
from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.masking.seal import SealedBatch, seal
from replication_assets.core.schema import TableId
from replication_assets.core.structure import ForeignKey, Index, UniqueKey
from replication_assets.ports.environment import Marker
from replication_assets.targets.sql.target import SqlEnvironment
from replication_assets_tests.targets.sql.masked_copies import (
    AT,
    KEYS,
    Refresh,
    batch,
    copied,
    structure,
)


class EnvironmentPlace(Protocol):
    """One empty database."""

    def target(self, environment: str = "qa", trust: str = "nonproduction") -> SqlEnvironment:
        """A new object over the database, as another process would have it."""
        ...

    def ids(self, schema: str, table: str) -> list[int]:
        """Column `id` of a published table as a reader sees it, sorted; none if there is no table."""
        ...

    def add(self, schema: str, table: str) -> int:
        """A row of defaults, written behind the target's back; the `id` that the database gave it."""
        ...

    def strange_table(self) -> None:
        """A table of somebody else."""
        ...


OTHER_KEYS = KeyRing(bytes(range(1, 33)), environment="qa", scope="qa")
OTHER_ENVIRONMENT = KeyRing(bytes(range(32)), environment="dev", scope="qa")

CUSTOMER = copied(
    structure("customer", {"id": "bigint not null", "email": "text"}), id=pa.int64(), email=pa.string()
)
ORDER = copied(
    structure(
        "orders",
        {"id": "bigint not null", "customer_id": "bigint"},
        foreign_keys=(ForeignKey("orders_customer", ("customer_id",), CUSTOMER.structure.table, ("id",)),),
    ),
    id=pa.int64(),
    customer_id=pa.int64(),
)


def marker_of(keys: KeyRing) -> Marker:
    return Marker(keys.environment, "nonproduction", keys.public_key, keys.key_id, AT)


def copy_of(place: EnvironmentPlace, *ids: int) -> Refresh:
    """Customers with these ids, published."""
    refresh = Refresh(place.target(), [CUSTOMER]).begin()
    refresh.load(CUSTOMER, batch(CUSTOMER, *((each, f"{each}@masked.invalid") for each in ids)))
    return refresh.finish().publish()


Forgery = Callable[[Refresh, SealedBatch], SealedBatch]


def _unsigned(_: Refresh, sealed: SealedBatch) -> SealedBatch:
    return SealedBatch(sealed.payload, dataclasses.replace(sealed.certificate, signature=""))


def _changed(refresh: Refresh, sealed: SealedBatch) -> SealedBatch:
    other = refresh.sealed(CUSTOMER, batch(CUSTOMER, (1, "raw@example.com")))
    return SealedBatch(other.payload, sealed.certificate)


def _recounted(_: Refresh, sealed: SealedBatch) -> SealedBatch:
    return SealedBatch(sealed.payload, dataclasses.replace(sealed.certificate, rows=7))


def _claiming(keys: KeyRing = KEYS, **claims: str) -> Forgery:
    def forge(_: Refresh, sealed: SealedBatch) -> SealedBatch:
        claimed = dataclasses.replace(
            sealed.certificate.claims,
            environment=keys.environment,
            key_id=keys.key_id,
            **claims,  # type: ignore[arg-type]
        )
        rows = MaskedBatch(batch(CUSTOMER, (1, "a@masked.invalid")))
        return seal(rows, claimed, keys, checksum=0, counts={})

    return forge


def _renamed(_: Refresh, sealed: SealedBatch) -> SealedBatch:
    claims = dataclasses.replace(sealed.certificate.claims, chunk="r.1")
    return SealedBatch(sealed.payload, dataclasses.replace(sealed.certificate, claims=claims))


FORGERIES = {
    "unsigned": _unsigned,
    "changed after masking": _changed,
    "with another number of rows": _recounted,
    "renamed": _renamed,
    "of another refresh": _claiming(refresh="yesterday"),
    "of another policy": _claiming(policy="older"),
    "of another structure": _claiming(structure="0" * 32),
    "of another table": _claiming(table="crm.shop.orders"),
    "of another key": _claiming(OTHER_KEYS),
    "of another environment": _claiming(OTHER_ENVIRONMENT),
    "of a role that the plan has not": _claiming(role="upserts"),
}


BOSS = copied(
    structure(
        "boss",
        {"id": "bigint not null", "boss_id": "bigint", "team_id": "bigint", "team_no": "bigint"},
        foreign_keys=(
            ForeignKey("boss_boss", ("boss_id",), TableId("crm", "shop", "boss"), ("id",)),
            ForeignKey(
                "boss_team", ("team_id", "team_no"), TableId("crm", "shop", "team"), ("id", "no"),
                on_delete="CASCADE",
            ),
        ),
    ),
    id=pa.int64(), boss_id=pa.int64(), team_id=pa.int64(), team_no=pa.int64(),
)  # fmt: skip
TEAM = copied(
    structure(
        "team",
        {"id": "bigint not null", "no": "bigint not null", "lead": "bigint"},
        primary_key=UniqueKey("team_pkey", ("id", "no")),
        foreign_keys=(ForeignKey("team_boss", ("lead",), TableId("crm", "shop", "boss"), ("id",)),),
        indexes=(Index("team_lead", ("lead",)),),
    ),
    id=pa.int64(), no=pa.int64(), lead=pa.int64(),
)  # fmt: skip


def knotted(target: SqlEnvironment) -> Refresh:
    return Refresh(target, [BOSS, TEAM]).begin()


VALUES = copied(
    structure(
        "vals",
        {
            "id": "bigint not null",
            "small": "smallint",
            "whole": "integer",
            "big": "bigint",
            "ratio": "double precision",
            "real": "real",
            "amount": "numeric(20,4)",
            "flag": "boolean",
            "day": "date",
            "at": "timestamp without time zone",
            "seen": "timestamp with time zone",
            "raw": "bytea",
            "said": "text",
        },
    ),
    id=pa.int64(), small=pa.int16(), whole=pa.int32(), big=pa.int64(), ratio=pa.float64(), real=pa.float32(),
    amount=pa.decimal128(20, 4), flag=pa.bool_(), day=pa.date32(), at=pa.timestamp("us"),
    seen=pa.timestamp("us", tz="UTC"), raw=pa.binary(), said=pa.string(),
)  # fmt: skip

_TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12
) | st.sampled_from(
    ["", "\\N", '"', "\\.", "a\n\\.\nb", "\r\n", "NULL", ",", "\\", "'", " a ", "é\u0301", "\U0001f600", "\t"]
)
VALUE_ROWS = st.tuples(
    st.none() | st.integers(-(2**15), 2**15 - 1),
    st.none() | st.integers(-(2**31), 2**31 - 1),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.none() | st.decimals("-9999999999999999.9999", "9999999999999999.9999", places=4),
    st.none() | st.booleans(),
    st.none() | st.dates(dt.date(1000, 1, 1)),
    st.none() | st.datetimes(dt.datetime(1000, 1, 1)),
    st.none() | st.datetimes(dt.datetime(1971, 1, 1), dt.datetime(2037, 1, 1), timezones=st.just(dt.UTC)),
    st.none() | st.binary(max_size=8),
    st.none() | _TEXT,
).map(lambda row: tuple(decimal.Decimal(each) if isinstance(each, decimal.Decimal) else each for each in row))
