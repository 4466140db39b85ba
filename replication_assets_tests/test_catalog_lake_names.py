"""Other names of tables in a lake: what they may be, and where the tables are."""

from pathlib import Path

import pytest
from deltalake import DeltaTable

from replication_assets.catalog import (
    Catalog,
    DeltaProjection,
    EnvVar,
    EventStoreConfig,
    PostgresSourceConfig,
    Table,
)
from replication_assets.core.schema import TableId
from replication_assets.errors import CatalogError
from replication_assets.targets.delta import DeltaTarget
from replication_assets_tests.contracts.projection_target import at, fill, row

SHOP = PostgresSourceConfig("shop", host="db", database="shop", user="u", password=EnvVar("SHOP_PASSWORD"))


def catalog_of(names: dict[str, str]) -> Catalog:
    tables = [Table("shop.public.orders"), Table("shop.public.items")]
    lake = DeltaProjection("lake", tables=["shop.*"], root="/data/lake", names=names)
    return Catalog(EventStoreConfig("/data/store"), [SHOP], tables, [lake])


def test_a_table_may_have_another_name_in_the_lake() -> None:
    (lake,) = catalog_of({"shop.public.orders": "sales.bookings"}).validate().projections
    assert isinstance(lake, DeltaProjection)
    assert str(lake.named(TableId("shop", "public", "orders"))) == "shop.sales.bookings"
    assert str(lake.named(TableId("shop", "public", "items"))) == "shop.public.items"


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ({"shop.public.nothing": "a.b"}, "has no such table"),
        ({"shop.public.orders": "bookings"}, "is no name in the lake"),
        ({"shop.public.orders": "a.b.c"}, "is no name in the lake"),
        ({"shop.public.orders": ".b"}, "is no name in the lake"),
        ({"shop.public.orders": "public.items"}, "would be one table"),
        ({"shop.public.items": "Public.Orders"}, "would be one table"),
        ({"shop.public.orders": "a.b", "shop.public.items": "a.b"}, "would be one table"),
    ],
)
def test_names_that_cannot_be_are_refused(names: dict[str, str], problem: str) -> None:
    with pytest.raises(CatalogError, match=problem):
        catalog_of(names).validate()


def test_rows_stand_under_the_name_of_the_lake(tmp_path: Path) -> None:
    table = TableId("shop", "public", "orders")
    target = DeltaTarget(str(tmp_path), table, named=TableId("shop", "sales", "bookings"))
    fill(target, [row(at(5), id=1)], at(5))
    folder = tmp_path / "shop" / "sales.bookings"
    assert DeltaTable(folder).to_pyarrow_table(columns=["id"]).to_pylist() == [{"id": 1}]
    assert not (tmp_path / "shop" / "public.orders").exists()
