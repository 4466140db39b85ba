"""Databases that are not the environment, and keys that are not its own."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from replication_assets.core.masking.keys import KeyRing
from replication_assets.errors import CatalogError, GuardError, ReplicationError, SecretError
from replication_assets.flows.masking.environment import set_up_environment
from replication_assets.flows.refresh.load import load_refresh
from replication_assets.flows.refresh.mask import mask_refresh
from replication_assets.flows.refresh.publish import publish_refresh
from replication_assets.flows.refresh.verify import verify_refresh
from replication_assets.flows.refresh.verify_published import verify_published
from replication_assets_tests.adversarial.vault import Attack, Vault, environment_in
from replication_assets_tests.e2e.refreshes import KEY

OTHER_KEY = "77" + "".join(f"{n:02x}" for n in range(31))


def test_a_database_without_marker_is_refused(attack: Attack) -> None:
    attack.sql("DROP SCHEMA replication_assets CASCADE")
    attack.refused(GuardError, "is not marked|does not say", attack.run)


@pytest.mark.parametrize(
    "change", ["environment = 'production'", "trust = 'production'", "environment = 'staging'"]
)
def test_a_database_that_says_it_is_another_is_refused(attack: Attack, change: str) -> None:
    attack.sql(f"UPDATE replication_assets.environment SET {change}")
    attack.refused(GuardError, "the database says that it is|its database says that it is", attack.run)


def test_a_marker_that_changes_between_the_steps_stops_the_next_one(attack: Attack) -> None:
    refreshing, plan = attack.masked()
    attack.sql("UPDATE replication_assets.environment SET environment = 'production'")
    attack.refused(
        GuardError, "the database says that it is", lambda: load_refresh(refreshing, plan, run="load")
    )


def test_the_source_as_its_own_environment_is_refused(attack: Attack, vault: Vault) -> None:
    """Also where nobody validated the catalog."""
    attack.refused(
        CatalogError,
        "that is production",
        lambda: attack.with_catalog(environments=(environment_in(vault.database, attack.environment.name),)),
    )
    catalog = replace(attack.catalog, environments=(environment_in(vault.database, attack.environment.name),))
    there = replace(attack, system=replace(attack.system, catalog=catalog))
    attack.refused(GuardError, "is not marked|does not say", there.run)
    attack.refused(
        GuardError,
        "may be somebody's production",
        lambda: set_up_environment(there.system.replication, there.environment),
    )


def test_the_mask_key_of_another_environment_is_refused(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, OTHER_KEY)
    attack.refused(GuardError, "the mask key is .*, and the database was set up with", attack.run)


@pytest.mark.parametrize(
    ("key", "words"), [("00ff", "fewer than 32"), ("00" * 32, "is not random"), ("no key!", "neither hex")]
)
def test_a_weak_mask_key_is_refused_and_not_told(
    attack: Attack, monkeypatch: pytest.MonkeyPatch, key: str, words: str
) -> None:
    monkeypatch.setenv(KEY, key)
    error = attack.refused(GuardError, words, attack.run)
    assert key not in str(error)


def test_a_missing_mask_key_is_refused_and_nothing_is_masked_without_one(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY)
    attack.refused((SecretError, GuardError), KEY, attack.run)  # type: ignore[arg-type]


def test_a_key_exchanged_between_the_steps_stops_the_next_one(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshing, plan = attack.plan()
    monkeypatch.setenv(KEY, OTHER_KEY)
    attack.refused(
        GuardError, "the plan was made with mask key", lambda: mask_refresh(refreshing, plan, run="mask")
    )


def test_what_was_sealed_with_the_key_of_before_is_refused_after_an_exchange(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshing, plan = attack.masked()
    monkeypatch.setenv(KEY, OTHER_KEY)
    set_up_environment(attack.system.replication, attack.environment, confirm=True)
    attack.refused(GuardError, "the plan is for the key", lambda: load_refresh(refreshing, plan, run="load"))


def test_an_attackers_key_in_the_marker_stops_the_next_plan_and_turns_the_proof_red(attack: Attack) -> None:
    """Whoever may change the marker may change the rows as well: it does not stay unseen."""
    attack.run()
    forged = KeyRing(os.urandom(32), environment=attack.environment.name, scope="qa")
    attack.sql(f"UPDATE replication_assets.environment SET public_key = '{forged.public_key}'")
    attack.refused(GuardError, "the mask key is", attack.run)
    found = verify_published(attack.refreshing())
    assert "marker" in [proof.name for proof in found.failed]


def test_an_attackers_key_in_the_marker_opens_no_batch_of_the_guard(attack: Attack) -> None:
    refreshing, plan = attack.masked()
    forged = KeyRing(os.urandom(32), environment=attack.environment.name, scope="qa")
    attack.sql(f"UPDATE replication_assets.environment SET public_key = '{forged.public_key}'")
    attack.refused(
        GuardError,
        "was not made by this environment's guard",
        lambda: load_refresh(refreshing, plan, run="load"),
    )


def test_an_environment_that_is_declared_as_trusted_is_refused(attack: Attack) -> None:
    trusted = replace(attack.environment, trust="production")  # type: ignore[arg-type]
    attack.refused(
        (CatalogError, ReplicationError),  # type: ignore[arg-type]
        "production",
        lambda: attack.with_catalog(environments=(trusted,)).run(),
    )


def test_a_row_put_into_the_shadow_by_hand_is_found_before_publication(attack: Attack) -> None:
    refreshing, plan = attack.loaded()
    attack.sql(
        "INSERT INTO public__incoming.visits SELECT 99, person_id, 'a@masked.invalid', remark"
        " FROM public__incoming.visits LIMIT 1"
    )
    attack.refused(
        ReplicationError, "content|certified", lambda: verify_refresh(refreshing, plan, run="verify")
    )
    attack.refused(ReplicationError, "", lambda: publish_refresh(refreshing, plan, run="publish"))
    assert not attack.published()


def test_a_row_edited_after_publication_turns_the_proof_red(attack: Attack) -> None:
    attack.run()
    attack.sql("UPDATE visits SET contact = 'a' || contact WHERE id = 1")
    found = verify_published(attack.refreshing())
    assert [proof.name for proof in found.failed] == ["content", "rules"]


def test_readers_of_the_public_see_no_shadow(attack: Attack) -> None:
    attack.sql("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
    attack.loaded()
    granted = attack.sql(
        "SELECT has_schema_privilege('pg_monitor', 'public__incoming', 'usage'),"
        " has_table_privilege('pg_monitor', 'public__incoming.people', 'select')"
    )
    assert granted == [(False, False)]
