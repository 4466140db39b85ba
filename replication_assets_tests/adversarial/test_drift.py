"""A source that changes under a reviewed policy, and policies that do not say enough."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from replication_assets.core.masking.rules import Email, Keep, Null
from replication_assets.errors import CatalogError, PolicyError, RefreshError, VerificationFailed
from replication_assets.flows.refresh.load import load_refresh
from replication_assets.flows.refresh.mask import mask_refresh
from replication_assets_tests.adversarial.vault import WORD, Attack

CHANGES = {
    "a new column": (
        f"ALTER TABLE drifting ADD COLUMN nick text DEFAULT '{WORD}'",
        "ALTER TABLE drifting DROP COLUMN nick",
    ),
    "another type": (
        "ALTER TABLE drifting ALTER COLUMN email TYPE varchar(90)",
        "ALTER TABLE drifting ALTER COLUMN email TYPE text",
    ),
    "a column that may be null": (
        "ALTER TABLE drifting ALTER COLUMN email DROP NOT NULL",
        "ALTER TABLE drifting ALTER COLUMN email SET NOT NULL",
    ),
}


@contextmanager
def changed(attack: Attack, change: str) -> Iterator[None]:
    """The source otherwise than it was reviewed, as a load finds it; undone at the end."""
    done, undone = CHANGES[change]
    for statement in (done, undone):
        attack.system.execute(statement)
        attack.system.load(attack.system.table("drifting"))
        attack.system.capture()
        if statement == done:
            yield


@pytest.mark.parametrize("change", CHANGES)
def test_a_column_that_changed_since_its_review_stops_the_plan_and_the_mask_of_an_earlier_one(
    attack: Attack, change: str
) -> None:
    there = attack.on("drifting")
    refreshing, plan = there.plan()
    with changed(there, change):
        there.refused(
            RefreshError,
            "the structure changed since the plan was made|drifting.(nick|email): .* Fix: ",
            lambda: mask_refresh(refreshing, plan, run="mask"),
        )
        there.refused(PolicyError, "drifting.(nick|email): .* Fix: ", there.run)
    assert there.staged() == []


def test_a_change_between_mask_and_load_stops_the_load(attack: Attack) -> None:
    there = attack.on("drifting")
    refreshing, plan = there.masked()
    with changed(there, "a new column"):
        there.refused(
            RefreshError,
            "the structure changed since the plan was made",
            lambda: load_refresh(refreshing, plan, run="load"),
        )


def test_a_new_label_of_an_enumeration_stops_the_plan(attack: Attack) -> None:
    there = attack.on("drifting")
    there.system.execute("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'lost'")
    there.system.load(there.system.table("drifting"))
    there.system.capture()
    there.refused(PolicyError, r"was reviewed as .*placed\|paid.*, and is .*placed\|paid\|lost", there.run)


POLICIES: dict[str, tuple[dict[str, Any], str]] = {
    "a column left out": ({"email": None}, "people.email: the policy does not list it"),
    "personal data kept": ({"email": ("pii.email", Keep())}, "would be kept, and its class 'pii.email'"),
    "a secret masked by another rule": ({"secret": ("secret.token", Email())}, "is replaced whole"),
    "a class of one's own kept": ({"name": ("harmless", Keep())}, "would be kept, and its class 'harmless'"),
    "null where none may be": ({"name": ("pii.name", Null())}, "it is NOT NULL, and its rule is Null"),
}


@pytest.mark.parametrize("said", POLICIES)
def test_a_policy_that_would_let_a_column_through_is_refused_before_a_row_is_read(
    attack: Attack, said: str
) -> None:
    rules, words = POLICIES[said]
    there = attack.ruled("people", **rules)
    there.refused(PolicyError, words, there.run)
    assert there.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'public__incoming'") == [(0,)]


def test_a_table_that_the_policy_does_not_list_is_refused(attack: Attack) -> None:
    """By the catalog, and by the plan where nobody validated it."""
    policy = attack.catalog.policies[0]
    tables = [each for each in policy.tables if not each.table.endswith("people")]
    lacking = (replace(policy, tables=tables),)
    attack.refused(CatalogError, "is not in the policy shop", lambda: attack.with_catalog(policies=lacking))
    catalog = replace(attack.catalog, policies=lacking)
    there = replace(attack, system=replace(attack.system, catalog=catalog))
    there.refused(PolicyError, "does not list the table, so none of it is copied", there.run)


def test_personal_data_called_public_raises_the_alarm_and_is_dropped_from_the_shadow(attack: Attack) -> None:
    """Unapproved: somebody who approves a column by name is believed."""
    there = attack.ruled("visits", contact=("public", Keep()))
    (policy,) = there.catalog.policies
    visits = policy.table("app.public.visits")
    assert visits is not None
    contact = replace(visits.columns["contact"], approved_by="")
    unapproved = replace(visits, columns={**visits.columns, "contact": contact})
    tables = [each if each is not visits else unapproved for each in policy.tables]
    there = there.with_catalog(policies=(replace(policy, tables=tables),))
    there.refused(VerificationFailed, "visits.contact is kept|raw values occur", there.run)
    assert not there.published()
