"""Code of a team that runs inside the guard: hooks, and rows for testers."""

from __future__ import annotations

import pytest

from replication_assets.declarations.operations import PythonHook
from replication_assets.declarations.refreshes import SeedRows, SqlHook
from replication_assets.errors import RefreshError, ReplicationError, VerificationFailed
from replication_assets.flows.refresh.verify_published import verify_published
from replication_assets_tests.adversarial.vault import LOST, MAIL, Attack

FUNCTIONS = "replication_assets_tests.adversarial.functions"


def hooked(attack: Attack, *statements: str) -> Attack:
    return attack.on(hooks=tuple(SqlHook(each) for each in statements))


@pytest.fixture
def beside(attack: Attack) -> Attack:
    """The environment's database has raw rows of somebody else's doing, which a hook might copy from."""
    attack.sql("CREATE SCHEMA leftover")
    attack.sql(f"CREATE TABLE leftover.people AS SELECT '{MAIL.format(4)}'::text AS email, 1 AS id")
    return attack


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE visits SET contact = (SELECT email FROM leftover.people) WHERE id = 1", "rules|raw values"),
        ("CREATE TABLE taken AS SELECT * FROM leftover.people", "hooks changed more than rows"),
        (f"CREATE INDEX ON visits ((contact || '{MAIL.format(4)}'))", "hooks changed more than rows"),
        ("CREATE TABLE public.taken AS SELECT * FROM leftover.people", "the hook wrote to"),
        ("COMMIT", "SQLSTATE|transaction"),
    ],
)
def test_a_hook_that_brings_raw_rows_in_stops_the_refresh_and_its_shadow_is_dropped(
    beside: Attack, statement: str, words: str
) -> None:
    there = hooked(beside, statement)
    there.refused(ReplicationError, words, there.run)
    assert not there.published()
    assert there.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'public__incoming'") == [(0,)]
    there.sql("DROP SCHEMA leftover CASCADE")


def test_a_column_that_a_hook_adds_and_fills_is_not_published(beside: Attack) -> None:
    """Proofs read the columns that were staged: what is beside them would go unseen."""
    there = hooked(
        beside,
        "ALTER TABLE visits ADD COLUMN raw text",
        "UPDATE visits SET raw = (SELECT email FROM leftover.people)",
    )
    there.refused(RefreshError, "hooks changed more than rows", there.run)
    assert not there.published()
    there.sql("DROP SCHEMA leftover CASCADE")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT contact::integer FROM visits",
        "DO $$ BEGIN RAISE EXCEPTION '%', (SELECT max(contact) FROM visits); END $$",
    ],
)
def test_a_hook_that_fails_is_told_without_the_words_of_the_server(attack: Attack, statement: str) -> None:
    there = hooked(attack, statement)
    error = there.refused(RefreshError, "a hook failed: it was refused", there.run)
    assert "masked.invalid" not in str(error)


@pytest.mark.parametrize("name", ["raising_hook", "writing_hook"])
def test_a_python_hook_that_raises_is_told_without_its_words_and_its_rows_are_dropped(
    attack: Attack, name: str
) -> None:
    there = attack.on(hooks=(PythonHook(f"{FUNCTIONS}:{name}"),))
    there.refused(RefreshError, "it raised ValueError", there.run)
    assert not there.published()


def seeded(attack: Attack, table: str, name: str) -> Attack:
    return attack.on(seed_rows=(SeedRows(f"app.public.{table}", function=f"{FUNCTIONS}:{name}"),))


def test_rows_for_testers_of_a_form_that_no_rule_makes_are_refused(attack: Attack) -> None:
    there = seeded(attack, "visits", "own_address")
    there.refused(RefreshError, "values that the policy's rules could not have made", there.run)


@pytest.mark.parametrize(
    ("name", "words"), [("raising_rows", "ValueError"), ("other_columns", "a table of the schema")]
)
def test_rows_for_testers_that_fail_are_told_without_their_words(
    attack: Attack, name: str, words: str
) -> None:
    there = seeded(attack, "visits", name)
    error = there.refused(ReplicationError, words, there.run)
    assert LOST not in str(error)


def test_a_customers_address_in_a_kept_column_of_a_row_for_testers_is_found_and_dropped(
    attack: Attack,
) -> None:
    """Any value fits `Keep`: it is found because a row of the source has it."""
    there = seeded(attack.on("drifting"), "drifting", "known_address")
    there.refused(VerificationFailed, "raw values occur: 1 in app.public.drifting.region", there.run)
    assert not there.published()


def test_a_hook_that_only_changes_masked_rows_within_their_rules_is_let_through(attack: Attack) -> None:
    there = hooked(attack, "UPDATE visits SET remark = NULL WHERE id = 2")
    there.run()
    assert verify_published(there.refreshing()).passed
