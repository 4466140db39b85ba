"""What can be wrong with a task of DMS is found in the catalog, with its fix."""

from __future__ import annotations

from typing import Any

import pytest

from replication_assets import Catalog, DmsTask, EnvVar, EventStoreConfig, LandedSourceConfig, Schedule, Table
from replication_assets.components.declared_values import read

ARN = "arn:aws:dms:eu-west-1:123456789012:task:ABCDEFGHIJ"
CANARY = "canary-3e9"


def task(**changed: Any) -> DmsTask:
    given: dict[str, Any] = {"arn": ARN, "feeds": ["lake"]}
    return DmsTask(**({"name": "widgets"} | given | changed))


def catalog(*tasks: DmsTask) -> Catalog:
    source = LandedSourceConfig("lake", root="/landed", columns={"shop.widgets": ["id bigint"]})
    tables = [Table("lake.shop.widgets", key=["id"])]
    return Catalog(EventStoreConfig("/data"), sources=[source], tables=tables, dms_tasks=tasks)


def test_a_right_one_has_no_problems() -> None:
    assert catalog(task(start=Schedule("0 3 * * *")), task(name="other", arn=f"{ARN}2")).problems() == ()


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"name": "Widgets"}, "its name is not"),
        ({"arn": "widgets"}, "arn is none of a replication task"),
        ({"feeds": ["nobody"]}, "feeds names nobody"),
        ({"refreshes": ["nobody"]}, "refreshes names nobody"),
        ({"start": Schedule("0 3 * *")}, "not of 5 fields"),
        ({"start": Schedule("0 3 * * *", timezone="Mars")}, "timezone"),
        ({"look_seconds": 0}, "look_seconds is not between"),
        ({"access_key_id": EnvVar("KEY")}, "only one of"),
        ({"endpoint_url": 5}, "endpoint_url"),
    ],
)
def test_a_wrong_field_is_named(changed: dict[str, Any], complaint: str) -> None:
    problems = catalog(task(**changed)).problems()
    assert len(problems) == 1
    assert complaint in problems[0]
    assert "Fix: " in problems[0]


def test_two_tasks_are_two() -> None:
    assert len(catalog(task(), task()).problems()) == 2


def test_a_secret_in_text_is_refused_and_dropped() -> None:
    declared = task(access_key_id=EnvVar("KEY"), secret_access_key=CANARY)
    problems = catalog(declared).problems()
    assert any("credential (dropped)" in each for each in problems)
    assert CANARY not in f"{declared!r} {problems}"


def test_yaml_declares_the_same() -> None:
    problems: list[Any] = []
    raw = {"name": "widgets", "arn": ARN, "feeds": ["lake"], "start": {"schedule": {"cron": "0 3 * * *"}}}
    assert read(raw, DmsTask, problems) == task(start=Schedule("0 3 * * *"))
    assert problems == []
