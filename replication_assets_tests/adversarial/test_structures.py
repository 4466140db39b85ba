"""What comes along with a table beside its rows: defaults, checks, indexes, comments, labels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from replication_assets.errors import VerificationFailed
from replication_assets_tests.adversarial.vault import (
    CONTACTS,
    LOST,
    MAIL,
    Attack,
    Vault,
    attack_on,
    canaries_in,
)


@pytest.mark.parametrize("table", CONTACTS)
def test_a_literal_about_a_masked_column_is_left_out_of_the_copy_and_told(attack: Attack, table: str) -> None:
    """`stray` ones name an address that no row has any more: no fingerprint of rows could find it."""
    there = attack.on(table)
    _, plan = there.plan()
    (line,) = plan.not_carried
    assert "has a literal in it" in line
    assert canaries_in(str(plan)) == []
    there.run()
    assert there.sql(f"SELECT count(*) FROM {table}") == [(6,)]


@pytest.fixture(scope="module")
def told_on(vault: Vault) -> Iterator[Attack]:
    """A copy that is published, of which nothing raw is left when it was looked at."""
    for attack in attack_on(vault):
        attack.run()
        yield attack
        attack.require_nothing_raw()


def test_comments_are_never_carried(told_on: Attack) -> None:
    assert told_on.sql("SELECT count(*) FROM pg_description WHERE objoid = 'people'::regclass") == [(0,)]


def test_a_column_computed_from_masked_ones_is_computed_anew(told_on: Attack) -> None:
    assert told_on.sql("SELECT count(*) FROM people WHERE label <> email || ' / ' || name") == [(0,)]
    assert told_on.sql("SELECT count(*) FROM people WHERE label LIKE '%@masked.invalid / %'") == [(6,)]


def test_an_index_over_an_expression_holds_masked_values(told_on: Attack) -> None:
    (definition,) = told_on.sql("SELECT pg_get_indexdef('visits_contact'::regclass)")
    assert "lower(contact)" in definition[0]
    assert told_on.sql("SELECT count(*) FROM visits WHERE lower(contact) LIKE '%@masked.invalid'") == [(6,)]


def test_canaries_in_every_column_of_every_table_arrive_nowhere(told_on: Attack) -> None:
    """The search itself finds what it looks for, wherever it is put."""
    assert canaries_in(told_on.dump()) == []
    for put in (
        f"COMMENT ON COLUMN people.name IS '{LOST}'",
        f"ALTER TABLE people ALTER phone SET DEFAULT '{LOST}'",
        f"CREATE TABLE replication_assets.aside AS SELECT '{LOST}'::bytea AS it",
        f"CREATE TYPE public.put AS ENUM ('{LOST}')",
    ):
        told_on.sql(put)
        assert canaries_in(told_on.dump()) != [], put
        told_on.sql("COMMENT ON COLUMN people.name IS NULL")
        told_on.sql("ALTER TABLE people ALTER phone DROP DEFAULT")
        told_on.sql("DROP TABLE IF EXISTS replication_assets.aside")
        told_on.sql("DROP TYPE IF EXISTS public.put")


def test_labels_of_an_enumeration_that_are_addresses_stop_the_refresh(attack: Attack) -> None:
    there = attack.on("labels")
    error = there.refused(VerificationFailed, "raw values occur: 1 in texts around the rows", there.run)
    assert MAIL.format(2) not in str(error)
    assert not there.published()
