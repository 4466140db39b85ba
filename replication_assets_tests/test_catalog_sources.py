"""Sources that are captured by triggers: what is refused when they are declared, and what they become."""

from __future__ import annotations

import pytest

from replication_assets.catalog import (
    Catalog,
    EventStoreConfig,
    PostgresSourceConfig,
    SqliteSourceConfig,
    Table,
)
from replication_assets.declarations import SourceConfig
from replication_assets.replication import Replication


def problems(source: SourceConfig) -> tuple[str, ...]:
    return Catalog(event_store=EventStoreConfig(root="/store"), sources=(source,)).problems()


def by_triggers(slot: str | None = None, publication: str | None = None) -> PostgresSourceConfig:
    return PostgresSourceConfig(
        "shop", host="db", database="shop", user="u", capture="triggers", slot=slot, publication=publication
    )


def test_triggers_have_neither_slot_nor_publication() -> None:
    assert problems(by_triggers()) == ()
    (slot,) = problems(by_triggers(slot="s"))
    assert "slot has no meaning with capture='triggers'" in slot
    (publication,) = problems(by_triggers(publication="p"))
    assert "publication has no meaning" in publication


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        (SqliteSourceConfig("app", path=""), "path is empty"),
        (SqliteSourceConfig("app", path="a.db", busy_seconds=0), "busy_seconds is not above 0"),
        (SqliteSourceConfig("app", path="a.db", max_parallel_loads=0), "max_parallel_loads 0"),
        (SqliteSourceConfig("App", path="a.db"), "cannot be part of an asset key"),
    ],
)
def test_a_wrong_file_source_is_named_with_its_fix(source: SqliteSourceConfig, complaint: str) -> None:
    (problem,) = problems(source)
    assert complaint in problem
    assert "Fix: " in problem


def test_sources_of_two_kinds_stand_in_one_catalog_and_become_their_adapters() -> None:
    declared = Catalog(
        event_store=EventStoreConfig(root="/store"),
        sources=(by_triggers(), SqliteSourceConfig("app", path="app.db")),
        tables=(Table("shop.public.orders"), Table("app.main.orders")),
    ).validate()
    replication = Replication(declared)
    assert type(replication.source("shop")).__name__ == "TriggerSource"
    assert type(replication.source("app")).__name__ == "SqliteSource"
