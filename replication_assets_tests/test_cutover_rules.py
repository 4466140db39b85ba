"""A cutover that cannot work is refused with the catalog, each mistake with its fix."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from replication_assets.catalog import (
    Catalog,
    Cutover,
    DeltaProjection,
    EnvVar,
    EventStoreConfig,
    PostgresSourceConfig,
    PythonHook,
    Table,
    WebhookHook,
)
from replication_assets.declarations import LiteralSecret

CUTOVER = Cutover(
    "to_lake",
    projection="lake",
    switch=WebhookHook(EnvVar("SWITCH_URL")),
    back=PythonHook("shop.readers:take_back"),
)
CATALOG = Catalog(
    event_store=EventStoreConfig("/srv/store"),
    sources=[PostgresSourceConfig("shop", host="h", database="d", user="u")],
    tables=[Table("shop.public.orders")],
    projections=[DeltaProjection("lake", tables=["shop.*"], root="/srv/lake")],
    cutovers=[CUTOVER],
)
TOKEN = "xoxb-1234567890-abcdefghijkl"


def test_a_sound_cutover_is_accepted() -> None:
    assert CATALOG.problems() == ()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "To Lake"}, "cutover To Lake: name 'To Lake' cannot be part of an asset key"),
        ({"projection": "lak"}, "projection 'lak' is not in the catalog. Fix: did you mean lake?"),
        ({"switch": PythonHook("readers")}, "switch 'readers' names no function. Fix: as 'package.module"),
        ({"back": PythonHook(3)}, "back function is of type int. Fix: str"),  # type: ignore[arg-type]
        ({"switch": WebhookHook("switch.example.com")}, "switch url is none. Fix: https://host/path"),
        ({"switch": "https://switch"}, "switch is of type str. Fix:"),
        ({"quiet_seconds": -1}, "quiet_seconds is below 0"),
        ({"drain_seconds": float("inf")}, "drain_seconds is below 0"),
        ({"watch_seconds": "60"}, "watch_seconds is of type str. Fix: float"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], problem: str) -> None:
    (found,) = replace(CATALOG, cutovers=(replace(CUTOVER, **changes),)).problems()
    assert problem in found


def test_two_cutovers_of_one_name_are_refused() -> None:
    (found,) = replace(CATALOG, cutovers=(CUTOVER, CUTOVER)).problems()
    assert found.startswith("cutovers: 2 are called 'to_lake'")


@pytest.mark.parametrize(
    "url", [f"https://chat.example.com/{TOKEN}", f"https://user:{TOKEN}@switch.example.com"]
)
def test_a_url_that_is_a_secret_is_dropped_and_refused(url: str) -> None:
    hook = WebhookHook(url)
    assert hook.url == LiteralSecret()
    (found,) = replace(CATALOG, cutovers=(replace(CUTOVER, switch=hook),)).problems()
    assert "switch url holds a token or a password (dropped). Fix: a reference" in found
    assert TOKEN not in found + repr(hook)
