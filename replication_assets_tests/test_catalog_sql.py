"""A SQL projection is refused before anything is connected to, with every problem and its fix."""

from __future__ import annotations

import datetime as dt
import pickle
from typing import Any

import pytest

from replication_assets.catalog import (
    Catalog,
    DeltaProjection,
    Document,
    DynamoDbProjection,
    Environment,
    EnvVar,
    EventStoreConfig,
    ItemKey,
    Items,
    MySqlSourceConfig,
    MySqlTarget,
    OracleSourceConfig,
    OracleTarget,
    PostgresSourceConfig,
    PostgresTarget,
    Projection,
    Shape,
    SqliteSourceConfig,
    SqliteTarget,
    SqlProjection,
    SqlServerSourceConfig,
    SqlServerTarget,
    Table,
)
from replication_assets.components.declared_values import ValueProblem, read
from replication_assets.core.schema import TableId
from replication_assets.declarations import ProjectionDatabase

TODAY = dt.date(2026, 11, 21)
POSTGRES = PostgresTarget(host="copy", database="shop", user="writer", password=EnvVar("P"))
SQLSERVER = SqlServerTarget(host="mssql", database="Shop", user="writer", password=EnvVar("P"))
ORACLE = OracleTarget(host="ora", service="Shop", user="writer", password=EnvVar("P"))
MYSQL = MySqlTarget(host="127.0.0.1", user="writer", prefix="copy_")


def projection(name: str = "copy", **changed: Any) -> SqlProjection:
    return SqlProjection(name, **{"tables": ["shop.*"], "target": POSTGRES, **changed})


def problems(*projections: Projection, **changed: Any) -> tuple[str, ...]:
    catalog = Catalog(
        event_store=EventStoreConfig(root="/data/events"),
        sources=[
            PostgresSourceConfig("shop", host="db", database="shop", user="u", password=EnvVar("P")),
            PostgresSourceConfig("crm", host="db", database="crm", user="u", slot="crm"),
        ],
        tables=[
            Table("shop.public.orders"),
            Table("shop.sales.orders"),
            Table("crm.public.orders"),
            Table("shop.public.Orders"),
        ],
        projections=projections,
        **changed,
    )
    assert pickle.loads(pickle.dumps(catalog)) == catalog
    found = catalog.problems(today=TODAY)
    assert all("Fix: " in problem for problem in found)
    return found


def test_sound_projections_are_accepted_side_by_side() -> None:
    crm = ["crm.public.orders"]
    assert problems(projection(), projection("crm_copy", tables=crm, into="crm")) == ()
    assert problems(projection(tables=["shop.public.orders"], target=MYSQL)) == ()
    assert problems(projection(tables=crm, target=SqliteTarget("/data/copies"))) == ()
    assert problems(projection(tables=crm, target=SQLSERVER)) == ()
    assert problems(projection(target=ORACLE)) == ()


def test_in_yaml_it_is_called_sql() -> None:
    wrong: list[ValueProblem] = []
    given = {
        "name": "copy",
        "tables": ["shop.*"],
        "target": {
            "postgres": {"host": "copy", "database": "shop", "user": "writer", "password": {"env": "P"}}
        },
    }
    assert read({"sql": given}, Projection, wrong) == projection()
    assert wrong == []


def test_in_yaml_databases_are_called_by_their_engine() -> None:
    wrong: list[ValueProblem] = []
    given = {"host": "mssql", "database": "Shop", "user": "writer", "password": {"env": "P"}}
    assert read({"sqlserver": given}, ProjectionDatabase, wrong) == SQLSERVER
    given = {"host": "ora", "service": "Shop", "user": "writer", "password": {"env": "P"}}
    assert read({"oracle": given}, ProjectionDatabase, wrong) == ORACLE
    assert wrong == []


@pytest.mark.parametrize("target", [SQLSERVER, ORACLE], ids=["sqlserver", "oracle"])
def test_masked_copies_do_not_go_to_databases_that_take_projections_alone(target: Any) -> None:
    qa = Environment("qa", target=target, mask_key=EnvVar("K"))
    (problem,) = problems(projection(tables=["crm.*"]), environments=[qa])
    assert "environment qa: target is" in problem
    assert type(target).__name__ in problem


def test_databases_are_named_as_they_are_declared() -> None:
    from replication_assets import Replication
    from replication_assets.replication import _sql_database

    database = _sql_database(projection(target=SQLSERVER, into="copies"))
    assert database.where == "sqlserver mssql:1433/Shop"
    assert str(database.place(TableId("shop", "public", "orders"))) == "copies.orders"
    database = _sql_database(projection(target=ORACLE, into="COPIES"))
    assert database.where == "oracle ora:1521/Shop"
    assert str(database.place(TableId("shop", "public", "orders"))) == "COPIES.orders"
    catalog = Catalog(event_store=EventStoreConfig(root="/data/events"), sources=[], tables=[])
    target = Replication(catalog).target(projection(target=SQLSERVER), TableId("shop", "public", "orders"))
    assert "public.orders" in repr(target)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"target": PostgresTarget(host="", database="d", user="u")}, "target host is empty"),
        ({"target": PostgresTarget(host="h", database="d", user="u", port=0)}, "target port 0"),
        ({"target": MySqlTarget(host="far", user="u"), "tables": ["crm.*"]}, "without TLS"),
        ({"target": SqliteTarget("")}, "target folder is empty"),
        ({"target": SqlServerTarget(host="h", database="", user="u")}, "target database is empty"),
        ({"target": SqlServerTarget(host="h\\shop", database="d", user="u")}, "names a port or an instance"),
        ({"target": SQLSERVER}, "shop.public.orders and shop.public.Orders would be one table"),
        ({"target": OracleTarget(host="h", service="", user="u")}, "target service is empty"),
        ({"target": OracleTarget(host="h", service="s", user="u", tls=False, wallet="/w")}, "without TLS"),
        ({"target": PostgresTarget(host="h", database="d", user="u", password="x")}, "holds a credential"),  # type: ignore[arg-type]
        ({"target": "postgres"}, "target is of type str"),
        ({"into": ""}, "into is no name"),
        ({"into": "one"}, "would be one table of the target"),
        ({"tables": ["shop.*", "crm.*"]}, "would be one table of the target"),
        ({"target": MYSQL}, "shop.public.orders and shop.public.Orders would be one table"),
        ({"target": SqliteTarget("/data/events/copy"), "tables": ["crm.*"]}, "overlap"),
        ({"target": PostgresTarget(host="DB.", database="shop", user="u")}, "the database of source 'shop'"),
        ({"tables": []}, "projects no table"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_each_mistake_is_told(changed: dict[str, Any], words: str) -> None:
    assert any(words in problem for problem in problems(projection(**changed)))


def test_all_mistakes_are_told_at_once() -> None:
    target = PostgresTarget(host="", database="", user="u", port=99_999)
    found = problems(projection(target=target, into="one"))
    assert len(found) >= 4


def test_two_projections_never_write_one_table() -> None:
    found = problems(projection(tables=["shop.public.orders"]), projection("other", tables=["crm.*"]))
    assert any("both write the table public.orders" in problem for problem in found)


def test_a_shape_names_a_table_where_its_own_name_would_be_taken() -> None:
    shapes = [Shape("shop.sales.orders", name="sales_orders"), Shape("shop.public.Orders", name="big")]
    assert problems(projection(into="one", shapes=shapes)) == ()
    found = problems(projection(shapes=[Shape("shop.sales.orders", schema="public")]))
    assert any("shop.public.orders and shop.sales.orders would be one table" in each for each in found)
    crm = projection("other", tables=["crm.*"], shapes=[Shape("crm.public.orders", schema="sales")])
    assert any("both write the table sales.orders" in each for each in problems(projection(), crm))


def test_tables_are_placed_as_they_are_called() -> None:
    from replication_assets.replication import _sql_database

    orders, items = TableId("shop", "public", "orders"), TableId("shop", "public", "items")
    for target, prefix in (
        (POSTGRES, ""),
        (MYSQL, "copy_"),
        (SqliteTarget("/c"), ""),
        (SQLSERVER, ""),
        (ORACLE, ""),
    ):
        shapes = [Shape(str(orders), name="facts"), Shape(str(items), schema="dw")]
        database = _sql_database(projection(target=target, into="one", shapes=shapes), [orders, items])
        assert str(database.place(orders)) == f"{prefix}one.facts"
        assert str(database.place(items)) == f"{prefix}dw.items"


def test_two_tables_of_a_lakehouse_never_have_one_name_and_items_have_their_own() -> None:
    found = problems(
        DeltaProjection(
            "lake", tables=["shop.*"], root="/lake", shapes=[Shape("shop.sales.orders", schema="public")]
        )
    )
    assert [each.partition(". Fix")[0] for each in found] == [
        "projection lake: shop.public.orders and shop.sales.orders would both be public.orders"
    ]
    items = Items("shop.public.orders", "orders", partition_key=ItemKey("id", "${id}"))
    serving = DynamoDbProjection("serving", items=[items], shapes=[Shape("shop.public.orders", name="x")])
    assert any("`Items.into` places" in each for each in problems(serving))


def test_a_database_of_masked_copies_is_not_projected_into() -> None:
    qa = Environment("qa", target=POSTGRES, mask_key=EnvVar("K"))
    found = problems(projection(), environments=[qa])
    assert any("whose rows are not masked" in problem for problem in found)


@pytest.mark.parametrize(
    ("target", "refused"),
    [
        (MySqlTarget(host="localhost", user="w"), True),
        (MySqlTarget(host="127.0.0.1", user="w", prefix="copy_"), False),
        (MySqlTarget(host="127.0.0.1", user="w", port=3307), False),
        (SqliteTarget("/data/app/"), True),
        (SqliteTarget("/data/copies"), False),
        (SqlServerTarget(host="MSSQL.", database="ERP", user="w"), True),
        (SqlServerTarget(host="mssql", database="copies", user="w"), False),
        (OracleTarget(host="ORA", service="ERP", user="w"), True),
        (OracleTarget(host="ora", service="copies", user="w"), False),
    ],
)
def test_no_projection_writes_into_a_source_of_its_own_engine(
    target: ProjectionDatabase, refused: bool
) -> None:
    """By a prefix a server may be both; a folder that holds a source's file holds no copies."""
    found = Catalog(
        event_store=EventStoreConfig(root="/data/events"),
        sources=[
            MySqlSourceConfig("legacy", host="127.0.0.1", user="u"),
            SqliteSourceConfig("app", path="/data/app/app.db"),
            SqlServerSourceConfig("erp", host="mssql", database="erp", user="u"),
            OracleSourceConfig("old", host="ora", service="erp", user="u"),
        ],
        tables=[
            Table("legacy.Shop.orders"),
            Table("app.main.notes"),
            Table("erp.dbo.items"),
            Table("old.A.B"),
        ],
        projections=[SqlProjection("copy", tables=["legacy.*", "app.*", "erp.*", "old.*"], target=target)],
    ).problems(today=TODAY)
    assert any("is the database of source" in problem for problem in found) == refused


def test_a_table_has_documents_or_a_shape() -> None:
    table = "shop.public.orders"
    lake = DeltaProjection(
        "lake", tables=[table], root="/lake", documents=[Document(table, "body")],
        shapes=[Shape(table, exclude=["note"])],
    )  # fmt: skip
    found = Catalog(
        event_store=EventStoreConfig(root="/data/events"),
        sources=[PostgresSourceConfig("shop", host="db", database="shop", user="u")],
        tables=[Table(table)],
        projections=[lake],
    ).problems(today=TODAY)
    assert any("has documents too" in problem for problem in found)
