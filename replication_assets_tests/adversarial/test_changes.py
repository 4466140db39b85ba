"""Changes of a published copy: keys, before-images and deletes carry raw values too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.errors import RefreshError
from replication_assets.flows.refresh.mask import mask_refresh
from replication_assets.flows.refresh.plan import plan_refresh
from replication_assets.flows.refresh.run import run_refresh
from replication_assets.flows.refresh.verify_published import verify_published
from replication_assets_tests.adversarial.vault import (
    FIRST_ID,
    WORD,
    Attack,
    attack_on,
    vault_in,
)
from replication_assets_tests.postgres_servers import fresh_database

WIDE = f"repeat('{WORD} long ' || random()::text, 400)"


@pytest.fixture(scope="module")
def following(postgres_18: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attack]:
    """A copy that follows, of a source of its own, with a value that is stored out of line."""
    with fresh_database(postgres_18) as database:
        vault = vault_in(database, tmp_path_factory.mktemp("changes"))
        for attack in attack_on(vault):
            there = attack.on(kind="data-migration", migration="full-load-and-cdc")
            there.system.execute(
                "ALTER TABLE people ALTER note SET STORAGE EXTERNAL",
                f"UPDATE people SET note = {WIDE} WHERE id = {FIRST_ID + 2}",
            )
            there.system.capture()
            run_refresh(there.refreshing(), run="first")
            yield there


def follow(attack: Attack, *statements: str) -> None:
    """The copy is brought forward by changes alone."""
    attack.system.execute(*statements)
    attack.system.capture()
    plan = plan_refresh(attack.refreshing(), run="follow")
    assert plan.how == "changes"
    run_refresh(attack.refreshing(), run="follow")
    attack.require_nothing_raw()


def newcomer(number: int) -> str:
    values = f"{FIRST_ID + number}, '{WORD}{number}@raw-mail.example', 'x {WORD}', 'paid'"
    return f"INSERT INTO people (id, email, name, status) VALUES ({values})"


def keys(attack: Attack) -> dict[int, int]:
    """Masked key of each visit's person, by the visit, which is kept."""
    return dict(attack.sql("SELECT id, person_id FROM visits"))


def test_an_update_that_moves_a_key_finds_the_masked_row_of_the_old_key(following: Attack) -> None:
    before = keys(following)
    follow(
        following,
        newcomer(50),
        f"UPDATE people SET id = {FIRST_ID + 60} WHERE id = {FIRST_ID + 50}",
        "UPDATE visits SET id = 106 WHERE id = 6",
    )
    after = keys(following)
    assert after == {**{key: value for key, value in before.items() if key != 6}, 106: before[6]}
    assert following.sql("SELECT count(*) FROM people") == [(7,)]


def test_a_delete_takes_the_masked_row_with_it(following: Attack) -> None:
    follow(following, newcomer(70))
    (before,) = following.sql("SELECT count(*) FROM people")
    follow(following, f"DELETE FROM people WHERE id = {FIRST_ID + 70}")
    assert following.sql("SELECT count(*) FROM people") == [(before[0] - 1,)]


def test_an_update_beside_a_large_unchanged_value_masks_the_value_again(following: Attack) -> None:
    (before,) = following.sql("SELECT max(length(note)) FROM people")
    follow(following, f"UPDATE people SET status = 'placed' WHERE id = {FIRST_ID + 2}")
    assert following.sql("SELECT max(length(note)) FROM people") == [before]


def test_raw_keys_and_before_images_are_in_no_staged_batch(following: Attack) -> None:
    following.system.execute(
        newcomer(80),
        f"UPDATE people SET email = '{WORD}81@raw-mail.example' WHERE id = {FIRST_ID + 3}",
        "DELETE FROM visits WHERE id = 5",
    )
    following.system.capture()
    refreshing = following.refreshing()
    plan = plan_refresh(refreshing, run="follow")
    mask_refresh(refreshing, plan, run="follow")
    staged = {each.claims.role: each.rows for each in refreshing.staging.certificates()}
    assert staged == {"upserts": 2, "deletes": 1}
    following.require_nothing_raw()
    follow(following)
    found = verify_published(following.refreshing())
    assert found.passed, found.text()


def test_a_truncated_table_is_copied_whole_again(following: Attack) -> None:
    following.system.execute("TRUNCATE visits")
    following.system.capture()
    plan = plan_refresh(following.refreshing(), run="follow")
    assert plan.how == "full"
    run_refresh(following.refreshing(), run="follow")
    assert following.sql("SELECT count(*) FROM visits") == [(0,)]
    following.require_nothing_raw()


def test_changes_of_a_copy_that_another_policy_made_are_refused(following: Attack) -> None:
    (policy,) = following.catalog.policies
    there = following.with_catalog(policies=(replace(policy, version="2"),)).on(migration="cdc")
    there.refused(
        RefreshError, "the policy changed", lambda: plan_refresh(there.refreshing(), run="x", fresh=True)
    )
