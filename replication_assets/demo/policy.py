"""The sample system's masking policy: what testers may see of a shop's customers and orders.

Each column says what it was when it was reviewed. Add a column to the monolith, or make one
nullable, and the next refresh stops and names it.
"""

from __future__ import annotations

from replication_assets import masks
from replication_assets.catalog import ColumnPolicy, MaskingPolicy, TablePolicy


def sample_policy() -> MaskingPolicy:
    """Policy `testers`: a customer is the same made-up person in every table."""
    return MaskingPolicy(
        "testers", version="1", tables=(_widgets(), _customers(), _orders(), _order_events())
    )


def _public(reviewed: str) -> ColumnPolicy:
    return ColumnPolicy("public", reviewed=reviewed)


def _widgets() -> TablePolicy:
    return TablePolicy(
        "shop.public.widgets",
        columns={
            "id": _public("integer not null default"),
            "name": _public("text not null"),
            "price": _public("numeric(10,2) not null"),
            "attributes": ColumnPolicy(
                "internal.document",
                masks.JsonPaths({"$.colour": masks.Keep(), "$.weight_g": masks.Keep()}),
                reviewed="jsonb",
            ),
            "datasheet": ColumnPolicy(
                "internal.document",
                masks.XmlPaths({"/datasheet/@number": masks.Keep(), "/datasheet/material": masks.Keep()}),
                reviewed="text",
            ),
        },
    )


def _customers() -> TablePolicy:
    return TablePolicy(
        "shop.public.customers",
        columns={
            "id": ColumnPolicy("pii.identifier", masks.UuidId("customer"), reviewed="uuid not null"),
            "email": ColumnPolicy("pii.email", masks.Email(), reviewed="text not null"),
            "name": ColumnPolicy("pii.name", masks.PersonName(), reviewed="text not null"),
            "phone": ColumnPolicy("pii.phone", masks.Phone(), reviewed="text"),
            "born_on": ColumnPolicy("pii.birth_date", masks.DateShift(180), reviewed="date"),
            "created_at": _public("timestamp with time zone not null"),
        },
    )


def _orders() -> TablePolicy:
    return TablePolicy(
        "shop.public.orders",
        columns={
            "id": _public("bigint not null default"),
            "customer_id": ColumnPolicy("pii.identifier", masks.UuidId("customer"), reviewed="uuid not null"),
            "status": _public("public.order_status(placed|paid|shipped|delivered|cancelled) not null"),
            "total": ColumnPolicy("internal.amount", masks.Noise(0.1), reviewed="numeric(12,2) not null"),
            "placed_at": _public("timestamp with time zone not null"),
            "details": ColumnPolicy(
                "internal.document",
                masks.XmlPaths({"/order/line/@widget": masks.Keep(), "/order/line/@quantity": masks.Keep()}),
                reviewed="text",
            ),
        },
    )


def _order_events() -> TablePolicy:
    return TablePolicy(
        "shop.public.order_events",
        columns={
            "id": _public("bigint not null default"),
            "aggregate_id": _public("bigint not null"),
            "event_timestamp": _public("timestamp with time zone not null"),
            "version": _public("integer not null"),
            "conversation_id": ColumnPolicy(
                "pii.identifier", masks.UuidId("conversation"), reviewed="uuid not null"
            ),
            "created_at": _public("date not null"),
            "event_data": ColumnPolicy(
                "internal.document",
                masks.JsonPaths(
                    {"$.type": masks.Keep(), "$.order": masks.Keep(), "$.sequence": masks.Keep()}
                ),
                reviewed="text not null",
            ),
        },
    )
